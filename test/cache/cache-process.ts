/** A process of its own with a FileCache, which does what its parent tells it. */
import { createHash, pbkdf2 } from 'node:crypto';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { Fill, FillOptions, Invalidation, Key, PartialBody, Proof } from '../../lib/cache/cache.ts';
import { charge } from '../../lib/cache/charge.ts';
import { FileCache, type FileCacheOptions } from '../../lib/cache/file-cache.ts';
import { bytesOf, HEAD, put, Reading, start, stored, write } from '../../lib/contracts/cache/steps.ts';
import { obeyIn, ToldProcess } from '../support/told.ts';

const pbkdf2Async = promisify(pbkdf2);

/** What it can be told; each answers with something that JSON can hold. */
const TASKS = {
  async open(options: FileCacheOptions) {
    cache = new FileCache({ minFreeBytes: 0, ...options });
    return cache.stats();
  },
  async start(key: Key, options: FillOptions) {
    fill = await start(opened(), key, options);
  },
  async write(length: number, seed: number) {
    await write(running(), bytesOf(length, seed));
  },
  /** `committed`, or the code of the error. */
  async commit(proof: Proof = {}) {
    return running()
      .commit(proof)
      .then(
        () => 'committed',
        (error: { code: string }) => error.code,
      );
  },
  /** Writes and commits while somebody reads: the SHA-256 of what was read. */
  async pour(length: number, seed: number) {
    const fill = running();
    const reader = fill.reader();
    const reading = Reading.of(reader);
    const bytes = bytesOf(length, seed);
    for (let at = 0; at < length; at += 65_536) await write(fill, bytes.subarray(at, at + 65_536));
    outcome = await fill.commit({ length }).then(
      () => 'committed',
      (error: Error & { code: string }) =>
        `${error.code} ${(error.cause as { code?: string } | undefined)?.code}`,
    );
    const read = await reading.whole();
    reader.release();
    return createHash('sha256').update(read).digest('hex');
  },
  /** How the commit of `pour` ended. */
  async outcome() {
    return outcome;
  },
  /** Begins a body of which only parts will be there; or has those that are there. */
  async parts(key: Key, size: number) {
    const body = await opened().parts.open(key, { head: HEAD, size });
    if (body === undefined || 'declined' in body) return body ?? null;
    partial = body;
    return body.missing();
  },
  /** Writes bytes of a body of so many, and neither ends nor fails. */
  async fetchParts(start: number, end: number, size: number) {
    const blockEnd = Math.min(size, Math.ceil(end / 2 ** 20) * 2 ** 20);
    const writer = partial?.begin({ start, end: blockEnd });
    return writer?.write(bytesOf(size).subarray(start, end));
  },
  /** Resolves when they are at rest. */
  async releaseParts() {
    partial?.release();
    await opened().close();
  },
  async umask() {
    return process.umask();
  },
  /** A whole entry, in place of whatever was there. */
  async put(key: Key, length: number) {
    await put(opened(), key, bytesOf(length), { claim: { newerThan: Number.MAX_SAFE_INTEGER } });
  },
  async stats() {
    return opened().stats();
  },
  /** Stores, reads and purges at random, in several hands at once; what it has stored, and when. */
  async churn(plan: Churn): Promise<Stored[]> {
    const stored: Stored[] = [];
    const random = generator(plan.seed);
    const hand = async () => {
      for (let i = 0; i < plan.rounds; i++) {
        const key = { primary: `/${Math.floor(random() * plan.keys)}` };
        const dice = random();
        if (dice < 0.05) await opened().invalidate({ key: key.primary });
        else if (dice < 0.25) {
          const entry = await opened().open(key);
          // Held for a while: it is read by somebody slow.
          await pause(random() * 20);
          entry?.release();
        } else
          await store(
            key,
            Math.floor(random() ** 2 * plan.mostBytes),
            random() < 0.5,
            random() * plan.fillMs,
          );
      }
    };
    const store = async (key: Key, length: number, isDeclared: boolean, milliseconds: number) => {
      const claim = await opened().claim(key, { newerThan: Number.MAX_SAFE_INTEGER });
      if (claim?.role === 'follower') (await claim.fill)?.release();
      if (claim?.role !== 'leader') return;
      const fill = await claim.start({ status: 200, headers: [] }, isDeclared ? { size: length } : {});
      if ('declined' in fill) return;
      const bytes = bytesOf(length, plan.seed);
      for (let at = 0; at < length; at += 65_536) await write(fill, bytes.subarray(at, at + 65_536));
      await pause(milliseconds);
      await fill.commit({ length }).then(
        () => stored.push({ at: Date.now(), bytes: charge(length, 4096) }),
        () => undefined,
      );
    };
    await Promise.all(Array.from({ length: plan.hands }, hand));
    return stored;
  },
  /** Holds up its event loop for a second at a time, and has more for its thread pool to do than it can. */
  async toil(milliseconds: number) {
    const end = Date.now() + milliseconds;
    let [blocks, jobs] = [0, 0];
    const hash = async () => {
      while (Date.now() < end) {
        await pbkdf2Async('busy', 'busy', 100_000, 32, 'sha256');
        jobs++;
      }
    };
    const hashing = Array.from({ length: 16 }, hash);
    while (Date.now() < end) {
      for (const until = Date.now() + 1_000; Date.now() < until; );
      blocks++;
      await pause(1);
    }
    await Promise.all(hashing);
    return { blocks, jobs };
  },
  async invalidate(what: Invalidation) {
    return opened().invalidate(what);
  },
  async pin(key: string, on: boolean) {
    return opened().pin(key, on);
  },
  async info(key: Key) {
    return (await opened().info(key)) ?? null;
  },
  async prune(toBytes: number) {
    return opened().prune({ toBytes });
  },
  async queue(key: Key) {
    return opened().queue.add(key, 'of the other process');
  },
  async close() {
    await opened().close();
  },
  /** The SHA-256 of what is stored. */
  async stored(key: Key) {
    const bytes = await stored(opened(), key);
    return bytes === undefined ? null : createHash('sha256').update(bytes).digest('hex');
  },
};

/** What `churn` does. */
export interface Churn {
  seed: number;
  /** Work at the same time. */
  hands: number;
  /** Of each. */
  rounds: number;
  keys: number;
  /** Of a body; most are smaller. */
  mostBytes: number;
  /** A fill takes at most so much longer than it need, in milliseconds. */
  fillMs: number;
}

/** An entry, when it had been committed (milliseconds since the epoch), and what it is charged with. */
export interface Stored {
  at: number;
  bytes: number;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

let cache: FileCache | undefined;
let fill: Fill | undefined;
let partial: PartialBody | undefined;
let outcome = '';

function opened(): FileCache {
  if (cache === undefined) throw new Error('not opened yet');
  return cache;
}

function running(): Fill {
  if (fill === undefined) throw new Error('no fill has begun');
  return fill;
}

obeyIn(import.meta.url, TASKS);

export class CacheProcess extends ToldProcess<typeof TASKS> {
  /** @param shell runs the command in its arguments: `ulimit -f 1 && exec "$@"` */
  constructor(t: TestContext, shell?: string) {
    super(t, import.meta.url, shell === undefined ? {} : { shell });
  }

  static async open(t: TestContext, options: FileCacheOptions, shell?: string): Promise<CacheProcess> {
    const child = new CacheProcess(t, shell);
    await child.tell('open', options);
    return child;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }
}
