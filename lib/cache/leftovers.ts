import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import createDebug from 'debug';
import { OptionError } from '../errors.ts';
import { exists, list, onDisk, unlink } from '../fs/files.ts';
import { type FileName, type Layout, parseFileName } from '../fs/layout.ts';
import type { Removed } from './cache.ts';

const debug = createDebug('cache-filter:store');

/** A claim without a sign of life for this long has lost its owner, in milliseconds. */
export const DEAD_MS = 5_000;

/** @throws OptionError */
export function requireStalledMs(stalledMs: unknown): void {
  if (typeof stalledMs === 'number' && stalledMs >= 0) return;
  const came = String(stalledMs);
  throw new OptionError('stalledMs', `stalledMs must be milliseconds, 0 or more, got ${came}`);
}

interface Found extends FileName {
  fill: string;
  path: string;
  size: number;
  /** When it was last written, in milliseconds. */
  seenAt: number;
}

/**
 * Removes what is unfinished and belongs to no living fill, where none of its files was written for `stalledMs`. A fill lives while its
 * claim shows signs of life: a download may be as slow as it likes.
 * @param own fill ids of this process
 * @returns the fills that live, and what was removed here, in bodies and bytes on disk
 */
export async function removeLeftovers(
  layout: Layout,
  own: ReadonlySet<string>,
  stalledMs = 0,
): Promise<{ alive: Set<string>; removed: Removed }> {
  const now = Date.now();
  const files = await findUnfinished(layout);
  const alive = new Set(own);
  const claimed = new Set<string>();
  const seenAt = new Map<string, number>();
  for (const { fill, kind, seenAt: at } of files) {
    if (kind === 'claim') claimed.add(fill);
    seenAt.set(fill, Math.max(at, seenAt.get(fill) ?? 0));
    if ((kind === 'claim' || kind === 'gone') && now - at < DEAD_MS) alive.add(fill);
  }
  const removed = { entries: 0, bytes: 0 };
  for (const { path, name, fill, kind, size } of files) {
    if (alive.has(fill) || now - (seenAt.get(fill) ?? 0) < stalledMs) continue;
    // A claim is made before its body, and yet a listing that is read meanwhile may have the body only.
    if (kind === 'body' && !claimed.has(fill) && (await exists(layout.claim(name, fill)))) continue;
    // Whoever unlinks it counts it: others may be cleaning as well.
    if (!(await remove(path))) continue;
    if (kind === 'body') removed.entries++;
    removed.bytes += onDisk(size);
  }
  return { alive, removed };
}

async function findUnfinished(layout: Layout): Promise<Found[]> {
  const found: Found[] = [];
  for (const file of await list(layout.incomplete)) {
    const { fill, kind, name } = parseFileName(file) ?? {};
    if (fill === undefined || kind === undefined || name === undefined) continue;
    const path = join(layout.incomplete, file);
    const stat = await fs.stat(path).catch(() => undefined);
    if (stat === undefined) continue;
    // A record on its way out keeps the time of its last use; when it was renamed, ctime says.
    found.push({
      name,
      fill,
      kind,
      path,
      size: stat.size,
      seenAt: kind === 'gone' ? stat.ctimeMs : stat.mtimeMs,
    });
  }
  return found;
}

/** Removes a file that nobody needs; whether it was us. One that stays is no reason to stop. */
export async function remove(path: string): Promise<boolean> {
  debug('removing %s', path);
  return unlink(path).catch((error: unknown) => {
    debug('%s stays: %o', path, error);
    return false;
  });
}
