import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createNew, makeDirectory, readIfThere, unlink, writeWhole } from './files.ts';
import type { Layout } from './layout.ts';

/** Enough that a disk with room for a name, and no more, is not taken for one with room. */
const PROBE_BYTES = 256 * 1024;

/** What the files of a probe are called after; the sweep removes what a killed process leaves of them. */
export const PROBE_KEY = 'a probe of the store';

/**
 * Does once what storing a body takes: writes a file, syncs it, moves it among the entries, reads it back, and removes it.
 * @throws what the operating system says where one of these fails
 */
export async function probe(layout: Layout, modes: { file: number; directory: number }): Promise<void> {
  const name = layout.name(PROBE_KEY, undefined);
  const fill = randomBytes(8).toString('hex');
  const bytes = randomBytes(PROBE_BYTES);
  // As a record on its way out: of all that is unfinished only that is spared for a while without a claim.
  const path = layout.gone(name, fill);
  const moved = layout.body(name, fill);
  try {
    const file = await createNew(path, modes.file);
    try {
      await writeWhole(file, bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await makeDirectory(layout.shard(name), modes.directory);
    await fs.rename(path, moved);
    const read = await fs.readFile(moved);
    if (!read.equals(bytes)) throw new Error(`${moved} does not hold what was written to it`);
  } catch (error) {
    await unlink(path).catch(() => undefined);
    await unlink(moved).catch(() => undefined);
    throw error;
  }
  await unlink(moved);
}

/** @throws where what is there can't be read */
export async function readBack({ entries, incomplete, tag }: Layout): Promise<void> {
  for (const path of [entries, incomplete]) await fs.access(path, constants.R_OK | constants.X_OK);
  await readIfThere(tag);
}
