import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type {
  Cache,
  Claim,
  ClaimOptions,
  Entry,
  EntryInfo,
  Fill,
  FillOptions,
  FillReader,
  Key,
  LeaderClaim,
  Proof,
} from '../../cache/cache.ts';
import type { ByteRange, ResponseHead } from '../../http/body.ts';

/** Longer than any step takes: what takes longer hangs. */
const PATIENCE_MS = 20_000;

export const HEAD: ResponseHead = { status: 200, headers: [['Content-Type', 'application/x-test']] };

/** Bytes that differ at every position and from one seed to the next, so that nothing is mistaken for anything else. */
export function bytesOf(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(Math.ceil(length / 4) * 4);
  for (let at = 0; at < bytes.length; at += 4) {
    bytes.writeUInt32LE(Math.imul(at / 4 + seed * 0x9e3779b1, 0x85ebca6b) >>> 0, at);
  }
  return bytes.subarray(0, length);
}

export function hashOf(algorithm: 'md5' | 'sha256' | 'sha512', bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

/** Fails with a story where a promise does not settle. */
export async function settled<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what}: nothing happened for ${PATIENCE_MS} ms`)),
      PATIENCE_MS,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export async function lead(cache: Cache, key: Key, options?: ClaimOptions): Promise<LeaderClaim> {
  const claim = await settled(cache.claim(key, options), 'claim');
  if (claim?.role !== 'leader') throw new Error(`expected to lead ${show(key)}, got ${describe(claim)}`);
  return claim;
}

export async function follow(
  cache: Cache,
  key: Key,
  options?: ClaimOptions,
): Promise<Claim & { role: 'follower' }> {
  const claim = await settled(cache.claim(key, options), 'claim');
  if (claim?.role !== 'follower') throw new Error(`expected to follow ${show(key)}, got ${describe(claim)}`);
  return claim;
}

/** Follows a fill that has begun. */
export async function joined(cache: Cache, key: Key): Promise<FillReader> {
  const { fill } = await follow(cache, key);
  const reader = await settled(fill, 'the fill to follow');
  if (reader === undefined) throw new Error(`the fill of ${show(key)} had nothing to share`);
  return reader;
}

export async function start(
  cache: Cache,
  key: Key,
  options?: FillOptions,
  claim?: ClaimOptions,
): Promise<Fill> {
  const leader = await lead(cache, key, claim);
  return begun(leader, options);
}

export async function begun(leader: LeaderClaim, options?: FillOptions): Promise<Fill> {
  const fill = await settled(leader.start(HEAD, options), 'start');
  if ('declined' in fill) throw new Error(`a fill was declined: ${fill.declined}`);
  return fill;
}

/** Writes as a source does that waits when it is asked to. */
export async function write(fill: Fill, ...chunks: Uint8Array[]): Promise<void> {
  for (const chunk of chunks) if (!fill.write(chunk)) await settled(fill.drained(), 'drained');
}

export interface PutOptions extends FillOptions {
  proof?: Proof;
  claim?: ClaimOptions;
}

/** Stores a body under a key. */
export async function put(
  cache: Cache,
  key: Key,
  bytes: Uint8Array,
  options: PutOptions = {},
): Promise<EntryInfo> {
  const { proof = { length: bytes.byteLength }, claim, ...rest } = options;
  const fill = await start(cache, key, { size: bytes.byteLength, ...rest }, claim);
  await write(fill, bytes);
  return settled(fill.commit(proof), 'commit');
}

export async function opened(cache: Cache, key: Key): Promise<Entry> {
  const entry = await cache.open(key);
  if (entry === undefined) throw new Error(`there is no entry for ${show(key)}`);
  return entry;
}

/** The bytes that are stored under a key; undefined where nothing is. */
export async function stored(cache: Cache, key: Key): Promise<Buffer | undefined> {
  const entry = await cache.open(key);
  if (entry === undefined) return undefined;
  try {
    return await new Reading(entry.read()).whole();
  } finally {
    entry.release();
  }
}

/** What came out of a stream so far, and how it ended. */
export class Reading {
  readonly stream: Readable;
  length = 0;
  readonly #chunks: Buffer[] = [];
  readonly #ended: Promise<Error | undefined>;
  #arrived: (() => void) | undefined;

  constructor(stream: Readable) {
    this.stream = stream;
    this.#ended = new Promise((resolve) => {
      stream.on('data', (chunk: Buffer) => {
        this.#chunks.push(chunk);
        this.length += chunk.byteLength;
        this.#arrived?.();
      });
      stream.once('end', () => resolve(undefined));
      stream.once('error', resolve);
      stream.once('close', () => resolve(new Error(`the stream was closed after ${this.length} bytes`)));
    });
  }

  static of(body: { read(range?: ByteRange): Readable }, range?: ByteRange): Reading {
    return new Reading(body.read(range));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Resolves once this many bytes have come. */
  async until(length: number): Promise<void> {
    const arrived = new Promise<void>((resolve) => {
      this.#arrived = () => {
        if (this.length >= length) resolve();
      };
      this.#arrived();
    });
    await settled(Promise.race([arrived, this.#ended]), `${length} bytes`);
    if (this.length < length)
      throw new Error(`expected ${length} bytes, the stream ended after ${this.length}`);
  }

  /** The error that ended it; undefined for a clean end. */
  failure(): Promise<Error | undefined> {
    return settled(this.#ended, `the end of a stream that gave ${this.length} bytes`);
  }

  /** All bytes, up to a clean end. */
  async whole(): Promise<Buffer> {
    const error = await this.failure();
    if (error !== undefined) throw error;
    return this.bytes;
  }
}

export function show(key: Key): string {
  return JSON.stringify(key).slice(0, 200);
}

function describe(claim: Claim | undefined): string {
  if (claim === undefined) return 'no claim';
  return claim.role === 'declined' ? `declined: ${claim.reason}` : `the role '${claim.role}'`;
}
