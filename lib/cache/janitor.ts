import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import createDebug from 'debug';
import { exists, list, readIfThere, unlink } from '../fs/files.ts';
import { type Layout, parseFileName, primaryName } from '../fs/layout.ts';
import { decodeRecord, type EntryRecord } from './record.ts';
import { isNeeded } from './removal.ts';

const debug = createDebug('cache-filter:store');

/** A claim without a sign of life for this long has lost its owner, in milliseconds. */
const DEAD_MS = 5_000;

export interface FoundRecord {
  name: string;
  record: EntryRecord;
  /** Of the record itself. */
  bytes: number;
  /** When the entry was last used, in milliseconds. */
  usedAt: number;
}

/** Every entry on disk. Damaged and unreadable records are passed over. */
export async function* records(layout: Layout): AsyncGenerator<FoundRecord> {
  for (const shard of await list(layout.entries)) {
    for (const file of await list(join(layout.entries, shard))) {
      const parsed = parseFileName(file);
      if (parsed?.kind !== 'json' || !parsed.name.startsWith(shard)) continue;
      const path = layout.record(parsed.name);
      const [bytes, stat] = await Promise.all([
        readIfThere(path).catch(() => undefined),
        fs.stat(path).catch(() => undefined),
      ]);
      const record = bytes && decodeRecord(bytes);
      if (record === undefined || stat === undefined) continue;
      yield { name: parsed.name, record, bytes: bytes?.byteLength ?? 0, usedAt: stat.mtimeMs };
    }
  }
}

/** What the records of a primary key are called, those of all its variants. */
export async function namesOf(layout: Layout, primary: string): Promise<string[]> {
  const base = layout.name(primary, undefined);
  const files = (await list(layout.shard(base))).map(parseFileName);
  return files.flatMap((file) =>
    file?.kind === 'json' && primaryName(file.name) === base ? [file.name] : [],
  );
}

/** Whether somebody who lives is fetching what has this name. */
export async function isClaimed(layout: Layout, name: string): Promise<boolean> {
  for (const file of await list(layout.incomplete)) {
    const parsed = parseFileName(file);
    if (parsed?.kind !== 'claim' || parsed.name !== name) continue;
    const stat = await fs.stat(join(layout.incomplete, file)).catch(() => undefined);
    if (stat !== undefined && Date.now() - stat.mtimeMs < DEAD_MS) return true;
  }
  return false;
}

/**
 * Removes what a process left behind that was killed: claims without a living owner, bodies without a claim or a record, records
 * without a body. Claims are read first and records last, so that nothing is taken away that is just being published.
 * @param own fill ids of this process
 */
export async function sweep(layout: Layout, own: ReadonlySet<string>): Promise<void> {
  const alive = await sweepIncomplete(layout, own);
  for (const shard of await list(layout.entries)) await sweepShard(layout, shard, alive);
}

/** Resolves to the fills that somebody still writes. */
async function sweepIncomplete(layout: Layout, own: ReadonlySet<string>): Promise<Set<string>> {
  const alive = new Set(own);
  const files = (await list(layout.incomplete)).map((file) => ({
    path: join(layout.incomplete, file),
    ...parseFileName(file),
  }));
  for (const { path, kind, fill } of files) {
    if (fill === undefined || (kind !== 'claim' && kind !== 'gone')) continue;
    const stat = await fs.stat(path).catch(() => undefined);
    if (stat === undefined) continue;
    // A record on its way out keeps the time of its last use; when it was renamed, ctime says.
    const seen = kind === 'gone' ? stat.ctimeMs : stat.mtimeMs;
    if (own.has(fill) || Date.now() - seen < DEAD_MS) alive.add(fill);
    else await remove(path);
  }
  for (const { path, kind, fill } of files) {
    if (kind === 'body' && fill !== undefined && !alive.has(fill)) await remove(path);
  }
  return alive;
}

async function sweepShard(layout: Layout, shard: string, alive: ReadonlySet<string>): Promise<void> {
  const directory = join(layout.entries, shard);
  for (const file of await list(directory)) {
    const { name, fill, kind } = parseFileName(file) ?? {};
    if (name === undefined || layout.shard(name) !== directory) continue;
    if (kind === 'body' || kind === 'state') {
      const needed = fill === undefined || alive.has(fill) || (await isNeeded(layout, name, fill));
      if (!needed) await remove(join(directory, file));
    }
    if (kind !== 'json') continue;
    const bytes = await readIfThere(layout.record(name)).catch(() => undefined);
    if (bytes === undefined) continue;
    const record = decodeRecord(bytes);
    if (record !== undefined && (await exists(layout.body(name, record.fill)))) continue;
    await remove(join(directory, file));
    if (record !== undefined) await remove(layout.state(name, record.fill));
  }
}

async function remove(path: string): Promise<void> {
  debug('sweeping %s', path);
  await unlink(path).catch((error: unknown) => debug('%s stays: %o', path, error));
}
