import { createHash, type Hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { DigestName } from './names.ts';
import { Sha256, type Sha256State } from './sha256.ts';

/** A hash that goes on from chunk to chunk. */
export interface RunningDigest {
  readonly algorithm: DigestName;
  /** How many it has been fed. */
  readonly bytes: number;
  update(bytes: Uint8Array): void;
  /** `sha256:…` of all so far; it can be fed afterwards. */
  value(): string;
  /** What another process can go on with; undefined where it can't. */
  readonly state: Sha256State | undefined;
}

class NativeDigest implements RunningDigest {
  readonly algorithm: DigestName;
  readonly state = undefined;
  readonly #hash: Hash;
  #bytes = 0;

  constructor(algorithm: DigestName) {
    this.algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  get bytes(): number {
    return this.#bytes;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.byteLength;
  }

  value(): string {
    return `${this.algorithm}:${this.#hash.copy().digest('hex')}`;
  }
}

class PortableDigest implements RunningDigest {
  readonly algorithm = 'sha256';
  readonly #hash: Sha256;

  constructor(hash: Sha256) {
    this.#hash = hash;
  }

  get bytes(): number {
    return this.#hash.bytes;
  }

  get state(): Sha256State {
    return this.#hash.state;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  value(): string {
    return `sha256:${Sha256.from(this.#hash.state)?.digest()}`;
  }
}

/** What is known of an upload whose hash is to go on. */
export interface Resumption {
  /** The upload, among all of this process. */
  id: string;
  algorithm: DigestName;
  /** How many bytes are stored. */
  size: number;
  /** What its record has saved. */
  saved: unknown;
  /** All that is stored, in order. */
  read: () => AsyncIterable<Uint8Array>;
}

/**
 * The hashes of uploads in the making. `native`: the one of node:crypto, several times as fast; where it is not in this process any more, what
 * is stored is read again. `portable`: ours, whose state is saved with the upload. A state that does not fit what is stored is none.
 */
export class Digesters {
  readonly #portable: boolean;
  readonly #live: LRUCache<string, RunningDigest>;

  constructor(strategy: 'native' | 'portable', maxLive: number) {
    this.#portable = strategy === 'portable';
    this.#live = new LRUCache({ max: maxLive });
  }

  async resume({ id, algorithm, size, saved, read }: Resumption): Promise<RunningDigest> {
    const live = this.#live.get(id);
    if (live !== undefined && live.algorithm === algorithm && live.bytes === size) return live;
    this.#live.delete(id);
    const portable = this.#portable && algorithm === 'sha256';
    const from = portable ? Sha256.from(saved) : undefined;
    const digest =
      from?.bytes === size
        ? new PortableDigest(from)
        : await digestOf(portable ? new PortableDigest(new Sha256()) : new NativeDigest(algorithm), read());
    this.#live.set(id, digest);
    return digest;
  }

  forget(id: string): void {
    this.#live.delete(id);
  }
}

/** The digest of all that comes. */
export async function digestBytes(algorithm: DigestName, bytes: AsyncIterable<Uint8Array>): Promise<string> {
  return (await digestOf(new NativeDigest(algorithm), bytes)).value();
}

async function digestOf(digest: RunningDigest, bytes: AsyncIterable<Uint8Array>): Promise<RunningDigest> {
  for await (const piece of bytes) digest.update(piece);
  return digest;
}
