import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isMissing } from '../fs/files.ts';
import { type FileName, type Layout, parseFileName } from '../fs/layout.ts';
import { decodeNewerRecord, decodeRecord, type EntryRecord } from './record.ts';

// All of this is synchronous: a look at a file takes some 5 µs, and a trip to the thread pool ten times as long. Whoever does it
// many times pauses in between (lib/fs/slices.ts).

/** What a directory has of one name. */
export interface Listed {
  hasRecord: boolean;
  /** All else: bodies, and what belongs to one of them. */
  files: { file: string; fill: string; kind: FileName['kind'] }[];
}

/** The directories that there are among the entries. */
export function listShards(layout: Layout): string[] {
  return namesIn(layout.entries).filter((file) => /^[0-9a-f]{2}$/.test(file));
}

/** What one of them holds, by name. */
export function listShard(layout: Layout, shard: string): Map<string, Listed> {
  const listed = new Map<string, Listed>();
  for (const file of namesIn(join(layout.entries, shard))) {
    const { name, fill, kind } = parseFileName(file) ?? {};
    if (name === undefined || kind === undefined || !name.startsWith(shard)) continue;
    let found = listed.get(name);
    if (found === undefined) {
      found = { hasRecord: false, files: [] };
      listed.set(name, found);
    }
    if (fill === undefined) found.hasRecord = true;
    else found.files.push({ file, fill, kind });
  }
  return listed;
}

/** A record as it lies there. `'newer'`: a newer version of this package has written it. */
export type LyingRecord =
  | { record: EntryRecord; bytes: number; usedAt: number }
  | 'newer'
  | 'damaged'
  | undefined;

/** undefined: there is none, or it can't be read. */
export function readRecord(layout: Layout, name: string): LyingRecord {
  const found = readFile(layout.record(name));
  if (found === undefined) return undefined;
  const { bytes, usedAt } = found;
  const record = decodeRecord(bytes);
  if (record !== undefined) return { record, bytes: bytes.byteLength, usedAt };
  return decodeNewerRecord(bytes) === undefined ? 'damaged' : 'newer';
}

/** Most records fit; it is used over and over. */
const buffer = Buffer.allocUnsafeSlow(64 * 1024);

/** What is returned holds until the next call. */
function readFile(path: string): { bytes: Buffer; usedAt: number } | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const { size, mtimeMs } = fstatSync(fd);
    const into = size <= buffer.byteLength ? buffer : Buffer.allocUnsafeSlow(size);
    const bytes = into.subarray(0, readSync(fd, into, 0, size, 0));
    return { bytes, usedAt: mtimeMs };
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** Whether what lies there has its body. */
export function hasBody(layout: Layout, name: string, fill: string, { files }: Listed): boolean {
  return files.some(isOf(fill, 'body')) || existsSync(layout.body(name, fill));
}

export function isOf(fill: string, kind: FileName['kind']): (file: Listed['files'][number]) => boolean {
  return (file) => file.fill === fill && file.kind === kind;
}

/** In milliseconds since the epoch; undefined where there is no such file. */
export function modifiedAt(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  } catch {
    return undefined;
  }
}

/** @throws where a directory is there, and can't be read */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
    throw error;
  }
}
