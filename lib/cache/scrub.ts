import * as fs from 'node:fs/promises';
import { StoreError } from '../errors.ts';
import { isMissing } from '../fs/files.ts';
import type { Layout } from '../fs/layout.ts';
import { whyOf } from './body-check.ts';
import type { Verified } from './cache.ts';
import type { FileEntries } from './file-entries.ts';
import { records } from './janitor.ts';
import type { Pace } from './pace.ts';
import type { EntryRecord } from './record.ts';

/** Looks at the body of every entry that there is at the start; drops what is not what was stored, and is silent about what has gone. */
export async function* scrub(layout: Layout, entries: FileEntries, pace: Pace): AsyncGenerator<Verified> {
  const found: { name: string; fill: string; size: number }[] = [];
  let totalBytes = 0;
  let bytes = 0;
  // A record that can't be read says not what it is of: `record` drops it, and there is nothing to tell.
  for await (const { name, record } of records(layout, (name) => entries.recordOf(name))) {
    found.push({ name, fill: record.fill, size: record.size });
    totalBytes += record.size;
  }
  for (const { name, fill, size } of found) {
    const verified = await examine({ layout, entries, pace }, name, fill);
    bytes += size;
    if (verified !== undefined) yield { ...verified, bytes, totalBytes };
  }
}

interface Scrubbing {
  layout: Layout;
  entries: FileEntries;
  pace: Pace;
}

/** One entry, held meanwhile; undefined where this body of it has gone. */
async function examine(
  { layout, entries, pace }: Scrubbing,
  name: string,
  fill: string,
): Promise<Pick<Verified, 'key' | 'size' | 'ok' | 'why'> | undefined> {
  await pace.spend(0);
  const release = entries.ledger.hold(name);
  try {
    const record = await entries.recordOf(name);
    if (record?.fill !== fill) return undefined;
    const why = await flawOf({ layout, entries, pace }, name, record);
    if ((await entries.recordOf(name))?.fill !== fill) return undefined;
    const { key, size } = record;
    if (why === undefined) return { key, size, ok: true };
    await entries.damaged(name, fill, why, key);
    return { key, size, ok: false, why };
  } finally {
    release();
  }
}

/** What is wrong with a body; undefined where it is what was stored. */
async function flawOf(
  { layout, entries, pace }: Scrubbing,
  name: string,
  { fill, size, digests }: EntryRecord,
): Promise<string | undefined> {
  const file = await fs.open(layout.body(name, fill), 'r').catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (file === undefined) return 'its body is missing';
  try {
    const stat = await file.stat();
    if (stat.size !== size) return `its body has ${stat.size} of ${size} bytes`;
    await entries.checks.of({ name, fill, size, digests }, file.fd).whole(pace);
    return undefined;
  } catch (error) {
    if (error instanceof StoreError) return whyOf(error);
    throw error;
  } finally {
    await file.close();
  }
}
