import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import type { Digest, DigestAlgorithm } from '../../http/digest.ts';
import { BlockSums } from '../blocks.ts';

/** What the worker is told; one `id` a body. */
export type VerifyRequest =
  | { id: number; do: 'open'; fd: number; algorithms: DigestAlgorithm[] }
  /** The file holds this many bytes. */
  | { id: number; do: 'advance'; to: number }
  /** Bytes that did not get into the file. */
  | { id: number; do: 'feed'; bytes: Uint8Array }
  | { id: number; do: 'digest' }
  | { id: number; do: 'close' };

/** What was found out about a body. */
export interface Findings {
  digests: Digest[];
  /** The CRC-32 of each of its blocks. */
  blocks: Uint32Array;
}

export type VerifyAnswer = { id: number; findings: Findings } | { id: number; error: string };

const SLICE_BYTES = 1024 * 1024;

/** Several digests of one body, in one pass. */
export class Hashing {
  readonly #hashes: Map<DigestAlgorithm, Hash>;

  constructor(algorithms: Iterable<DigestAlgorithm>) {
    this.#hashes = new Map([...algorithms].map((algorithm) => [algorithm, createHash(algorithm)]));
  }

  update(bytes: Uint8Array): void {
    for (const hash of this.#hashes.values()) hash.update(bytes);
  }

  digests(): Digest[] {
    return [...this.#hashes].map(([algorithm, hash]) => ({ algorithm, hex: hash.digest('hex') }));
  }
}

/** Shared by all bodies of a thread: a slice is read and hashed in one go. */
let buffer: Buffer | undefined;

/** Follows a file as it grows, a slice at a time, so that one large body does not keep others waiting. */
export class FileHashing {
  readonly #fd: number;
  readonly #hashing: Hashing;
  readonly #blocks = new BlockSums();
  #position = 0;
  #target = 0;

  constructor(fd: number, algorithms: readonly DigestAlgorithm[]) {
    this.#fd = fd;
    this.#hashing = new Hashing(algorithms);
  }

  advance(to: number): void {
    this.#target = Math.max(this.#target, to);
  }

  /** Hashes one slice; whether there is more. @throws where the file is shorter than it was said to be */
  step(): boolean {
    const wanted = Math.min(SLICE_BYTES, this.#target - this.#position);
    if (wanted <= 0) return false;
    buffer ??= Buffer.allocUnsafeSlow(SLICE_BYTES);
    const count = readSync(this.#fd, buffer, 0, wanted, this.#position);
    if (count === 0) throw new Error(`the file ends at ${this.#position} of ${this.#target} bytes`);
    this.#update(buffer.subarray(0, count));
    this.#position += count;
    return this.#position < this.#target;
  }

  /** Bytes after the end of the file. */
  feed(bytes: Uint8Array): void {
    while (this.step());
    this.#update(bytes);
  }

  findings(): Findings {
    while (this.step());
    return { digests: this.#hashing.digests(), blocks: this.#blocks.all() };
  }

  #update(bytes: Uint8Array): void {
    this.#hashing.update(bytes);
    this.#blocks.update(bytes);
  }
}
