import createDebug from 'debug';
import type { PartWriter } from '../../cache/cache.ts';
import { IncompleteError } from '../../errors.ts';
import type { ByteRange } from '../../http/body.ts';
import type { OriginRequest, OriginResponse } from '../../origin/request.ts';
import { type Part, partOf } from './generation.ts';

const debug = createDebug('cache-filter:fill');

/** What comes short is asked for again so often, without a block having come in between. */
const ATTEMPTS = 3;

/** Whoever gives answers: an `Origin`. */
export interface Source {
  fetch(request: OriginRequest): Promise<OriginResponse>;
}

/** The request for a range of one file; `ifRange`: only of the state that this names. */
export type MakeRequest = (range: ByteRange, ifRange?: string) => OriginRequest;

/** What is asked of the file that a fetch is for. */
export interface FetchOwner {
  blockBytes: number;
  validator: string;
  /** Whether somebody wants what follows this position of the range. */
  isWanted(position: number, range: ByteRange): boolean;
  isSame(part: Part): boolean;
  /** What the origin has now is another file, or none. */
  changed(status: number): Error;
  /** The store takes no more. */
  full(): void;
}

/** One range on its way from the origin to the blocks that were promised for it. It belongs to no client. */
export class PartFetch {
  readonly range: ByteRange;
  /** Settles when the origin has begun to answer as it should, or won't. */
  readonly begun: Promise<void>;
  /** Resolves when nothing more comes of it. Never rejects. */
  readonly ended: Promise<void>;
  readonly #owner: FetchOwner;
  readonly #source: Source;
  readonly #request: MakeRequest;
  readonly #writer: PartWriter;
  readonly #stop = new AbortController();
  #answered!: (error?: Error) => void;

  /** @param first an answer that is there already, and begins where the range does */
  constructor(
    owner: FetchOwner,
    source: Source,
    { writer, request, first }: { writer: PartWriter; request: MakeRequest; first?: OriginResponse },
  ) {
    this.#owner = owner;
    this.#source = source;
    this.#request = request;
    this.#writer = writer;
    this.range = writer.range;
    this.begun = new Promise((resolve, reject) => {
      this.#answered = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.begun.catch(() => undefined);
    this.ended = this.#run(first);
  }

  get position(): number {
    return this.#writer.position;
  }

  /** Gives it up at once. */
  abort(reason: Error): void {
    this.#stop.abort(reason);
  }

  async #run(first: OriginResponse | undefined): Promise<void> {
    const { range } = this;
    let response = first;
    let blockAt = this.position;
    try {
      for (let attempt = 1; this.position < range.end; attempt++) {
        response ??= await this.#ask();
        this.#answered();
        const error = await this.#take(response);
        response = undefined;
        if (error === 'done') break;
        if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
        if (this.position >= blockAt + this.#owner.blockBytes) attempt = 1;
        blockAt = this.position;
        debug('%s came short at %d: %o', this.#owner.validator, this.position, error);
        if (attempt >= ATTEMPTS) throw error;
      }
      this.#writer.end();
      this.#answered();
    } catch (error) {
      this.#writer.fail(error as Error);
      this.#answered(error as Error);
    }
  }

  /** @throws where the origin does not answer as it should */
  async #ask(): Promise<OriginResponse> {
    const asked = { start: this.position, end: this.range.end };
    const { validator, isSame, changed } = this.#owner;
    const request = this.#request(asked, validator);
    const response = await this.#source.fetch({ ...request, signal: this.#stop.signal });
    const part = partOf(response);
    if (part !== undefined && part.range.start === asked.start && part.range.end <= asked.end && isSame(part))
      return response;
    discard(response);
    const { status } = response;
    // Of a failure of its own nothing follows about the file.
    if (status >= 500 || status === 429 || status === 408 || status === 401 || status === 403)
      throw new IncompleteError(
        `the origin answered ${status} to a request for the bytes from ${asked.start} on`,
      );
    throw changed(status);
  }

  /** Writes what comes. 'done': there is nothing more to do; else why it came short. */
  async #take({ body }: OriginResponse): Promise<'done' | Error> {
    const { range } = this;
    const { blockBytes, isWanted, full } = this.#owner;
    try {
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        for (let at = 0; at < chunk.byteLength; ) {
          const { position } = this;
          if (position >= range.end) return 'done';
          const isAtEdge = position % blockBytes === 0;
          if (isAtEdge && !isWanted(position, range)) return 'done';
          const edge = Math.min(position - (position % blockBytes) + blockBytes, range.end);
          const piece = chunk.subarray(at, at + edge - position);
          at += piece.byteLength;
          if (await this.#writer.write(piece)) continue;
          full();
          return 'done';
        }
        if (this.position >= range.end) return 'done';
      }
      return new IncompleteError(`the origin's answer ended at byte ${this.position}`);
    } catch (error) {
      return error as Error;
    } finally {
      body.destroy();
    }
  }
}

/** Nobody wants its body. */
export function discard({ body }: OriginResponse): void {
  body.on('error', () => undefined).destroy();
}
