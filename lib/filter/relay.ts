// docs/guides/origin.md

import type { Readable } from 'node:stream';
import { OriginError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import type { CacheStatus } from '../http/cache-status.ts';
import { CONDITIONS } from '../http/conditional.ts';
import { fieldValue } from '../http/headers.ts';
import type { Origin } from '../origin/origin.ts';
import { isAnswer, type OriginAnswer } from '../origin/places.ts';
import type { OriginResponse } from '../origin/request.ts';
import type { Reason } from '../reasons.ts';
import { ClientGone } from '../response/flow.ts';
import type { Asked } from '../response/plan.ts';
import { isCutOff, send } from '../response/send.ts';
import { type Exchange, hasBody } from './exchange.ts';
import { failWith } from './fail-with.ts';
import type { Journal } from './journal.ts';
import { bodyOf, OriginBody } from './origin-body.ts';
import { isOriginError } from './outcome.ts';
import { purgeAfter } from './purge.ts';
import { outcomeOf } from './revalidation.ts';
import { rewritten } from './rewriting.ts';
import { fetching } from './small-fetch.ts';
import type { Standby } from './standby.ts';
import type { Supplier, Supply } from './supplier.ts';

/** Of a request that is not to be kept, the origin is told these, too. */
const ABOUT_THE_ANSWER = ['range', 'if-range', ...CONDITIONS];

/** Hands on what the origin answers, as it comes; nothing of it is kept. */
export class Relay {
  /** What can be answered where the origin fails. */
  standby: Standby | undefined;
  readonly #origin: Origin;
  readonly #supplier: Supplier;
  readonly #journal: Journal;
  readonly #hookTimeoutMs: number;

  constructor(
    origin: Origin,
    supplier: Supplier,
    journal: Journal,
    { hookTimeoutMs }: { hookTimeoutMs: number },
  ) {
    this.#hookTimeoutMs = hookTimeoutMs;
    this.#origin = origin;
    this.#supplier = supplier;
    this.#journal = journal;
  }

  /** Asks the origin as the client asked. */
  async forward(exchange: Exchange, reason: Reason): Promise<unknown> {
    const status = { ...exchange.forwarded, detail: reason };
    try {
      const supply = await this.#supplier.find(exchange);
      if (supply === undefined) {
        exchange.mark(status);
        return exchange.next();
      }
      if (isAnswer(supply)) return await this.answer(exchange, supply);
      const came = await this.ask(exchange, supply);
      const instead = await this.#instead(exchange, came.status);
      if (instead !== undefined) {
        came.body.on('error', () => undefined).destroy();
        return instead();
      }
      const response = await rewritten(exchange, came, {
        fetch: fetching(this.#origin, this.#supplier, exchange, exchange.signal),
        hookTimeoutMs: this.#hookTimeoutMs,
      });
      return await this.hand(exchange, response, status);
    } catch (error) {
      const instead = isOriginError(error) ? await this.#instead(exchange) : undefined;
      return instead === undefined ? this.fail(exchange, error, status) : instead();
    }
  }

  /** Where the origin fails, what is stale, if that is allowed. */
  async #instead(exchange: Exchange, status?: number): Promise<(() => unknown) | undefined> {
    if (outcomeOf(status, exchange.staleUntil - Date.now()) !== 'stale') return undefined;
    return this.standby?.stale(exchange, status);
  }

  /** The answer to the request as it came: its conditions and its range included. Rejects as `Origin.fetch` does. */
  ask(exchange: Exchange, { targets, headers }: Supply): Promise<OriginResponse> {
    const { method, headers: asked } = exchange.asked;
    // A part of a document that is rewritten is a part of another one.
    const names = exchange.match.route.rewrite === undefined ? ABOUT_THE_ANSWER : CONDITIONS;
    const about = names.flatMap((name): HeaderPairs => {
      const value = asked[name];
      return typeof value === 'string' ? [[name, value]] : [];
    });
    return this.#origin.fetch({ method, targets, headers: [...headers, ...about], signal: exchange.signal });
  }

  /** Sends what has come. */
  async hand(exchange: Exchange, response: OriginResponse, status: CacheStatus): Promise<unknown> {
    const unasked = unaskedFor(exchange.asked, response);
    if (unasked !== undefined) {
      response.body.on('error', () => undefined).destroy();
      return this.fail(exchange, unasked, status);
    }
    const existing = fieldValue(response.headers, 'cache-status');
    const body = new OriginBody(response);
    const sent = await send(askedFor(exchange.asked), exchange.res, body, {
      headers: () => exchange.statusField(status, existing),
      signal: exchange.signal,
      timeoutMs: exchange.sendTimeoutMs,
    });
    if (isCutOff(sent)) exchange.left();
    return this.#journal.served(exchange, 'origin', body.size, sent);
  }

  /** Sends what the application has in place of an origin. */
  async answer(exchange: Exchange, answer: OriginAnswer): Promise<void> {
    const body = bodyOf(answer);
    const sent = await send(exchange.asked, exchange.res, body, {
      headers: () => exchange.statusField({ ...exchange.forwarded, detail: 'answered' }),
      timeoutMs: exchange.sendTimeoutMs,
    });
    this.#journal.served(exchange, 'origin', body.size, sent);
  }

  /** There is nothing to hand on: the application's error handler says so. */
  fail(exchange: Exchange, error: unknown, status: CacheStatus): unknown {
    // Nobody is left who could be told.
    if (exchange.signal.reason instanceof ClientGone) return undefined;
    if (exchange.res.headersSent || !hasHeaders(error)) return exchange.next(error);
    return failWith(exchange, error, status);
  }

  /**
   * Has the origin do what is asked, and holds its 2xx (not a 206) back until the purge has happened: whoever sees the answer can rely on
   * it. Any other answer changes nothing.
   */
  async forwardPurge(exchange: Exchange, purge: () => Promise<number>): Promise<unknown> {
    const status: CacheStatus = { fwd: 'method' };
    try {
      const supply = await this.#supplier.find(exchange);
      if (supply === undefined) return purgeAfter(exchange, purge);
      if (isAnswer(supply)) return await this.answer(exchange, supply);
      const { method, headers: asked } = exchange.asked;
      const { targets, headers } = supply;
      const type = asked['content-type'];
      const body = hasBody(exchange.req) ? (exchange.req as Readable) : undefined;
      const response = await this.#origin.fetch({
        method,
        targets,
        headers: type === undefined ? headers : [...headers, ['content-type', type]],
        ...(body === undefined ? {} : { body }),
        signal: exchange.signal,
      });
      const succeeded = response.status >= 200 && response.status < 300 && response.status !== 206;
      if (succeeded) await purge().catch(() => undefined);
      return await this.hand(exchange, response, status);
    } catch (error) {
      return this.fail(exchange, error, status);
    }
  }
}

function hasHeaders(error: unknown): error is { headers: Record<string, string> } {
  return error instanceof Error && typeof (error as { headers?: unknown }).headers === 'object';
}

/** A part for one who asked for the whole, or that nothing has changed since he knows not what: most clients would take it for the whole. */
function unaskedFor({ method, headers }: Asked, { status, url }: OriginResponse): OriginError | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  const isUnasked =
    (status === 206 && headers.range === undefined) ||
    (status === 304 && CONDITIONS.every((name) => headers[name] === undefined));
  if (!isUnasked) return undefined;
  return new OriginError(
    'broken',
    `${method} ${new URL(url).host}: it answered ${status}, for which it was not asked`,
  );
}

/** What comes can be read once: several parts of it can't be sent out of order. */
function askedFor(asked: Asked): Asked {
  const { range, ...headers } = asked.headers;
  return range?.includes(',') ? { ...asked, headers } : asked;
}
