import createDebug from 'debug';
import type { EntryInfo, PartialBody, Proof } from '../../cache/cache.ts';
import { IncompleteError, IntegrityError, SupersededError } from '../../errors.ts';
import type { ByteRange } from '../../http/body.ts';
import type { OriginResponse } from '../../origin/request.ts';
import { isOfSame, validatorOf } from './generation.ts';
import { type FetchOwner, type MakeRequest, PartFetch, type Source } from './part-fetch.ts';

const debug = createDebug('cache-filter:fill');

/** What turns out to be damaged while it is verified is fetched again so often. */
const REPAIRS = 3;

/** Somebody who wants bytes, and how far he has got. */
export interface Wanter {
  position: number;
  readonly end: number;
}

/** How fetches go about it, and who hears what becomes of the file. */
export interface ColdFileOptions {
  source: Source;
  proof: Proof;
  /** Asked for at a time, in bytes: who comes for what lies beyond that need not wait for all that comes before. */
  windowBytes: number;
  /** What nobody waits for any more is fetched to the end of its block, or, 'finish', to its own. */
  whenDeserted: 'block' | 'finish';
  /** It has become an entry. */
  published(info: EntryInfo): void;
  /** It has not, or has been given up. */
  failed(error: Error): void;
  /** Nobody reads it, and nothing is being fetched. */
  over(file: ColdFile): void;
}

/** One file of which only parts are there, what is being fetched of it, and those who read it. */
export class ColdFile implements FetchOwner {
  readonly parts: PartialBody;
  readonly validator: string;
  /** The store takes no more: who reads on has it from the origin. */
  isFull = false;
  readonly options: ColdFileOptions;
  readonly #fetches = new Set<PartFetch>();
  readonly #wanters = new Set<Wanter>();
  #users = 0;
  #whole: Promise<void> | undefined;
  #over = false;

  /** @param parts which it releases in the end */
  constructor(parts: PartialBody, options: ColdFileOptions) {
    this.parts = parts;
    this.options = options;
    this.validator = validatorOf(parts.head.headers) ?? '';
  }

  get blockBytes(): number {
    return this.parts.blockBytes;
  }

  /** Nobody else may be given it. */
  get isOver(): boolean {
    return this.#over || this.parts.isOver;
  }

  /** One more who uses it, until the returned function is called. */
  use(): () => void {
    this.#users++;
    let using = true;
    return () => {
      if (using) this.#leave();
      using = false;
    };
  }

  /** Says that somebody wants bytes, until the returned function is called. */
  want(wanter: Wanter): () => void {
    this.#wanters.add(wanter);
    return () => this.#wanters.delete(wanter);
  }

  /** Whether all of it is there, and not just on its way. */
  has({ start, end }: ByteRange): boolean {
    const isComing = [...this.#fetches].some(({ range }) => range.start < end && start < range.end);
    return !isComing && this.parts.missing({ start, end }).length === 0;
  }

  /** Takes an answer that has come already; what it does not bring is missing. */
  feed(range: ByteRange, request: MakeRequest, first: OriginResponse): PartFetch {
    return this.#fetch(range, request, first);
  }

  /** Sees to it that the byte at `position` is there, or on its way. Resolves when it is known to come. @throws where it won't */
  async ensure(position: number, end: number, request: MakeRequest): Promise<void> {
    if (this.parts.dropped !== undefined) throw this.parts.dropped;
    const missing = this.#firstMissing(position, end);
    if (missing !== undefined) return this.#fetch(missing, request).begun;
    const fetch = [...this.#fetches].find(({ range }) => range.start <= position && position < range.end);
    await fetch?.begun;
  }

  /** The same, without waiting for it; up to where all of it is there, or on its way. */
  reach(position: number, end: number, request: MakeRequest): number {
    const missing = this.#firstMissing(position, end);
    if (missing !== undefined) this.#fetch(missing, request);
    return Math.min(end, this.parts.missing({ start: position, end })[0]?.start ?? end);
  }

  /** Resolves when all of it is there, and verified, whether or not it can be kept. @throws what is wrong with it */
  whole(request: MakeRequest): Promise<void> {
    this.#whole ??= this.#complete(request).finally(() => {
      // What has been decided stays so.
      if (!this.parts.isOver) this.#whole = undefined;
    });
    return this.#whole;
  }

