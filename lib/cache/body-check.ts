import { createHash } from 'node:crypto';
import { fstatSync } from 'node:fs';
import { LRUCache } from 'lru-cache';
import { StoreError } from '../errors.ts';
import { type FileIdentity, identityOf, isQuiet, isSame } from '../fs/identity.ts';
import type { Layout } from '../fs/layout.ts';
import type { ByteRange } from '../http/body.ts';
import type { Digest } from '../http/digest.ts';
import { BLOCK_BYTES, countBlocks, isBlock } from './blocks.ts';
import { type BodyName, readBlocks, renewBlocks } from './blocks-file.ts';
import { Verifier } from './fill/verify.ts';
import type { Pace } from './pace.ts';

/** As much is remembered of the bodies that were checked, in bytes: their checksums, those of 3 TiB say. */
const MEMORY_BYTES = 16 * 2 ** 20;

/** Charged for a body besides its checksums. */
const OVERHEAD_BYTES = 512;

/** A body is handed to the verifying thread in pieces of this size where somebody sets the pace. */
const PACED_BYTES = 2 ** 20;

/** Why a body is none. */
export const NOT_WHAT_WAS_STORED = 'a stored body is not what was stored';

/** What a body failed with, as it is told of its entry. */
export function whyOf({ message, cause }: Error): string {
  const { code } = (cause ?? {}) as { code?: unknown };
  const why = message.replace(/^ERR_\w+: a stored/, 'its');
  return typeof code === 'string' ? `${why}: ${code}` : why;
}

/** A body as its record describes it. */
export interface RecordedBody extends BodyName {
  digests: readonly Digest[];
}

/** What is known of one body, to all who read it. */
class Known {
  readonly fill: string;
  /** What its blocks should be; undefined while that is not known, and for a body of one block. */
  sums: Uint32Array | undefined;
  loading: Promise<void> | undefined;
  /** The file whose blocks were checked. */
  identity: FileIdentity | undefined;
  /** A bit for each block that is what was stored. */
  readonly #good: Uint8Array;
  /** Blocks that are not marked. */
  #left: number;
  readonly #count: number;

  constructor({ fill, size }: RecordedBody) {
    this.fill = fill;
    this.#count = countBlocks(size);
    this.#left = this.#count;
    this.#good = new Uint8Array(Math.ceil(this.#count / 8));
  }

