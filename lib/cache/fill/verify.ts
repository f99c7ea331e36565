import { Worker } from 'node:worker_threads';
import createDebug from 'debug';
import { StoreError } from '../../errors.ts';
import type { Digest, DigestAlgorithm } from '../../http/digest.ts';
import { FileHashing, type Findings, type VerifyAnswer, type VerifyRequest } from './hashing.ts';

const debug = createDebug('cache-filter:fill');

/** Below this a body is hashed on the spot: a message to another thread and back takes longer. */
const INLINE_BYTES = 256 * 1024;

/** The thread is told of so much at a time: a message costs as much as hashing 50 KiB. */
const TOLD_BYTES = 1024 * 1024;

type Waiting = { resolve(findings: Findings): void; reject(error: Error): void };

/** The thread that hashes for all fills of this process; started when it is first needed, and no reason to keep the process alive. */
class VerifyThread {
  static #shared: VerifyThread | undefined;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #loss: ThreadLost | undefined;

  static get(): VerifyThread | undefined {
    try {
      VerifyThread.#shared ??= new VerifyThread();
    } catch (error) {
      debug('no verification thread, hashing on the main thread: %o', error);
    }
    return VerifyThread.#shared;
  }

  private constructor() {
    // The tests run the sources as they are.
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    this.#worker = new Worker(new URL(`./verify-worker${extension}`, import.meta.url));
    this.#worker.on('message', (answer: VerifyAnswer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('findings' in answer) waiting?.resolve(answer.findings);
      else waiting?.reject(new StoreError(`a stored body could not be read back: ${answer.error}`));
    });
    this.#worker.on('error', (error) => this.#lost(error));
    this.#worker.on('exit', () => this.#lost(new Error('the verification thread ended')));
    // After the listeners: they hold the process themselves.
    this.#worker.unref();
  }

  open(fd: number, algorithms: DigestAlgorithm[]): number {
    const id = this.#nextId++;
    this.post({ id, do: 'open', fd, algorithms });
    return id;
  }

  post(request: VerifyRequest): void {
    this.#worker.postMessage(request);
  }

  digest(id: number): Promise<Findings> {
    return new Promise((resolve, reject) => {
      // What is posted to a thread that has ended is never answered.
      if (this.#loss !== undefined) return reject(this.#loss);
      // While somebody waits for it, the process may not end.
      this.#worker.ref();
      const answered =
        <T>(settle: (answer: T) => void) =>
        (answer: T): void => {
          if (this.#waiting.size === 0) this.#worker.unref();
          settle(answer);
        };
      this.#waiting.set(id, { resolve: answered(resolve), reject: answered(reject) });
      this.post({ id, do: 'digest' });
    });
  }

  #lost(error: Error): void {
    if (VerifyThread.#shared === this) VerifyThread.#shared = undefined;
    this.#loss ??= new ThreadLost(error.message);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(this.#loss);
  }
}

class ThreadLost extends Error {}

/** Digests, and checksums of the blocks, of what was written to a file, computed from the file itself while it grows. */
export class Verifier {
  readonly #fd: number;
  readonly #algorithms: DigestAlgorithm[];
  #stored = 0;
  /** How much of it the thread has been told of. */
  #told = 0;
  #fed: Uint8Array[] = [];
  /** Bytes were given to the thread that nobody else has. */
  #fedAway = false;
  #thread: { thread: VerifyThread; id: number } | undefined;
  #closed = false;

  constructor(fd: number, algorithms: Iterable<DigestAlgorithm>) {
    this.#fd = fd;
    this.#algorithms = [...new Set<DigestAlgorithm>(['sha256', ...algorithms])];
  }

  /** The file holds `to` bytes. */
  advance(to: number): void {
    if (this.#closed) return;
    this.#stored = to;
    if (this.#thread === undefined && to > INLINE_BYTES) this.#start();
    if (to >= this.#told + TOLD_BYTES) this.#tell();
  }

  /** Bytes that follow what the file holds, when it can take no more. */
  feed(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (this.#thread === undefined) this.#start();
    if (this.#thread === undefined) {
      this.#fed.push(bytes);
      return;
    }
    this.#fedAway = true;
    this.#tell();
    this.#thread.thread.post({ id: this.#thread.id, do: 'feed', bytes });
  }

  /** @throws StoreError where the file can't be read back */
  async digest(): Promise<Findings> {
    if (this.#thread !== undefined) {
      this.#tell();
      try {
        return await this.#thread.thread.digest(this.#thread.id);
      } catch (error) {
        if (!(error instanceof ThreadLost) || this.#fedAway) throw error;
        debug('hashing again on the main thread: %s', error.message);
      }
    }
    return this.#inline(this.#algorithms);
  }

  /** Digests that were not asked for at the start, of a body that is all in the file. @throws StoreError */
  async again(algorithms: readonly DigestAlgorithm[]): Promise<Digest[]> {
    return (await this.#inline(algorithms)).digests;
  }

  close(): void {
    this.#closed = true;
    this.#thread?.thread.post({ id: this.#thread.id, do: 'close' });
    this.#thread = undefined;
    this.#fed = [];
  }

  #start(): void {
    const thread = VerifyThread.get();
    if (thread === undefined) return;
    this.#thread = { thread, id: thread.open(this.#fd, this.#algorithms) };
  }

  #tell(): void {
    if (this.#thread === undefined || this.#told === this.#stored) return;
    this.#told = this.#stored;
    this.#thread.thread.post({ id: this.#thread.id, do: 'advance', to: this.#told });
  }

  async #inline(algorithms: readonly DigestAlgorithm[]): Promise<Findings> {
    try {
      const hashing = new FileHashing(this.#fd, algorithms);
      hashing.advance(this.#stored);
      // A slice at a time: without the thread a large body would hold the loop.
      while (hashing.step()) {
        await new Promise((resolve) => setImmediate(resolve));
        // Its descriptor may be somebody else's by now.
        if (this.#closed) throw new Error('given up');
      }
      for (const bytes of this.#fed) hashing.feed(bytes);
      return hashing.findings();
    } catch (error) {
      throw new StoreError('a stored body could not be read back', { cause: error });
    }
  }
}
