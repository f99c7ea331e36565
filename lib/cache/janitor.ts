import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import createDebug from 'debug';
import { list, readIfThere, unlink } from '../fs/files.ts';
import { type Layout, parseFileName } from '../fs/layout.ts';
import { decodeRecord, type EntryRecord } from './record.ts';

const debug = createDebug('cache-filter:store');

/** A claim without a sign of life for this long has lost its owner, in milliseconds. */
const DEAD_MS = 5_000;

/** Every entry on disk, with the time of its last use in milliseconds. Damaged records are passed over. */
export async function* records(layout: Layout): AsyncGenerator<{ name: string; record: EntryRecord; usedAt: number }> {
  for (const shard of await list(layout.entries)) {
    for (const file of await list(join(layout.entries, shard))) {
      const parsed = parseFileName(file);
      if (parsed?.kind !== 'json') continue;
      const path = layout.record(parsed.name);
      const [bytes, stat] = await Promise.all([readIfThere(path), fs.stat(path).catch(() => undefined)]);
      const record = bytes && decodeRecord(bytes);
      if (record !== undefined && stat !== undefined) yield { name: parsed.name, record, usedAt: stat.mtimeMs };
    }
  }
}

/**
 * Removes what a process left behind that was killed: claims without a living owner, bodies without a claim or a record, records
 * without a body. Claims are read first and records last, so that nothing is taken away that is just being published.
 * @param own fill ids of this process
 */
export async function sweep(layout: Layout, own: ReadonlySet<string>): Promise<number> {
  let removed = 0;
  const remove = async (path: string) => {
    debug('sweeping %s', path);
    if (await unlink(path)) removed++;
  };
  const alive = new Set(own);
  const unfinished = await list(layout.incomplete);
  for (const file of unfinished) {
    const parsed = parseFileName(file);
    if (parsed?.kind !== 'claim' || parsed.fill === undefined) continue;
    const path = join(layout.incomplete, file);
    const stat = await fs.stat(path).catch(() => undefined);
    if (stat === undefined) continue;
    if (own.has(parsed.fill) || Date.now() - stat.mtimeMs < DEAD_MS) alive.add(parsed.fill);
    else await remove(path);
  }
  for (const file of unfinished) {
    const parsed = parseFileName(file);
    if (parsed?.kind === 'body' && parsed.fill !== undefined && !alive.has(parsed.fill)) await remove(join(layout.incomplete, file));
  }
  for (const shard of await list(layout.entries)) {
    const directory = join(layout.entries, shard);
    const files = await list(directory);
    const present = new Set(files);
    for (const file of files) {
      const parsed = parseFileName(file);
      if (parsed === undefined) continue;
      const record = decodeRecord((await readIfThere(layout.record(parsed.name))) ?? Buffer.alloc(0));
      if (parsed.kind === 'body' && parsed.fill !== undefined && record?.fill !== parsed.fill && !alive.has(parsed.fill)) {
        await remove(join(directory, file));
      }
      if (parsed.kind === 'json' && (record === undefined || !present.has(`${parsed.name}.${record.fill}.body`))) {
        const gone = record === undefined || !(await exists(layout.body(parsed.name, record.fill)));
        if (gone) await remove(join(directory, file));
      }
    }
  }
  return removed;
}

async function exists(path: string): Promise<boolean> {
  return fs.access(path).then(
    () => true,
    () => false,
  );
}