  /** Whether all blocks are marked from one of these positions to the other. */
  isMarked({ start, end }: ByteRange): boolean {
    if (this.#left === 0) return true;
    for (let block = Math.floor(start / BLOCK_BYTES); block * BLOCK_BYTES < end; block++)
      if (!this.#isMarked(block)) return false;
    return true;
  }

  mark(block: number): void {
    if (this.#isMarked(block)) return;
    this.#good[block >> 3] = (this.#good[block >> 3] ?? 0) | (1 << (block & 7));
    this.#left--;
  }

  forget(): void {
    this.#good.fill(0);
    this.#left = this.#count;
  }

  #isMarked(block: number): boolean {
    return ((this.#good[block >> 3] ?? 0) & (1 << (block & 7))) !== 0;
  }
}

/** Which bodies have been checked since the cache was made, and as which files. */
export class BodyChecks {
  readonly #layout: Layout;
  readonly #fileMode: number;
  /** Of the latest body of each name. */
  readonly #known = new LRUCache<string, Known>({ maxSize: MEMORY_BYTES });

  constructor(layout: Layout, fileMode: number) {
    this.#layout = layout;
    this.#fileMode = fileMode;
  }

  /**
   * The check of one open body.
   * @param always nothing is taken for granted because it was checked before
   */
  of(body: RecordedBody, fd: number, always = false): BodyCheck {
    const { name, fill } = body;
    let known = this.#known.get(name);
    if (known?.fill !== fill) {
      known = new Known(body);
      this.#known.set(name, known, { size: OVERHEAD_BYTES + 5 * countBlocks(body.size) });
    }
    return new BodyCheck(body, fd, known, { layout: this.#layout, fileMode: this.#fileMode, always });
  }

  /** The body of this name has gone, or was replaced. Who still reads it goes by what was known. */
  forget(name: string): void {
    this.#known.delete(name);
  }
}

/**
 * Tells whether the blocks of an open body are what was stored. One that was checked counts as good for as long as `stat` says that nobody
 * has written to the file; all who read the body share that knowledge.
 */
export class BodyCheck {
  readonly #body: RecordedBody;
  readonly #fd: number;
  readonly #known: Known;
  readonly #owner: { layout: Layout; fileMode: number; always: boolean };
  /** What the file was when it was looked at last. */
  #seen: FileIdentity | undefined;
  /** Whoever writes to it from then on is found out. */
  #isQuiet = false;

  constructor(
    body: RecordedBody,
    fd: number,
    known: Known,
    owner: { layout: Layout; fileMode: number; always: boolean },
  ) {
    this.#body = body;
    this.#fd = fd;
    this.#known = known;
    this.#owner = owner;
  }

  /** Whether every block of the range was good when the file was looked at last. */
  wasGood(range: ByteRange): boolean {
    return !this.#owner.always && this.#known.isMarked(range);
  }

  /** The same, when the file is looked at now: that takes about 1 µs. */
  isGood(range: ByteRange): boolean {
    this.#look();
    return this.wasGood(range);
  }

  /** The block that a position is in. */
  blockAt(position: number): ByteRange {
    const start = position - (position % BLOCK_BYTES);
    return { start, end: Math.min(start + BLOCK_BYTES, this.#body.size) };
  }

  /**
   * Looks at the file. Resolves when blocks can be checked; undefined where they can be already.
   * @throws StoreError where the body turns out to be damaged
   */
  ready(): Promise<void> | undefined {
    const known = this.#known;
    this.#look();
    if (this.#body.size <= BLOCK_BYTES || known.sums !== undefined) return undefined;
    known.loading ??= this.#load().finally(() => {
      known.loading = undefined;
    });
    return known.loading;
  }

  /** To be called before the block is read that begins at `start`; what is returned tells whether these are its bytes. */
  checking(start: number): (bytes: Uint8Array) => boolean {
    this.#look();
    const [seen, quiet] = [this.#seen, this.#isQuiet];
    return (bytes) => {
      const block = start / BLOCK_BYTES;
      const { size } = this.#body;
      const good = size <= BLOCK_BYTES ? this.#isWhole(bytes) : isBlock(bytes, this.#known.sums?.[block]);
      if (good && quiet && this.#known.identity === seen) this.#known.mark(block);
      return good;
    };
  }

  /**
   * Reads all of it in the verifying thread, and writes its checksums anew where they are not as they should be.
   * @throws StoreError where it is not what was stored, or can't be read; what `pace` rejects with
   */
  async whole(pace?: Pace): Promise<void> {
    this.#look();
    const [seen, quiet] = [this.#seen, this.#isQuiet];
    const { size } = this.#body;
    const verifier = new Verifier(this.#fd, []);
    try {
      for (let at = 0; at < size; ) {
        const piece = pace === undefined ? size : Math.min(PACED_BYTES, size - at);
        await pace?.spend(piece);
        at += piece;
        verifier.advance(at);
      }
      const found = verifier.digest();
      const { digests, blocks } = await (pace === undefined ? found : pace.done(found));
      if (!this.#isDigest(digests[0]?.hex)) throw new StoreError(NOT_WHAT_WAS_STORED);
      this.#known.sums = blocks;
      if (quiet && this.#known.identity === seen)
        for (let block = 0; block < blocks.length; block++) this.#known.mark(block);
      await this.#keep(blocks);
    } finally {
      verifier.close();
    }
  }

  #isWhole(bytes: Uint8Array): boolean {
    return this.#isDigest(createHash('sha256').update(bytes).digest('hex'));
  }

  #isDigest(hex: string | undefined): boolean {
    return hex === this.#body.digests.find(({ algorithm }) => algorithm === 'sha256')?.hex;
  }

  #look(): void {
    const seenAt = Date.now();
    const identity = identityOf(fstatSync(this.#fd));
    const known = this.#known;
    if (known.identity === undefined || !isSame(known.identity, identity)) {
      known.identity = identity;
      known.forget();
    }
    this.#seen = known.identity;
    this.#isQuiet = isQuiet(identity, seenAt);
  }

  async #load(): Promise<void> {
    const sums = await readBlocks(this.#owner.layout, this.#body);
    // An earlier version has stored it, or they are damaged themselves.
    if (sums === undefined) await this.whole();
    else this.#known.sums = sums;
  }

  async #keep(blocks: Uint32Array): Promise<void> {
    const { layout, fileMode } = this.#owner;
    if (this.#body.size <= BLOCK_BYTES) return;
    const there = await readBlocks(layout, this.#body);
    if (there !== undefined && Buffer.compare(bytesOf(there), bytesOf(blocks)) === 0) return;
    await renewBlocks(layout, this.#body, blocks, fileMode);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
