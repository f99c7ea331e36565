// docs/reference/disk-format.md

import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { list, onDisk, readIfThere } from '../../fs/files.ts';
import { type Layout, parsePartName, shardName } from '../../fs/layout.ts';
import { isRunning } from '../../fs/living.ts';
import { blocksFileBytes } from '../blocks.ts';
import type { FillInfo, FillOptions, Key } from '../cache.ts';
import { type Begun, type ClaimText, decodeClaim } from '../fill/claim-text.ts';
import { DEAD_MS, remove } from '../leftovers.ts';
import { mostRecordBytes } from '../record.ts';
import { STATE_BYTES } from '../state.ts';
import { BlockMap } from './block-map.ts';
import { decodeSums, sumsFileBytes } from './sums-file.ts';

/** What the files of one partial body are called after. */
export interface PartsId {
  name: string;
  fill: string;
}

/** What is there of one. */
export interface PartsFiles extends PartsId {
  hasClaim: boolean;
}

/** Parts on disk that somebody has, may have, or had. */
export interface FoundParts extends PartsFiles {
  /** `lost`: nothing can be made of what is there. */
  state: 'living' | 'resting' | 'lost';
  text: ClaimText | undefined;
}

/** All there are, or those in the directory of one name. */
export async function listParts(layout: Layout, ofName?: string): Promise<PartsFiles[]> {
  const shards = ofName === undefined ? await list(layout.parts) : [shardName(ofName)];
  const found = new Map<string, PartsFiles>();
  for (const shard of shards) {
    for (const file of await list(join(layout.parts, shard))) {
      const { name, fill, kind } = parsePartName(file) ?? {};
      if (name === undefined || fill === undefined || shardName(name) !== shard) continue;
      const files = found.get(fill) ?? { name, fill, hasClaim: false };
      files.hasClaim ||= kind === 'claim';
      found.set(fill, files);
    }
  }
  return [...found.values()];
}

/** What has become of parts that are not this process's own. */
export async function findParts(layout: Layout, files: PartsFiles): Promise<FoundParts> {
  const path = layout.part(files.name, files.fill, 'claim');
  const [bytes, stat] = await Promise.all([readIfThere(path), fs.stat(path).catch(() => undefined)]);
  if (bytes === undefined || stat === undefined) return { ...files, text: undefined, state: 'lost' };
  const text = decodeClaim(bytes);
  const isYoung = Date.now() - stat.mtimeMs < DEAD_MS;
  const running = text && isRunning(text.owner);
  const lives = text?.ended === undefined && (running ?? isYoung);
  if (lives) return { ...files, text, state: 'living' };
  return { ...files, text, state: isSound(text) ? 'resting' : isYoung ? 'living' : 'lost' };
}

function isSound(text: ClaimText | undefined): text is ClaimText & { begun: Begun & { size: number } } {
  const { head, size, tags, storedAt } = text?.begun ?? {};
  return (
    Number.isSafeInteger(size) &&
    typeof head?.status === 'number' &&
    Array.isArray(head.headers) &&
    Array.isArray(tags) &&
    typeof storedAt === 'number'
  );
}

/** What is there of a body of this size; undefined where that can't be told. */
export async function readMap(
  layout: Layout,
  { name, fill }: PartsId,
  size: number,
): Promise<BlockMap | undefined> {
  const bytes = await readIfThere(layout.part(name, fill, 'sums')).catch(() => undefined);
  const sums = bytes && decodeSums(bytes, size);
  return sums && new BlockMap(size, sums);
}

/** What a body costs of the budget while no part of it is there, in bytes on disk: each block comes on top of that. */
export function chargeOfNone(key: Key, begun: Begun & { size: number }): number {
  const { head, size, tags, version } = begun;
  const options: FillOptions = { tags, ...(version === undefined ? {} : { version }) };
  const record = onDisk(mostRecordBytes(key, head, options));
  return record + onDisk(STATE_BYTES) + onDisk(sumsFileBytes(size)) + onDisk(blocksFileBytes(size));
}

/** What is known of the entry to come. */
export function infoOf(key: Key, { storedAt, tags, version }: Begun): FillInfo {
  return { key, storedAt, tags, ...(version === undefined ? {} : { version }) };
}

/** Removes the file and what was said of it. Whoever has taken the claim away does this. */
export async function removeParts(layout: Layout, { name, fill }: PartsId): Promise<void> {
  await remove(layout.part(name, fill, 'body'));
  await remove(layout.part(name, fill, 'sums'));
}
