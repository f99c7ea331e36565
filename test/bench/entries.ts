/** Writes entries into a cache directory, as many and as fast as may be: `node --import tsx test/bench/entries.ts DIRECTORY COUNT [BYTES]`. */
import { createHash } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { encodeRecord } from '../../lib/cache/record.ts';
import { Layout } from '../../lib/fs/layout.ts';

/** What is written. */
export interface Entries {
  directory: string;
  count: number;
  /** Of each body. Default 64. */
  bytes?: number;
  /** What the n-th is called. Default `/files/<n>`. */
  keyOf?: (n: number) => string;
}

/** The first is the one used least recently, a second before the next. */
export function writeEntries({ directory, count, bytes = 64, keyOf = urlOf }: Entries): void {
  const layout = new Layout(directory);
  for (const path of [layout.entries, layout.incomplete]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const body = Buffer.alloc(bytes, 'entry');
  const hex = createHash('sha256').update(body).digest('hex');
  const now = Math.floor(Date.now() / 1000);
  for (let shard = 0; shard < 256; shard++) {
    mkdirSync(layout.shard(shard.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 });
  }
  for (let n = 0; n < count; n++) {
    const primary = keyOf(n);
    const name = layout.name(primary, undefined);
    const fill = n.toString(16).padStart(16, '0');
    const record = encodeRecord({
      key: { primary },
      head: {
        status: 200,
        headers: [
          ['Content-Type', 'application/octet-stream'],
          ['Content-Length', String(bytes)],
          ['Cache-Control', 'max-age=86400'],
        ],
      },
      size: bytes,
      digests: [{ algorithm: 'sha256', hex }],
      storedAt: now * 1000,
      tags: [],
      fill,
    });
    writeFileSync(layout.body(name, fill), body, { mode: 0o600 });
    writeFileSync(layout.record(name), record, { mode: 0o600 });
    utimesSync(layout.record(name), now, now - (count - n));
  }
}

export function urlOf(n: number): string {
  return `/files/${n}`;
}

const [, script, directory, count, bytes] = process.argv;
if (script !== undefined && import.meta.url === pathToFileURL(script).href) {
  if (directory === undefined || !(Number(count) > 0)) throw new Error('expected DIRECTORY COUNT [BYTES]');
  writeEntries({ directory, count: Number(count), ...(bytes === undefined ? {} : { bytes: Number(bytes) }) });
}
