import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { charge } from '../../cache/charge.ts';
import { DEAD_MS } from '../../cache/leftovers.ts';
import { decodeRecord } from '../../cache/record.ts';
import { exists, isMissing, list, onDisk, readIfThere } from '../../fs/files.ts';
import { type Layout, parseFileName } from '../../fs/layout.ts';

/** Somebody who fetches something at this moment. */
export interface Owner {
  host: string;
  pid: number;
}

/** What is in a cache directory. */
export interface Contents {
  entries: number;
  /** Of everything in `v1`, as the budget counts them. */
  bytes: number;
  /** Records that can't be read back. */
  damaged: number;
  /** Records, and directories beside `v1`, of a newer format. */
  newer: string[];
  /** Bodies of fills, with a living owner or without. */
  incomplete: number;
  /** Failed fills that were kept. */
  invalid: number;
  /** Who showed a sign of life just now; undefined where the claim does not say. */
  owners: (Owner | undefined)[];
  /** Claims without a sign of life. */
  dead: number;
  /** Files that are not ours, relative to the directory. */
  strangers: string[];
  /** What earlier runs of the doctor left behind. */
  leftovers: string[];
  /** When the latest entry was stored, in milliseconds since the epoch; 0: there is none. */
  latest: number;
}

/** How the folders are called that the doctor works in. */
export const PROBE_PREFIX = 'doctor-';

/** Only so many names are kept: what they are is clear by then. */
const NAMES = 5;

const OURS = ['CACHEDIR.TAG', 'entries', 'incomplete', 'invalid', 'queue', 'upkeep.lock'];

/** Looks through a cache directory, as a cache does when it starts. Rejects where something of ours can't be read. */
export async function survey(directory: string, layout: Layout): Promise<Contents> {
  const contents: Contents = {
    entries: 0,
    bytes: 0,
    damaged: 0,
    newer: [],
    incomplete: 0,
    invalid: 0,
    owners: [],
    dead: 0,
    strangers: [],
    leftovers: [],
    latest: 0,
  };
  for (const name of await list(directory)) {
    const [, version] = /^v(\d+)$/.exec(name) ?? [];
    if (join(directory, name) === layout.root || name === 'lost+found') continue;
    if (name.startsWith(PROBE_PREFIX)) contents.leftovers.push(name);
    else if (version !== undefined) contents.newer.push(name);
    else remember(contents.strangers, name);
  }
  for (const name of await list(layout.root)) {
    if (!OURS.includes(name)) remember(contents.strangers, join('v1', name));
  }
  for (const shard of await list(layout.entries)) await surveyShard(contents, layout, shard);
  for (const file of await list(layout.incomplete)) await surveyIncomplete(contents, layout, file);
  const invalid = join(layout.root, 'invalid');
  for (const file of await list(invalid)) {
    contents.invalid++;
    contents.bytes += await sizeOnDisk(join(invalid, file));
  }
  for (const file of await list(layout.queue)) {
    contents.bytes += await sizeOnDisk(join(layout.queue, file));
  }
  return contents;
}

async function surveyShard(contents: Contents, layout: Layout, shard: string): Promise<void> {
  for (const file of await list(join(layout.entries, shard))) {
    const { name, kind } = parseFileName(file) ?? {};
    if (name === undefined) remember(contents.strangers, join('v1', 'entries', shard, file));
    if (name === undefined || kind !== 'json') continue;
    const bytes = await readIfThere(join(layout.entries, shard, file));
    // Removed meanwhile.
    if (bytes === undefined) continue;
    const record = decodeRecord(bytes);
    if (record === undefined && formatOf(bytes) > 1)
      remember(contents.newer, join('v1', 'entries', shard, file));
    else if (record === undefined || !(await exists(layout.body(name, record.fill)))) contents.damaged++;
    if (record === undefined) continue;
    contents.entries++;
    contents.bytes += charge(record.size, bytes.byteLength);
    contents.latest = Math.max(contents.latest, record.storedAt);
  }
}

async function surveyIncomplete(contents: Contents, layout: Layout, file: string): Promise<void> {
  const path = join(layout.incomplete, file);
  const { kind } = parseFileName(file) ?? {};
  if (kind === undefined) return remember(contents.strangers, join('v1', 'incomplete', file));
  contents.bytes += await sizeOnDisk(path);
  if (kind === 'body') contents.incomplete++;
  if (kind !== 'claim') return;
  const stat = await fs.stat(path).catch(noneIfMissing);
  const bytes = await readIfThere(path);
  if (stat === undefined || bytes === undefined) return;
  if (Date.now() - stat.mtimeMs < DEAD_MS) contents.owners.push(ownerOf(bytes));
  else contents.dead++;
}

function ownerOf(claim: Uint8Array): Owner | undefined {
  try {
    const { host, pid } = (JSON.parse(Buffer.from(claim).toString()) as { owner: Owner }).owner;
    return { host: String(host), pid: Number(pid) };
  } catch {
    // Being written, or a record already.
    return undefined;
  }
}

function formatOf(record: Uint8Array): number {
  try {
    return Number((JSON.parse(Buffer.from(record).toString()) as { format?: unknown }).format);
  } catch {
    return 0;
  }
}

async function sizeOnDisk(path: string): Promise<number> {
  const stat = await fs.stat(path).catch(noneIfMissing);
  return onDisk(stat?.size ?? 0);
}

function noneIfMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

function remember(names: string[], name: string): void {
  if (names.length < NAMES) names.push(name);
}
