import createDebug from 'debug';
import { OriginError } from '../errors.ts';
import { backOffMs, isGatewayFailure, pause } from './back-off.ts';
import { discard } from './discard.ts';
import type { Origin } from './origin.ts';
import type { OriginRequest, OriginResponse } from './request.ts';
import { type Continuation, continuationOf, continues, type Extent, extentOf } from './resumption.ts';

const debug = createDebug('cache-filter:origin');

/** A Retry-After that is waited for. */
const MAX_WAIT_MS = 15_000;

/** What a request for the rest of a body does not take over from the one for its beginning. */
const REPLACED = /^(?:range|if-(?:range|match|none-match|modified-since|unmodified-since))$/i;

/**
 * The bytes of a representation, or of the part of it that a 206 has. Where they break off, the origin is asked for the rest, and it is gone
 * on with only if it is of the same state, byte for byte: two of them are never put together.
 */
export class Download {
  readonly #origin: Origin;
  readonly #request: OriginRequest;
  readonly #first: OriginResponse;
  readonly #resumes: number;
  #resumed = 0;

  /** @param options `resumes`: how often in a row it is gone on with, without a byte in between */
  constructor(
    origin: Origin,
    request: OriginRequest,
    first: OriginResponse,
    { resumes }: { resumes: number } = origin.config,
  ) {
    this.#origin = origin;
    this.#request = request;
    this.#first = first;
    this.#resumes = resumes;
  }

  /** How often it was gone on with. */
  get resumed(): number {
    return this.#resumed;
  }

  /**
   * To be called once. Leaving the iteration early destroys the body.
   *
   * @throws OriginError `broken` or `stalled` as the body did, where it can't be gone on with; `changed` where the origin has
   *   another one now; what the signal was aborted with
   */
  async *bytes(): AsyncGenerator<Buffer, void, undefined> {
    const extent = extentOf(this.#first);
    if (extent === undefined) {
      this.#first.body.destroy();
      throw this.#error('broken', 'a 206 does not say which part it is');
    }
    const continuation = continuationOf(this.#first, extent);
    let { body } = this.#first;
    let next = extent.start;
    for (let idle = 0; ; ) {
      try {
        for await (const chunk of body as AsyncIterable<Buffer>) {
          next += chunk.length;
          this.#requireWithin(next, extent);
          idle = 0;
          yield chunk;
        }
        if (extent.end === undefined || next === extent.end) return;
        throw this.#error('broken', `the body ended ${extent.end - next} bytes before its end`);
      } catch (error) {
        this.#request.signal.throwIfAborted();
        // Nothing is left to ask for: what broke came after the end.
        if (continuation === undefined || !isBreak(error) || next >= continuation.end) throw error;
        for (;;) {
          if (idle >= this.#resumes) throw error;
          const rest = await this.#rest(next, continuation, idle++, error);
          if (rest === undefined) continue;
          this.#resumed++;
          body = rest.body;
          break;
        }
      }
    }
  }

  /**
   * The answer with the rest; undefined: there was none this time.
   *
   * @param broke what is thrown where the origin refuses
   */
  async #rest(
    start: number,
    continuation: Continuation,
    tried: number,
    broke: OriginError,
  ): Promise<OriginResponse | undefined> {
    const { signal, targets, headers, method } = this.#request;
    const { target } = this.#first;
    await pause(backOffMs(this.#origin.config.retryDelayMs, tried), signal);
    debug('%s: goes on at byte %d', broke.message, start);
    let answer: OriginResponse;
    try {
      answer = await this.#origin.fetch({
        method,
        targets: [target, ...targets.filter((each) => each !== target)],
        headers: [
          ...headers.filter(([name]) => !REPLACED.test(name)),
          ['Range', `bytes=${start}-${continuation.end - 1}`],
          ['If-Range', continuation.validator.value],
        ],
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof OriginError) || error.reason === 'redirect') throw error;
      const seconds = Number(error.headers['Retry-After'] ?? 0);
      if (seconds > 0) await pause(Math.min(seconds * 1000, MAX_WAIT_MS), signal);
      return undefined;
    }
    if (continues(answer, start, continuation)) return answer;
    discard(answer.body);
    const { status } = answer;
    if (isGatewayFailure(status) || status === 500 || status === 429 || status === 408) return undefined;
    // Neither says anything about the state of the representation.
    if (status === 401 || status === 403) throw broke;
    throw this.#error(
      'changed',
      `the rest of the body can't be had: asked for it, the origin answered ${status}`,
      broke,
    );
  }

  #requireWithin(next: number, { end }: Extent): void {
    if (end !== undefined && next > end) throw this.#error('broken', 'the body went on beyond its end');
  }

  #error(reason: 'broken' | 'changed', what: string, cause?: Error): OriginError {
    const where = `${this.#request.method} ${new URL(this.#first.url).host}`;
    return new OriginError(reason, `${where}: ${what}`, cause === undefined ? {} : { cause });
  }
}

function isBreak(error: unknown): error is OriginError {
  return error instanceof OriginError && (error.reason === 'broken' || error.reason === 'stalled');
}
