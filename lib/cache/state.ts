// docs/reference/disk-format.md

import { readFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createNew, readIfThere, syncDirectory, unlink } from '../fs/files.ts';
import type { Layout } from '../fs/layout.ts';
import { isNeeded } from './removal.ts';
import { seal, unseal } from './seal.ts';

/** What changes about an entry while its body stays the same. */
export interface EntryState {
  hits: number;
  pinned: boolean;
}

/** Where its files are, and with what mode a new one is made. */
export interface StatePlace {
  layout: Layout;
  name: string;
  fill: string;
  mode: number;
}

/** Each line has its place in the file, so that who counts a hit never writes over somebody else's pin. */
const LINE_BYTES = 128;
const LINES = ['pin', 'hits'] as const;

/** What a state takes. */
export const STATE_BYTES: number = LINE_BYTES * LINES.length;

/** The state of an entry. A line that is missing, damaged or torn says nothing. */
export async function readState(layout: Layout, name: string, fill: string): Promise<EntryState> {
  const bytes = await readIfThere(layout.state(name, fill)).catch(() => undefined);
  return decode(bytes ?? Buffer.alloc(0));
}

/** Whether it is pinned, without a wait. */
export function isPinnedNow(layout: Layout, name: string, fill: string): boolean {
  try {
    return decode(readFileSync(layout.state(name, fill))).pinned;
  } catch {
    return false;
  }
}

/** Adds to the hits of an entry. Two processes at once may lose some. */
export async function addHits(place: StatePlace, hits: number): Promise<void> {
  await write(place, 'hits', ({ hits: before }) => ({ hits: Math.max(0, before + hits) }));
}

/** Writes the pin of an entry down; it is on the disk when this resolves. */
export async function writePin(place: StatePlace, pinned: boolean): Promise<void> {
  await write(place, 'pin', () => ({ pinned }), true);
}

async function write(
  place: StatePlace,
  line: (typeof LINES)[number],
  content: (before: EntryState) => object,
  durable = false,
): Promise<void> {
  const { layout, name, fill, mode } = place;
  const path = layout.state(name, fill);
  const { file, isNew } = await openOrCreate(path, mode);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(STATE_BYTES), 0);
    const text = encode(content(decode(buffer.subarray(0, bytesRead))));
    await file.write(text, 0, text.byteLength, LINES.indexOf(line) * LINE_BYTES);
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
  if (!isNew) return;
  if (durable) await syncDirectory(layout.shard(name));
  // The entry was removed before its state was there to be removed with it.
  if (!(await isNeeded(layout, name, fill))) await unlink(path);
}

async function openOrCreate(path: string, mode: number): Promise<{ file: fs.FileHandle; isNew: boolean }> {
  for (;;) {
    const there = await fs.open(path, 'r+').catch(unless('ENOENT'));
    if (there !== undefined) return { file: there, isNew: false };
    const created = await createNew(path, mode).catch(unless('EEXIST'));
    if (created !== undefined) return { file: created, isNew: true };
  }
}

function unless(code: string): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (error.code !== code) throw error;
  };
}

function encode(content: object): Buffer {
  return Buffer.from(
    `${seal(content)
      .toString()
      .padEnd(LINE_BYTES - 1)}\n`,
  );
}

function decode(bytes: Buffer): EntryState {
  const [pin, hits] = LINES.map((_, i) =>
    unseal(Buffer.from(bytes.toString('latin1', i * LINE_BYTES, (i + 1) * LINE_BYTES).trimEnd())),
  );
  const count = hits?.['hits'];
  return { pinned: pin?.['pinned'] === true, hits: typeof count === 'number' ? count : 0 };
}
