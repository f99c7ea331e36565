// docs/reference/cache-contract.md

import { LRUCache } from 'lru-cache';
import type {
  Cache,
  Entry,
  EntryInfo,
  FillInfo,
  FillOptions,
  Key,
  PartialBody,
  PartsDeclineReason,
} from '../../cache/cache.ts';
import { SupersededError } from '../../errors.ts';
import type { ByteRange, ResponseHead } from '../../http/body.ts';
import { type Digest, declaredDigests } from '../../http/digest.ts';
import type { OriginResponse } from '../../origin/request.ts';
import type { Reason } from '../../reasons.ts';
import { type Asked, decide } from '../../response/plan.ts';
import { ColdBody } from './cold-body.ts';
import { ColdFile, type ColdFileOptions } from './cold-file.ts';
import { firstAsked } from './first-range.ts';
import { FirstRequest, unless } from './first-request.ts';
import { isOfSame, keptOf, type Part, partOf, validatorOf } from './generation.ts';
import { discard, type MakeRequest, type Source } from './part-fetch.ts';

/** Before parts say so themselves files are asked for in blocks of so many bytes. */
const BLOCK_BYTES = 2 ** 20;

/** Asked for at a time, in bytes. */
const WINDOW_BYTES = 64 * 2 ** 20;

const NONE: ReadonlySet<string> = new Set();

/** A file that changes again and again while it is asked for is not put together. */
const ATTEMPTS = 3;

export interface ColdFilesOptions {
  source: Source;
  cache: Pick<Cache, 'open' | 'parts'>;
  /** Response headers that are not kept, lower-case. Default none. */
  dropHeaders?: ReadonlySet<string>;
  /** Most that is asked for at a time, in bytes. Default 64 MiB. */
  windowBytes?: number;
  /** What nobody waits for any more is fetched to the end of its block (default), or to that of what was asked for. */
  whenDeserted?: ColdFileOptions['whenDeserted'];
}

/** A request for a file that is not stored. */
export interface ColdQuestion {
  key: Key;
  asked: Asked;
  request: MakeRequest;
  /** Why a file with this head, and of so many bytes, is not to be kept. */
  admit(head: ResponseHead, size: number): Promise<Reason | undefined> | Reason | undefined;
  /** How it is to be kept, and what it must hash to besides what its head declares. */
  terms(
    head: ResponseHead,
    size: number,
  ): { options?: Omit<FillOptions, 'size'>; digests?: readonly Digest[] };
  /** Whether parts that are there may be used still; where not, they are for those only who read them. Default: they may. */
  usable?(head: ResponseHead, info: FillInfo): boolean;
  /** The file has become an entry. */
  published?(info: EntryInfo): void;
  /** A file that was whole has not, or the origin has another one by now. */
  failed?(error: Error): void;
  /** The client has left. */
  signal: AbortSignal;
}

/**
 * `body`: to be sent; `hit`: nothing has to be fetched for it. `entry`: it is stored by now. `response`: the origin's, that has no part of
 * the file to give: to be relayed, or, where it is a 200, kept. `declined`: to be had without this. `again`: somebody else got such an
 * answer; look once more. undefined: there are no parts, and none is asked for.
 */
export type ColdAnswer =
  | { body: ColdBody; hit: boolean }
  | { entry: Entry }
  | { response: OriginResponse }
  | { declined: Reason | PartsDeclineReason }
  | { again: true }
  | undefined;

type Found = { file: ColdFile } | Exclude<ColdAnswer, { body: ColdBody } | undefined>;

/** Answers ranges of files that are not stored, by fetching the blocks that are missing, and no others, each of them once. */
export class ColdFiles {
  readonly #options: ColdFilesOptions;
  readonly #files = new Map<string, ColdFile>();
  readonly #firsts = new Map<string, FirstRequest<Found>>();
  /** Files that can't be put together of parts. */
  readonly #unsuited = new LRUCache<string, true>({ max: 1000, ttl: 600_000 });

  /** To be told when one of them is over. */
  readonly #waiting: (() => void)[] = [];

  constructor(options: ColdFilesOptions) {
    this.#options = options;
  }

