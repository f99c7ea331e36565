import { BackendError } from '../../errors.ts';
import { Slices } from '../../fs/slices.ts';
import type { ObjectInfo, StorageBackend } from '../backends/backend.ts';
import { layout } from '../layout.ts';
import { emptyTally, type Kind, type NamespaceReport, type PruneProblem, type Tally } from './report.ts';

/** What is done at the same time; the rest of the backend is for those who push and pull. */
const AT_ONCE = 8;

/** After so many everybody else has a turn, even where each of them takes no time at all. */
const BATCH = 64;

export type Stage = 'uploads' | 'repositories' | 'blobs';

export interface PruneEvent {
  namespace: string;
  stage: Stage;
  /** How many of the stage have been looked at so far: uploads, blobs, or what repositories have. */
  done: number;
}

/** What may be removed, in milliseconds since the epoch: what is older than that, never what is just as old (statement 39). */
export interface Cutoffs {
  /** Of uploads, and of what nothing refers to. */
  upload: number;
  /** Of tags and manifests, by their last push; absent: that is no reason to remove one. */
  manifest?: number | undefined;
  /** A tag that was pulled since stays. */
  used?: number | undefined;
  /** So many of a repository's tags stay: those that were pushed last. */
  keepTags?: number | undefined;
}

export interface RunOptions {
  dryRun: boolean;
  cutoffs: Cutoffs;
  signal?: AbortSignal | undefined;
  onProgress?: ((event: PruneEvent) => void) | undefined;
  /** Does the work unless somebody writes to the upload, or the tag, with that path at the moment; whether it was done. */
  hold(path: string, work: () => Promise<void>): Promise<boolean>;
  /** Larger ones that no repository has as a manifest are not read to see what they refer to, in bytes. */
  maxManifestBytes: number;
}

/** The pruning of one namespace: what has been decided of it, with which nothing of another one has to do (statement 49). */
export class Run {
  readonly backend: StorageBackend;
  readonly namespace: string;
  readonly options: RunOptions;
  readonly report: NamespaceReport = { removed: emptyTally(), kept: emptyTally(), swept: false };
  readonly problems: PruneProblem[] = [];
  /** Something could not be read, and so it is not known which blobs are needed. */
  unsure = false;
  readonly slices: Slices = new Slices();
  #stage: Stage = 'uploads';
  #done = 0;

  constructor(backend: StorageBackend, namespace: string, options: RunOptions) {
    this.backend = backend;
    this.namespace = namespace;
    this.options = options;
  }

  get cutoffs(): Cutoffs {
    return this.options.cutoffs;
  }

  /** Whether tags and manifests are removed at all. */
  get hasLimits(): boolean {
    return this.cutoffs.manifest !== undefined || this.cutoffs.keepTags !== undefined;
  }

  isOld({ modifiedAt }: Pick<ObjectInfo, 'modifiedAt'>): boolean {
    return modifiedAt < this.cutoffs.upload;
  }

  begin(stage: Stage): void {
    this.#stage = stage;
    this.#done = 0;
  }

  end(): void {
    this.options.onProgress?.({ namespace: this.namespace, stage: this.#stage, done: this.#done });
  }

  /** Some at a time; what fails of one is a problem of that one. */
  async each<T>(
    items: AsyncIterable<T> | Iterable<T>,
    what: (item: T) => string,
    work: (item: T) => Promise<void>,
  ): Promise<void> {
    let batch: T[] = [];
    const flush = async (): Promise<void> => {
      await Promise.all(batch.map((item) => this.attempt(what(item), () => work(item))));
      await this.#turn(batch.length);
      batch = [];
    };
    for await (const item of items) {
      if (batch.push(item) >= AT_ONCE) await flush();
    }
    if (batch.length > 0) await flush();
  }

  /** For what takes no steps of its own, but may be much. */
  async *inSlices<T>(items: Iterable<T>): AsyncGenerator<T, void, undefined> {
    let n = 0;
    for (const item of items) {
      yield item;
      if (++n % BATCH === 0 && this.slices.over) await this.slices.next();
    }
  }

  /** Notes what the backend can't do, and goes on; undefined then. Whatever else fails ends the run. */
  async attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      // It has vanished in between.
      if (error.reason !== 'missing') this.problem(what, error);
      return undefined;
    }
  }

  problem(what: string, error: Error): void {
    this.problems.push({ namespace: this.namespace, what, error });
  }

  /** All that lies there, in memory. */
  async list(path: string): Promise<ObjectInfo[]> {
    const found: ObjectInfo[] = [];
    for await (const each of this.backend.list(path)) found.push(each);
    return found;
  }

  keep(info: Pick<ObjectInfo, 'size'>, kind?: Kind): void {
    count(this.report.kept, info.size, kind);
  }

  /** Removes an object, or would do so. */
  async remove(path: string, info: Pick<ObjectInfo, 'size'>, kind?: Kind): Promise<void> {
    if (this.options.dryRun || (await this.backend.delete(path))) this.removed(info, kind);
  }

  removed(info: Pick<ObjectInfo, 'size'>, kind?: Kind): void {
    count(this.report.removed, info.size, kind);
  }

  /** Some backends keep folders in which nothing is any more (statement 34). */
  async removeFolder(path: string): Promise<void> {
    if (!this.options.dryRun) await this.attempt(path, () => this.backend.delete(path));
  }

  /** Whether the content with the digest was pushed, or somebody was told of it, so lately that nothing that leads to it may go. */
  async isWanted(digest: string): Promise<boolean> {
    const found = await this.list(layout.blob(this.namespace, digest));
    return found.some((each) => (each.name === 'data' || each.name === 'touched') && !this.isOld(each));
  }

  async #turn(done: number): Promise<void> {
    const before = Math.floor(this.#done / BATCH);
    this.#done += done;
    this.options.signal?.throwIfAborted();
    const isFull = Math.floor(this.#done / BATCH) > before;
    if (isFull) this.end();
    if (isFull || this.slices.over) await this.slices.next();
  }
}

function count(tally: Tally, size: number, kind: Kind | undefined): void {
  tally.objects++;
  tally.bytes += size;
  if (kind !== undefined) tally[kind]++;
}
