import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Entry, Key } from '../../lib/cache/cache.ts';
import type { FileCache, FileCacheOptions } from '../../lib/cache/file-cache.ts';
import { bytesOf, put } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';

export const KEY: Key = { primary: '/a', variant: '?b' };
export const SMALL: number = 10_000;
export const LARGE: number = 3 * 2 ** 20;

export const KINDS: [string, number][] = [
  ['in memory', SMALL],
  ['kept open', LARGE],
];

/** Opens until the answer comes without a wait: files must be of some age before their identity is relied on. */
export async function warm(cache: FileCache, key: Key = KEY): Promise<Entry> {
  for (const end = Date.now() + 20_000; Date.now() < end; ) {
    const answer = cache.open(key);
    if (!(answer instanceof Promise) && answer !== undefined) return answer;
    (await answer)?.release();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${JSON.stringify(key)} does not become hot`);
}

export async function prepared(
  t: TestContext,
  size: number,
  options: Omit<FileCacheOptions, 'directory'> = {},
): Promise<{ disk: Disk; cache: FileCache }> {
  const disk = new Disk(t);
  const cache = await disk.cache(options);
  await put(cache, KEY, bytesOf(size), { tags: ['t'] });
  (await warm(cache)).release();
  return { disk, cache };
}

/** Descriptors of this process on bodies below the directory, whether they still have a name or not. */
export function openBodies(disk: Disk): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(join('/proc/self/fd', fd));
      return path.startsWith(disk.directory) && path.includes('.body') ? [path] : [];
    } catch {
      return [];
    }
  });
}

/** Resolves once this is so; the file cache does it in the background. */
export async function eventually(holds: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end; ) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`never: ${what}`);
}

export const onLinux = { skip: process.platform === 'linux' ? false : 'needs /proc' };
