// docs/guides/origin.md

import { Readable } from 'node:stream';
import type { Entry } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';
import type { OriginResponse } from '../origin/request.ts';
import { send } from '../response/send.ts';
import { run } from '../steps.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';
import type { Journal } from './journal.ts';
import { MOST_BODY_BYTES, type Negative, type Negatives } from './negatives.ts';
import { Setbacks } from './revalidation.ts';
import type { Stored } from './stored.ts';

/** What the standby needs of the filter that it belongs to. */
export interface StandbyTools {
  stored: Stored;
  journal: Journal;
  negatives: Negatives;
  /** How to answer from an entry that was not there, or not fresh, at first; it passes the same gate as a hit. */
  late(exchange: Exchange, entry: Entry): Promise<() => unknown>;
  /** Purges what is stored for an errand. */
  drop(errand: Errand): Promise<unknown>;
}

/** What can be answered where the origin fails, or has just said that there is nothing. */
export class Standby {
  readonly #tools: StandbyTools;
  readonly #setbacks = new Setbacks();

  constructor(tools: StandbyTools) {
    this.#tools = tools;
  }

  /** To be taken before the origin is asked; `heard` wants to know. */
  get mark(): number {
    return this.#tools.negatives.mark;
  }

  /** An answer in place of asking the origin; undefined: it has to be asked. */
  async instead(exchange: Exchange): Promise<(() => unknown) | undefined> {
    const { negatives } = this.#tools;
    const negative = exchange.credentials ? undefined : negatives.find(exchange.key);
    if (negative !== undefined) return () => this.#deny(exchange, negative);
    return this.isSetBack(exchange) ? this.#stale(exchange) : undefined;
  }

  /** What is stale, as the origin has failed; undefined where that is not allowed. */
  stale(exchange: Exchange, status?: number): Promise<(() => unknown) | undefined> {
    this.failed(exchange);
    exchange.asOf = { fwd: 'stale', ...(status === undefined ? {} : { fwdStatus: status }) };
    return this.#stale(exchange);
  }

  /** Whether the origin has failed for it only just now. */
  isSetBack({ key }: Errand): boolean {
    return this.#setbacks.has(idOf(key));
  }

  failed({ key }: Errand): void {
    this.#setbacks.failed(idOf(key));
  }

  /** The origin has what is asked for. */
  worked({ key }: Errand): void {
    this.#setbacks.worked(idOf(key));
    this.#tools.negatives.forget(key);
  }

  /**
   * An answer that says that there is nothing: what is stored goes, and it is remembered. The answer that is returned is to be handed on in
   * its place.
   * @param wasStored there was a stale entry
   */
  async heard(
    errand: Errand,
    response: OriginResponse,
    { mark, wasStored }: { mark: number; wasStored: boolean },
  ): Promise<OriginResponse> {
    const { negatives, drop } = this.#tools;
    const isCurrent = mark === negatives.mark;
    if (wasStored) await drop(errand).catch(() => undefined);
    const { key, tag, match, credentials } = errand;
    if (!isCurrent || credentials || !negatives.wants(response, match.route.vary)) return response;
    const since = negatives.mark;
    const { status, statusMessage, headers } = response;
    const { whole, body } = await peek(response.body, MOST_BODY_BYTES);
    if (whole !== undefined) {
      const head = { status, ...(statusMessage === '' ? {} : { statusMessage }), headers };
      negatives.remember({ key, tags: [tag], head, body: whole }, since);
    }
    return { ...response, body };
  }

  async #stale(exchange: Exchange): Promise<(() => unknown) | undefined> {
    const { stored, late } = this.#tools;
    const entry = await run(stored.openStale(exchange));
    if (entry === undefined) exchange.asOf = undefined;
    return entry && late(exchange, entry);
  }

  async #deny(exchange: Exchange, negative: Negative): Promise<void> {
    const { journal } = this.#tools;
    const { head, body, storedAt, ttlMs } = negative;
    const now = Date.now();
    journal.negative(exchange, head.status);
    const ttl = Math.floor((storedAt + ttlMs - now) / 1000);
    const sent = await send(exchange.asked, exchange.res, bodyIn(negative), {
      headers: () => [
        ...exchange.statusField({ hit: true, ttl, detail: 'negative' }),
        ['Age', String(Math.floor((now - storedAt) / 1000))],
      ],
      timeoutMs: exchange.sendTimeoutMs,
      signal: exchange.signal,
    });
    journal.served(exchange, 'hit', body.length, sent);
  }
}

function bodyIn({ head, body }: Negative) {
  return {
    head,
    size: body.length,
    bytes: body,
    read: () => Readable.from([body], { objectMode: false }),
    release: () => undefined,
  };
}

/** A body that can be read once, and all of it where it has no more than so many bytes and comes whole. */
async function peek(body: Readable, maxBytes: number): Promise<{ whole?: Buffer; body: Readable }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const pieces = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  try {
    while (bytes <= maxBytes) {
      const { value, done } = await pieces.next();
      if (done) {
        const whole = Buffer.concat(chunks);
        return { whole, body: Readable.from([whole], { objectMode: false }) };
      }
      chunks.push(value);
      bytes += value.length;
    }
  } catch (error) {
    return { body: Readable.from(failing(chunks, error), { objectMode: false }) };
  }
  return { body: new Peeked(chunks, pieces, body) };
}

/** What was looked at, and what follows it. Whoever leaves it, read or not, leaves what it comes from. */
class Peeked extends Readable {
  readonly #chunks: Buffer[];
  readonly #pieces: AsyncIterator<Buffer>;
  readonly #body: Readable;

  constructor(chunks: Buffer[], pieces: AsyncIterator<Buffer>, body: Readable) {
    super();
    this.#chunks = chunks;
    this.#pieces = pieces;
    this.#body = body;
  }

  override _read(): void {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) this.push(chunk);
    else
      this.#pieces.next().then(
        ({ value, done }) => this.push(done ? null : value),
        (error: Error) => this.destroy(error),
      );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#body.destroy();
    callback(error);
  }
}

async function* failing(chunks: Buffer[], error: unknown): AsyncGenerator<Buffer> {
  yield* chunks;
  throw error;
}