  /** Ends what is being fetched. */
  abort(reason: Error): void {
    for (const fetch of this.#fetches) fetch.abort(reason);
  }

  isWanted(position: number, range: ByteRange): boolean {
    if (this.options.whenDeserted === 'finish') return true;
    for (const wanter of this.#wanters) if (wanter.end > position && wanter.position < range.end) return true;
    return false;
  }

  readonly isSame: FetchOwner['isSame'] = (part) => isOfSame(part, this.parts.head, this.parts.size);

  readonly full = (): void => {
    this.isFull = true;
  };

  readonly changed = (status: number): Error => {
    const error = new IntegrityError(
      `what the origin has now is not what parts of were stored: it answered ${status}`,
    );
    void this.parts.drop(error);
    this.options.failed(error);
    return error;
  };

  /** Of what is missing, what comes first, where it begins at or around `position`; no more than is asked for at a time. */
  #firstMissing(position: number, end: number): ByteRange | undefined {
    const [first] = this.parts.missing({ start: position, end });
    if (first === undefined || first.start > position) return undefined;
    return { start: first.start, end: Math.min(first.end, first.start + this.options.windowBytes) };
  }

  #fetch(range: ByteRange, request: MakeRequest, first?: OriginResponse): PartFetch {
    const writer = this.parts.begin(range);
    const given = { writer, request, ...(first === undefined ? {} : { first }) };
    this.#users++;
    const owner: FetchOwner = {
      blockBytes: this.blockBytes,
      validator: this.validator,
      isWanted: (position, of) => this.isWanted(position, of),
      isSame: this.isSame,
      changed: this.changed,
      full: this.full,
    };
    const fetch = new PartFetch(owner, this.options.source, given);
    this.#fetches.add(fetch);
    void fetch.ended.then(() => {
      this.#fetches.delete(fetch);
      if (this.parts.isWhole && !this.isOver) this.whole(request).catch(() => undefined);
      this.#leave();
    });
    return fetch;
  }

  async #complete(request: MakeRequest): Promise<void> {
    this.#users++;
    const unwant = this.want({ position: 0, end: this.parts.size });
    try {
      for (let repair = 0; ; repair++) {
        await this.#fetchAll(request);
        try {
          this.options.published(await this.parts.commit(this.options.proof));
          return;
        } catch (error) {
          debug('%s is not kept: %o', this.validator, error);
          const isDamaged = !this.parts.isWhole && this.parts.dropped === undefined;
          if (isDamaged && repair < REPAIRS) continue;
          this.options.failed(error as Error);
          // It is what it should be.
          if (error instanceof SupersededError || this.parts.isOver) {
            if (this.parts.dropped === undefined) return;
          }
          throw error;
        }
      }
    } finally {
      unwant();
      this.#leave();
    }
  }

  async #fetchAll(request: MakeRequest): Promise<void> {
    while (!this.parts.isWhole) {
      if (this.parts.dropped !== undefined) throw this.parts.dropped;
      const [first] = this.parts.missing();
      const fetch =
        first === undefined
          ? [...this.#fetches][0]
          : this.#fetch(
              { ...first, end: Math.min(first.end, first.start + this.options.windowBytes) },
              request,
            );
      const before = fetch?.position;
      await fetch?.ended;
      const isStuck = fetch === undefined || (fetch.position === before && fetch.position < fetch.range.end);
      if (isStuck && !this.parts.isWhole) throw new IncompleteError('what is missing can not be had');
    }
  }

  #leave(): void {
    if (--this.#users > 0 || this.#over) return;
    this.#over = true;
    this.options.over(this);
    this.parts.release();
  }
}
