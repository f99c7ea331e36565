/** What must hold of a cache directory whenever nothing runs, whatever went wrong before. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeRecord } from '../../lib/cache/record.ts';
import { Layout, parseFileName } from '../../lib/fs/layout.ts';
import { Disk } from '../cache/disk.ts';

/** A record on its way out can't be aged from outside, as its time is that of its last change: it is left for so long, in milliseconds. */
const GONE_MS = 6_000;

/** What the cache says of itself. */
export interface Account {
  entries: number;
  bytes: number;
  fills: number;
  corrupt: number;
}

/** What is wrong with a directory: nothing half-done, nothing without an owner, and (with an account) nothing that was not charged. */
export function problemsOf(directory: string, account?: Account): string[] {
  const layout = new Layout(directory);
  const problems = [...unfinished(layout), ...unowned(layout), ...unpaired(layout)];
  if (account === undefined || problems.length > 0) return problems;
  const { entries, bytes, fills, corrupt } = account;
  const found = records(layout).length;
  if (entries !== found) problems.push(`${entries} entries are accounted for, ${found} are on disk`);
  const disk = new Disk({ after: () => undefined } as never, directory);
  const leaving = files(layout.incomplete).filter((path) => path.endsWith('.gone'));
  const used = disk.used() + inBlocks(files(layout.queue)) - inBlocks(leaving);
  if (bytes !== used) problems.push(`${bytes} bytes are charged, ${used} are on disk`);
  if (fills !== 0) problems.push(`${fills} fills run`);
  if (corrupt !== 0) problems.push(`${corrupt} entries turned out to be damaged`);
  return problems;
}

/** Nothing in `incomplete/`. */
function unfinished({ root, incomplete }: Layout): string[] {
  return files(incomplete)
    .filter((path) => !path.endsWith('.gone') || Date.now() - statSync(path).ctimeMs > GONE_MS)
    .map((path) => `${relative(root, path)} is left over`);
}

/** Each file among the entries belongs to a record, and each record has its body. */
function unowned(layout: Layout): string[] {
  const problems: string[] = [];
  const fills = new Map<string, string>();
  for (const path of records(layout)) {
    const name = parseFileName(relative(join(path, '..'), path))?.name ?? '';
    const record = decodeRecord(readFileSync(path));
    if (record === undefined) {
      problems.push(`the record ${name} is damaged`);
      continue;
    }
    fills.set(name, record.fill);
    const body = layout.body(name, record.fill);
    const size = existsSync(body) ? statSync(body).size : undefined;
    if (size !== record.size) problems.push(`${record.key.primary} has ${size} of ${record.size} bytes`);
  }
  for (const path of files(layout.entries)) {
    const file = relative(join(path, '..'), path);
    const [, name = file, fill] = /^([^.]+)\.([0-9a-f]{16})\.\w+$/.exec(file) ?? [];
    if (!file.endsWith('.json') && fills.get(name) !== fill) problems.push(`${file} has no record`);
  }
  return problems;
}

/** A body that is kept for diagnosis has its note, and the note its body. */
function unpaired({ invalid }: Layout): string[] {
  const all = new Set(files(invalid));
  return [...all]
    .filter(
      (path) =>
        !all.has(path.endsWith('.json') ? path.replace(/json$/, 'body') : path.replace(/body$/, 'json')),
    )
    .map((path) => `invalid/${relative(invalid, path)} is alone`);
}

function records({ entries }: Layout): string[] {
  return files(entries).filter((path) => path.endsWith('.json'));
}

function inBlocks(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + Math.ceil(statSync(path).size / 4096) * 4096, 0);
}

function files(below: string): string[] {
  if (!existsSync(below)) return [];
  return readdirSync(below, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What a process holds: descriptors, and whatever would keep it alive. */
interface Held {
  descriptors: number;
  resources: string;
}

/** So long may it take until what is being closed is closed, in milliseconds. */
const CLOSING_MS = 10_000;

function held(): Held {
  const info = process
    .getActiveResourcesInfo()
    .filter((name) => !/^(FS|CloseReq|TickObject|Immediate)/.test(name));
  const descriptors = existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0;
  return { descriptors, resources: info.sort().join(' ') };
}

/** Remembers what the process holds, now that nothing runs; resolves to what it does not give back, '' where it does. */
export async function holdings(): Promise<() => Promise<string>> {
  const before = await steady();
  return async () => {
    const since = Date.now();
    for (;;) {
      const now = held();
      if (now.descriptors <= before.descriptors && now.resources === before.resources) return '';
      if (Date.now() - since > CLOSING_MS) {
        return `${before.descriptors} descriptors and ${before.resources} became ${now.descriptors} and ${now.resources}`;
      }
      await sleep(5);
    }
  };
}

/** What is being closed has been closed. */
async function steady(): Promise<Held> {
  for (let before = held(), same = 0; ; ) {
    await sleep(5);
    const now = held();
    same = JSON.stringify(now) === JSON.stringify(before) ? same + 1 : 0;
    if (same === 4) return now;
    before = now;
  }
}
