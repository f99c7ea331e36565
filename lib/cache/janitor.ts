import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { exists, list, readIfThere } from '../fs/files.ts';
import { type Layout, parseFileName, primaryName } from '../fs/layout.ts';
import type { Invalidation, Key } from './cache.ts';
import { concerns } from './invalidation.ts';
import { DEAD_MS, remove } from './leftovers.ts';
import { decodeNewerRecord, decodeRecord, type EntryRecord } from './record.ts';
import { isNeeded } from './removal.ts';
import type { Listed } from './shard.ts';

/** A record as it was found on disk. */
export interface FoundRecord {
  name: string;
  record: EntryRecord;
  /** Of the record itself. */
  bytes: number;
  /** When the entry was last used, in milliseconds. */
  usedAt: number;
}

/**
 * Every entry on disk. Damaged and unreadable records are passed over, and so are those of a newer format.
 * @param other called with the name of each damaged record, or newer one
 */
export async function* records(
  layout: Layout,
  other?: (name: string) => Promise<unknown>,
): AsyncGenerator<FoundRecord> {
  for await (const { name, bytes, usedAt } of recordFiles(layout)) {
    const record = decodeRecord(bytes);
    if (record !== undefined) yield { name, record, bytes: bytes.byteLength, usedAt };
    else await other?.(name);
  }
}

/** The names of all entries that are to be invalidated; those of a newer format too, as far as they say what they are. */
export async function* concerned(layout: Layout, what: Invalidation): AsyncGenerator<string> {
  if ('key' in what) {
    yield* await namesOf(layout, what.key);
    return;
  }
  for await (const { name, bytes } of recordFiles(layout)) {
    const { key, tags = [] } = decodeRecord(bytes) ?? decodeNewerRecord(bytes) ?? { key: undefined };
    const named = key !== undefined && concerns(what, key, tags);
    if (named || ('all' in what && decodeNewerRecord(bytes) !== undefined)) yield name;
  }
}

/** Of these names, those whose entries were stored at this time (milliseconds since the epoch) or before, or nobody knows when. */
export async function* storedUntil(
  layout: Layout,
  time: number,
  names: AsyncIterable<string>,
): AsyncGenerator<string> {
  for await (const name of names) {
    const record = decodeRecord((await readIfThere(layout.record(name))) ?? Buffer.alloc(0));
    if (record === undefined || record.storedAt <= time) yield name;
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

async function* recordFiles(layout: Layout): AsyncGenerator<{ name: string; bytes: Buffer; usedAt: number }> {
  for (const shard of await list(layout.entries)) {
    for (const file of await list(join(layout.entries, shard))) {
      const { name, kind } = parseFileName(file) ?? {};
      if (name === undefined || kind !== 'json' || !name.startsWith(shard)) continue;
      const path = layout.record(name);
      const [bytes, stat] = await Promise.all([
        readIfThere(path).catch(() => undefined),
        fs.stat(path).catch(() => undefined),
      ]);
      if (bytes !== undefined && stat !== undefined) yield { name, bytes, usedAt: stat.mtimeMs };
    }
  }
}

/** What a sweep comes across. */
export interface SweepReport {
  /** Dropped, because of what is wrong with it. `key` is unknown where the record can't be read. */
  damaged(name: string, why: string, key?: Key): void;
  /** Left alone: a newer version of this package has written it. */
  newer(name: string): void;
}

/**
 * Removes of one name what a process left behind that was killed: bodies without a claim or a record, a record without a body. The claims
 * were read before and the record is read last, so that nothing is taken away that is just being published.
 * @param alive fill ids that somebody writes
 */
export async function sweepEntry(
  layout: Layout,
  name: string,
  { hasRecord, files }: Listed,
  alive: ReadonlySet<string>,
  report: SweepReport,
): Promise<void> {
  for (const { file, fill } of files) {
    if (!alive.has(fill) && !(await isNeeded(layout, name, fill)))
      await remove(join(layout.shard(name), file));
  }
  if (hasRecord) await sweepRecord(layout, name, report);
}

async function sweepRecord(layout: Layout, name: string, report: SweepReport): Promise<void> {
  const path = layout.record(name);
  const bytes = await readIfThere(path).catch(() => undefined);
  if (bytes === undefined) return;
  if (decodeNewerRecord(bytes) !== undefined) {
    report.newer(name);
    return;
  }
  const record = decodeRecord(bytes);
  if (record !== undefined && (await exists(layout.body(name, record.fill)))) return;
  // It may have been replaced since it was read, and its body with it.
  if ((await readIfThere(path).catch(() => undefined))?.equals(bytes) !== true || !(await remove(path)))
    return;
  if (record !== undefined) {
    await remove(layout.blocks(name, record.fill));
    await remove(layout.state(name, record.fill));
  }
  report.damaged(name, record === undefined ? 'its record is damaged' : 'its body is missing', record?.key);
}