  /** @throws what the origin, or the client's signal, fails with */
  async answer(question: ColdQuestion): Promise<ColdAnswer> {
    for (let attempt = 1; ; attempt++) {
      const found = await this.#find(question);
      if (found === undefined || !('file' in found)) return found;
      const { file } = found;
      const { head, info } = file.parts;
      const leave = file.use();
      try {
        if (question.usable?.(head, info) === false) {
          if (attempt === ATTEMPTS) return { declined: 'expired' };
          file.parts.retire();
          continue;
        }
        return await this.#body(file, question);
      } catch (error) {
        // The origin has another one by now: that is asked for.
        if (file.parts.dropped === undefined || attempt === ATTEMPTS || question.signal.aborted) throw error;
      } finally {
        leave();
      }
    }
  }

  /** Resolves when nothing is fetched or read any more. */
  async idle(): Promise<void> {
    while (this.#files.size + this.#firsts.size > 0)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Ends what is being fetched. */
  close(reason: Error = new SupersededError('the filter was closed')): void {
    for (const first of this.#firsts.values()) first.abort(reason);
    for (const file of this.#files.values()) file.abort(reason);
  }

  async #body(file: ColdFile, { asked, request, signal }: ColdQuestion): Promise<ColdAnswer> {
    const { parts } = file;
    const plan = decide(asked, parts.head, parts.size);
    const isNothing = asked.method === 'HEAD' || plan.status > 206;
    const ranges = isNothing ? [] : (plan.ranges ?? [{ start: 0, end: parts.size }]);
    const hit = ranges.every((range) => file.has(range));
    const body = new ColdBody(file, request, hullOf(ranges));
    const [first] = ranges;
    try {
      if (first !== undefined) await unless(signal, body.prepare(first));
      if (parts.dropped !== undefined) throw parts.dropped;
    } catch (error) {
      body.release();
      throw error;
    }
    return { body, hit };
  }

  async #find(question: ColdQuestion): Promise<Found | undefined> {
    const { key, asked, signal } = question;
    const { cache } = this.#options;
    const id = JSON.stringify([key.primary, key.variant ?? '']);
    const live = this.#live(id);
    if (live !== undefined) return { file: live };
    if (cache.parts === undefined) return { declined: 'range' };
    const parts = await cache.parts.open(key);
    if (parts !== undefined) return 'declined' in parts ? parts : { file: this.#adopt(id, parts, question) };
    const entry = await cache.open(key);
    if (entry !== undefined) return { entry };
    const range = asked.method === 'GET' ? asked.headers.range : undefined;
    const window = this.#options.windowBytes ?? WINDOW_BYTES;
    const first = range === undefined ? undefined : firstAsked(range, BLOCK_BYTES, window);
    if (first === undefined) return undefined;
    if (this.#unsuited.has(id)) return { declined: 'range' };
    // Somebody may have begun while this one looked.
    const begun = this.#live(id);
    if (begun !== undefined) return { file: begun };
    const running = this.#firsts.get(id);
    if (running !== undefined) return shared(await running.wait(signal));
    const request = new FirstRequest<Found>((stop) => this.#begin(id, question, first, stop));
    this.#firsts.set(id, request);
    void request.settled.then(() => {
      this.#firsts.delete(id);
      this.#tell();
    });
    return request.wait(signal);
  }

  /** Asks for what the first client wants, and learns from the answer what file it is of. */
  async #begin(id: string, question: ColdQuestion, asked: ByteRange, signal: AbortSignal): Promise<Found> {
    const { key, request } = question;
    let first: { response: OriginResponse; part: Part } | undefined;
    let other: Found | undefined;
    let failure: unknown;
    // The store knows of it before the origin is asked: a purge in between is not to be missed.
    const parts = await this.#options.cache.parts?.open(key, async () => {
      try {
        const response = await this.#options.source.fetch({ ...request(asked), signal });
        const judged = await this.#judge(id, question, asked, response);
        if (!('part' in judged)) {
          other = judged;
          return undefined;
        }
        first = { response, part: judged.part };
        const { head, size } = judged.part;
        return {
          head: keptOf(head, this.#options.dropHeaders ?? NONE),
          size,
          options: question.terms(head, size).options ?? {},
        };
      } catch (error) {
        failure = error ?? new Error('the origin could not be asked');
        return undefined;
      }
    });
    const isUnused = parts === undefined || 'declined' in parts;
    if (isUnused && first !== undefined) discard(first.response);
    if (failure !== undefined) throw failure;
    if (isUnused) return other ?? parts ?? { again: true };
    const file = this.#adopt(id, parts, question);
    if (first !== undefined) this.#feed(file, request, asked, first.response, first.part);
    return { file };
  }

  /** What follows from the first answer: a part that can be kept, or what is to be said instead. Rejects with what `admit` throws. */
  async #judge(
    id: string,
    { admit }: ColdQuestion,
    asked: ByteRange,
    response: OriginResponse,
  ): Promise<{ part: Part } | Exclude<Found, { file: ColdFile }>> {
    const part = fitting(response, asked);
    if (part === undefined) return { response };
    const isSuited = part !== 'unsuited' && validatorOf(part.head.headers) !== undefined;
    if (!isSuited) this.#unsuited.set(id, true);
    try {
      const declined = isSuited ? await admit(part.head, part.size) : 'range';
      if (declined === undefined && isSuited) return { part };
      discard(response);
      return { declined: declined ?? 'range' };
    } catch (error) {
      discard(response);
      throw error;
    }
  }

  /** Puts what came first where it belongs, unless it was only to be learned what file it is of. */
  #feed(file: ColdFile, request: MakeRequest, asked: ByteRange, response: OriginResponse, part: Part): void {
    const range = { start: asked.start, end: Math.min(asked.end, part.size) };
    const [missing] = file.parts.missing(range);
    const isWanted = missing?.start === range.start && missing.end === range.end;
    if (!isWanted || !isOfSame(part, file.parts.head, file.parts.size)) {
      discard(response);
      return;
    }
    const unwant = file.want({ position: range.start, end: range.end });
    const { begun } = file.feed(range, request, response);
    // By then whoever waits for it has said so.
    void begun.catch(() => undefined).then(() => setImmediate(unwant));
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #live(id: string): ColdFile | undefined {
    const file = this.#files.get(id);
    return file?.isOver === false ? file : undefined;
  }

  /** The file of these parts, which are released with it. */
  #adopt(id: string, parts: PartialBody, { terms, published, failed }: ColdQuestion): ColdFile {
    const live = this.#live(id);
    if (live?.parts === parts) {
      parts.release();
      return live;
    }
    const { source, whenDeserted = 'block', windowBytes = WINDOW_BYTES } = this.#options;
    const { digests = [] } = terms(parts.head, parts.size);
    const file = new ColdFile(parts, {
      source,
      proof: { length: parts.size, digests: [...declaredDigests(parts.head.headers), ...digests] },
      windowBytes,
      whenDeserted,
      published: (info) => published?.(info),
      failed: (error) => failed?.(error),
      over: (each) => {
        if (this.#files.get(id) === each) this.#files.delete(id);
        this.#tell();
      },
    });
    this.#files.set(id, file);
    // Until whoever asked for it has it; he may have left.
    setImmediate(file.use());
    return file;
  }
}

/** The part that was asked for; 'unsuited': another one, or one that does not say what it is of; undefined: no part. */
function fitting(response: OriginResponse, asked: ByteRange): Part | 'unsuited' | undefined {
  if (response.status !== 206) return undefined;
  const part = partOf(response);
  const fits = part !== undefined && part.range.start === asked.start && part.range.end <= asked.end;
  return fits ? part : 'unsuited';
}

/** What somebody gets who shares in what another one has asked for. */
function shared(found: Found): Found {
  // What was purged meanwhile is for those who asked before.
  const isOver = 'file' in found && found.file.isOver;
  return isOver || 'response' in found || 'entry' in found ? { again: true } : found;
}

function hullOf(ranges: readonly ByteRange[]): ByteRange {
  if (ranges.length === 0) return { start: 0, end: 0 };
  return {
    start: Math.min(...ranges.map(({ start }) => start)),
    end: Math.max(...ranges.map(({ end }) => end)),
  };
}
