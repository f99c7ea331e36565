import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { TestContext } from 'node:test';
import { FileCache, type FileCacheOptions } from '../../lib/cache/file-cache.ts';
import { decodeRecord, type EntryRecord } from '../../lib/cache/record.ts';
import { Layout } from '../../lib/fs/layout.ts';
import { PROBE_KEY } from '../../lib/fs/probe.ts';
import { temporaryDirectory } from '../support/directory.ts';

/** A cache directory, seen from outside. */
export class Disk {
  readonly directory: string;
  readonly layout: Layout;
  readonly #t: TestContext;

  constructor(t: TestContext, directory: string = join(temporaryDirectory(t), 'cache')) {
    this.directory = directory;
    this.layout = new Layout(directory);
    this.#t = t;
  }

  /** A cache in it, which is closed with the test; its start-up scan is over. */
  async cache(options: Omit<FileCacheOptions, 'directory'> = {}): Promise<FileCache> {
    const cache = this.unscanned(options);
    await cache.stats();
    return cache;
  }

  /** Whatever else is on the disk of whoever runs the tests, there is room: a test of free space says so itself. */
  unscanned(options: Omit<FileCacheOptions, 'directory'> = {}): FileCache {
    const cache = new FileCache({ directory: this.directory, logger: false, minFreeBytes: 0, ...options });
    this.#t.after(() => cache.close());
    return cache;
  }

  /** Every file, relative to the directory, with what varies from run to run taken out. */
  files(below: string = this.directory): string[] {
    const entries = readdirSync(below, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(this.directory, join(entry.parentPath, entry.name)))
      .map((path) => path.replace(/\.[0-9a-f]{16}\./, '.<fill>.'))
      .sort();
  }

  /** Of fills and removals; while the store is down, something to try it with comes and goes besides. */
  incomplete(): string[] {
    const probe = this.layout.name(PROBE_KEY, undefined);
    return readdirSync(this.layout.incomplete)
      .filter((file) => !file.startsWith(probe))
      .sort();
  }

  /** What is kept for diagnosis. */
  invalid(): string[] {
    return existsSync(this.layout.invalid) ? readdirSync(this.layout.invalid).sort() : [];
  }

  record(primary: string, variant?: string): EntryRecord {
    const path = this.recordPath(primary, variant);
    const record = decodeRecord(readFileSync(path));
    if (record === undefined) throw new Error(`${path} is damaged`);
    return record;
  }

  recordPath(primary: string, variant?: string): string {
    return this.layout.record(this.layout.name(primary, variant));
  }

  bodyPath(primary: string, variant?: string): string {
    return this.layout.body(this.layout.name(primary, variant), this.record(primary, variant).fill);
  }

  /** Bytes of all files, in whole blocks, as the budget counts them: each entry has a state, or may have one at any time. */
  used(): number {
    let bytes = 0;
    const { entries, incomplete, invalid } = this.layout;
    for (const below of [entries, incomplete, invalid].filter((path) => existsSync(path))) {
      for (const entry of readdirSync(below, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || entry.name.endsWith('.state')) continue;
        bytes += Math.ceil(statSync(join(entry.parentPath, entry.name)).size / 4096) * 4096;
        if (below === entries && entry.name.endsWith('.json')) bytes += 4096;
      }
    }
    return bytes;
  }

  blocksPath(primary: string, variant?: string): string {
    return this.layout.blocks(this.layout.name(primary, variant), this.record(primary, variant).fill);
  }

  statePath(primary: string, variant?: string): string {
    return this.layout.state(this.layout.name(primary, variant), this.record(primary, variant).fill);
  }

  /** As if the file had not been touched for so long. */
  age(path: string, ms: number): void {
    const time = new Date(Date.now() - ms);
    utimesSync(path, time, time);
  }
}
