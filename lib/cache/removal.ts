import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { exists, list, readIfThere, unlink } from '../fs/files.ts';
import { type Layout, parseFileName } from '../fs/layout.ts';
import type { Key } from './cache.ts';
import { decodeNewerRecord, decodeRecord } from './record.ts';

/** What was taken away; neither is known where the record was damaged. */
export interface RemovedEntry {
  fill: string | undefined;
  key: Key | undefined;
}

/**
 * Takes an entry away: the record in one step, so that nobody replaces it meanwhile, then the body that this very record names.
 * Resolves to undefined where there was none.
 * @param newer takes it away even where its record is of a newer format than ours; otherwise that one is left alone
 */
export async function removeEntry(
  layout: Layout,
  name: string,
  { newer = false }: { newer?: boolean } = {},
): Promise<RemovedEntry | undefined> {
  const place = layout.record(name);
  if (!newer && decodeNewerRecord((await readIfThere(place).catch(() => undefined)) ?? NOTHING) !== undefined)
    return undefined;
  const gone = layout.gone(name, randomBytes(8).toString('hex'));
  const path = await fs.rename(place, gone).then(
    () => gone,
    // There is none. Or a full disk has no room for one more name: it is now that room is needed.
    () => place,
  );
  const bytes = await readIfThere(path);
  if (bytes === undefined) return undefined;
  await unlink(path);
  const record = decodeRecord(bytes);
  if (record === undefined) await removeBodies(layout, name);
  else await removeBody(layout, name, record.fill);
  return { fill: record?.fill, key: record?.key };
}

/** Removes a body, and what was said of it. The record has gone before: whoever writes a state then finds that it has no entry. */
export async function removeBody(layout: Layout, name: string, fill: string): Promise<void> {
  await unlink(layout.body(name, fill));
  await unlink(layout.blocks(name, fill));
  await unlink(layout.state(name, fill));
}

/** Removes the bodies of an entry whose record no longer says which one is its own; not one that is just being published. */
async function removeBodies(layout: Layout, name: string): Promise<void> {
  for (const file of await list(layout.shard(name))) {
    const parsed = parseFileName(file);
    if (parsed?.name !== name || parsed.fill === undefined) continue;
    if (!(await isNeeded(layout, name, parsed.fill))) await unlink(join(layout.shard(name), file));
  }
}

/**
 * Whether a body among the entries has a claim or a record. The claim first: it becomes the record in one step, so that one of the
 * two is always there. Of a record of a newer format it can't be said which body is its own.
 */
export async function isNeeded(layout: Layout, name: string, fill: string): Promise<boolean> {
  if ((await exists(layout.claim(name, fill))) || (await exists(layout.part(name, fill, 'claim'))))
    return true;
  const record = (await readIfThere(layout.record(name))) ?? NOTHING;
  return decodeRecord(record)?.fill === fill || decodeNewerRecord(record) !== undefined;
}

const NOTHING = Buffer.alloc(0);
