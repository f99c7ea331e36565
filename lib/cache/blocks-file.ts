// docs/reference/disk-format.md

import createDebug from 'debug';
import { createNew, readIfThere, unlink, writeWhole } from '../fs/files.ts';
import type { Layout } from '../fs/layout.ts';
import { blocksFileBytes, decodeBlocks, encodeBlocks } from './blocks.ts';
import { isNeeded } from './removal.ts';

const debug = createDebug('cache-filter:store');

/** Which stored body, and its size in bytes. */
export interface BodyName {
  name: string;
  fill: string;
  size: number;
}

/** The checksums beside a body; undefined where there are none that can be relied on. */
export async function readBlocks(
  layout: Layout,
  { name, fill, size }: BodyName,
): Promise<Uint32Array | undefined> {
  const bytes = await readIfThere(layout.blocks(name, fill)).catch(() => undefined);
  return bytes && decodeBlocks(bytes, size);
}

/** Writes the checksums of a body that has none yet, where it should have some. `durable`: they are on the disk when this resolves. */
export async function writeBlocks(
  layout: Layout,
  { name, fill, size }: BodyName,
  sums: Uint32Array,
  { mode, durable }: { mode: number; durable: boolean },
): Promise<void> {
  if (blocksFileBytes(size) === 0) return;
  const file = await createNew(layout.blocks(name, fill), mode);
  try {
    await writeWhole(file, encodeBlocks(size, sums));
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes them anew for an entry whose own are missing or damaged. Never rejects: without them its body is verified whole once more. */
export async function renewBlocks(
  layout: Layout,
  body: BodyName,
  sums: Uint32Array,
  mode: number,
): Promise<void> {
  const { name, fill } = body;
  const path = layout.blocks(name, fill);
  try {
    if (!(await isNeeded(layout, name, fill))) return;
    debug('writing %s anew', path);
    await unlink(path);
    await writeBlocks(layout, body, sums, { mode, durable: false });
    // The entry was removed before they were there to be removed with it.
    if (!(await isNeeded(layout, name, fill))) await unlink(path);
  } catch (error) {
    debug('%s could not be written anew: %o', path, error);
  }
}
