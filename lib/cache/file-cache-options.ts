// docs/reference/options.md

import { resolve } from 'node:path';
import { OptionReader, requireMode, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { requireInactiveMs } from './expiry.ts';
import { type MemoryOptions, resolveMemory } from './hot-entries.ts';

/** What a `FileCache` is made with. */
export interface FileCacheOptions {
  /** Where everything is kept; created where it is missing. */
  directory: string;
  /** Hard limit in bytes. Default 10 GiB. */
  maxBytes?: number;
  /** Largest body that is kept, in bytes. Default half of `maxBytes`. */
  maxEntryBytes?: number;
  /** For bodies that turned out wrong, kept for a day at most, in bytes. Default 256 MiB, or an eighth of `maxBytes`; 0: none. */
  maxInvalidBytes?: number;
  /** Free space to be left on the file system, in bytes; 0: none. Default the larger of 1 GiB and 5 % of it. */
  minFreeBytes?: number;
  /** Entries that are not used for so many milliseconds are removed. Default: they are not. */
  inactiveMs?: number;
  /**
   * What is still there after a loss of power. `'none'` (default): what the system has written by then; a damaged record
   * or body is dropped. `'commit'`: every entry, from the moment it can be found; each commit waits for the disk.
   */
  durability?: 'none' | 'commit';
  /**
   * Which stored bytes are checked before they go out. `'first'` (default): each MiB once, and again when the file has been written to.
   * `'always'`: each time. `'size'`: none; only the size of the file is.
   */
  verify?: 'first' | 'always' | 'size';
  /** What is kept in memory, or open, of the entries asked for most. false: nothing. */
  memory?: MemoryOptions | false;
  /** Of several processes one clears up, by a lock. It saves work; false: each does it, and nothing else changes. Default true. */
  locks?: boolean;
  /** Of every file that is created, whatever the umask. Default 0o600. */
  fileMode?: number;
  /** Of every directory that is created, whatever the umask. Default 0o700. */
  directoryMode?: number;
  /** A directory that can't be used declines everything, and is tried again, where the constructor would throw. Default false. */
  startDegraded?: boolean;
  /** Where changes of state are told. Default the console; false: nowhere. */
  logger?: Logger | false;
}

/** The options with every default filled in. */
export interface FileCacheConfig
  extends Required<Omit<FileCacheOptions, 'memory' | 'minFreeBytes' | 'inactiveMs'>> {
  /** undefined: it depends on the file system. */
  minFreeBytes: number | undefined;
  inactiveMs: number | undefined;
  memory: ReturnType<typeof resolveMemory>;
}

/** Every name there is. */
export const FILE_CACHE_OPTIONS: Record<keyof FileCacheOptions, true> = {
  directory: true,
  maxBytes: true,
  maxEntryBytes: true,
  maxInvalidBytes: true,
  minFreeBytes: true,
  inactiveMs: true,
  durability: true,
  verify: true,
  memory: true,
  locks: true,
  fileMode: true,
  directoryMode: true,
  startDegraded: true,
  logger: true,
};

/** @throws OptionError */
export function resolveFileCacheOptions(options: FileCacheOptions): FileCacheConfig {
  const read = new OptionReader(options, FILE_CACHE_OPTIONS);
  const { directory, inactiveMs, fileMode = 0o600, directoryMode = 0o700, logger = console } = options;
  if (typeof directory !== 'string' || directory === '')
    throw new OptionError('directory', `directory must be a path, got ${show(directory)}`);
  const maxBytes = read.bytes('maxBytes', 10 * 2 ** 30);
  requireInactiveMs(inactiveMs);
  requireMode('fileMode', fileMode, 0o600);
  requireMode('directoryMode', directoryMode, 0o700);
  if (logger !== false && (typeof logger?.warn !== 'function' || typeof logger.error !== 'function')) {
    throw new OptionError('logger', 'logger must have the methods warn and error, or be false');
  }
  return {
    directory: resolve(directory),
    maxBytes,
    maxEntryBytes: read.bytes('maxEntryBytes', Math.floor(maxBytes / 2)),
    maxInvalidBytes: read.bytes('maxInvalidBytes', Math.min(256 * 2 ** 20, Math.floor(maxBytes / 8))),
    minFreeBytes: read.bytes('minFreeBytes', undefined),
    inactiveMs,
    durability: read.oneOf('durability', ['none', 'commit']),
    verify: read.oneOf('verify', ['first', 'always', 'size']),
    memory: resolveMemory(options.memory),
    locks: read.flag('locks', true),
    fileMode,
    directoryMode,
    startDegraded: read.flag('startDegraded', false),
    logger,
  };
}
