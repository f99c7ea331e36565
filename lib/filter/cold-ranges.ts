// docs/guides/origin.md

import type { Cache, Entry, FillInfo } from '../cache/cache.ts';
import { idOf } from '../cache/key.ts';
import { SupersededError } from '../errors.ts';
import type { HeaderPairs, ResponseHead } from '../http/body.ts';
import type { Config } from '../options.ts';
import type { Origin } from '../origin/origin.ts';
import { isAnswer } from '../origin/places.ts';
import { freshnessLifetime } from '../policy/freshness.ts';
import { isCutOff, send } from '../response/send.ts';
import type { TappedHead } from '../response/tap/head.ts';
import { Admission } from './admission.ts';
import type { ColdBody } from './cold/cold-body.ts';
import { ColdFiles, type ColdQuestion } from './cold/cold-files.ts';
import { rangeHeader } from './cold/first-range.ts';
import type { Exchange } from './exchange.ts';
import { reluctanceOf } from './follow.ts';
import { UNVERIFIED } from './from-fill.ts';
import type { Journal } from './journal.ts';
import { rejectionOf } from './outcome.ts';
import type { Purger } from './purge.ts';
import type { Relay } from './relay.ts';
import { fetching } from './small-fetch.ts';
import type { Supplier, Supply } from './supplier.ts';

/** Somebody else may get such an answer first: so often it is looked once more. */
const ATTEMPTS = 3;

export interface ColdRangesTools {
  config: Config;
  cache: Cache;
  origin: Origin;
  supplier: Supplier;
  relay: Relay;
  journal: Journal;
  purger: Purger;
}

/** Answers requests for parts of what is not stored, and for the whole of what is there in parts: only what is missing is fetched. */
export class ColdRanges {
  readonly #tools: ColdRangesTools;
  readonly #files: ColdFiles;

  constructor(tools: ColdRangesTools) {
    const { config, cache, origin } = tools;
    this.#tools = tools;
    this.#files = new ColdFiles({
      source: origin,
      cache,
      dropHeaders: config.dropHeaders,
      whenDeserted: config.clientAbort === 'discard' ? 'block' : 'finish',
    });
  }

  /** Whether the request is of that kind. */
  concerns({ asked, match, key }: Exchange): boolean {
    const { config, cache } = this.#tools;
    if (cache.parts === undefined || match.route.rewrite !== undefined) return false;
    if (reluctanceOf({ coldRange: 'direct' }, asked) !== undefined) return false;
    if (config.coldRange !== 'direct' || config.provisionalRanges === 'wait') return false;
    // What is being fetched already is read along.
    const name = idOf(key);
    return !cache.fills().some((fill) => idOf(fill.key) === name);
  }

  /** How to answer; an entry, where it is stored by now; undefined: a fill is to be begun, or what is asked for relayed. */
  async take(exchange: Exchange): Promise<(() => unknown) | { entry: Entry } | undefined> {
    const { relay, supplier } = this.#tools;
    const supply = await supplier.find(exchange);
    if (supply === undefined || isAnswer(supply)) return undefined;
    const question = this.#question(exchange, supply);
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const answer = await this.#files.answer(question);
        if (answer === undefined || 'entry' in answer) return answer;
        if ('body' in answer) return () => this.#send(exchange, answer.body, answer.hit);
        if ('response' in answer) {
          const { response } = answer;
          // It knows of no ranges: all of it is fetched, and kept.
          if (response.status === 200) {
            response.body.destroy();
            return undefined;
          }
          return () => relay.hand(exchange, response, { ...exchange.forwarded, detail: 'not-200' });
        }
        if ('declined' in answer) {
          const { declined } = answer;
          if (declined === 'range') return undefined;
          return () => this.#tools.relay.forward(exchange, declined === 'busy' ? 'collapse' : declined);
        }
      }
      return undefined;
    } catch (error) {
      return () => relay.fail(exchange, error, { ...exchange.forwarded, detail: 'origin-failed' });
    }
  }

  idle(): Promise<void> {
    return this.#files.idle();
  }

  /** Ends what is being fetched. */
  close(): void {
    this.#files.close(new SupersededError('the filter was closed'));
  }

  #question(exchange: Exchange, { targets, headers }: Supply): ColdQuestion {
    const { config, origin, supplier, journal } = this.#tools;
    const admission = new Admission(config, exchange, journal, fetching(origin, supplier, exchange, NEVER));
    return {
      key: exchange.key,
      asked: exchange.asked,
      signal: exchange.signal,
      request: (range, ifRange) => {
        const about: HeaderPairs = [['Range', rangeHeader(range)]];
        if (ifRange !== undefined) about.push(['If-Range', ifRange]);
        return { method: 'GET', targets, headers: [...headers, ...about], signal: NEVER };
      },
      admit: async (head, size) => {
        const whole = wholeOf(head, size);
        return admission.refusal(whole) ?? (await admission.unwanted(whole));
      },
      terms: (head, size) => {
        const whole = wholeOf(head, size);
        const { size: _, ...options } = admission.terms(whole);
        return { options, digests: admission.digests(whole) };
      },
      published: ({ size }) => journal.stored(exchange, size),
      failed: (error) => journal.rejected(exchange, rejectionOf(error), error),
      usable: (head, info) => this.#isUsable(exchange, head, info),
    };
  }

  #isUsable({ match, version }: Exchange, head: ResponseHead, info: FillInfo): boolean {
    if (version !== undefined && info.version !== version) return false;
    if (this.#tools.purger.isPurged(info)) return false;
    const lifetime = freshnessLifetime(head, match.route.freshness, info.storedAt) ?? 0;
    return lifetime > Date.now() - info.storedAt;
  }

  async #send(exchange: Exchange, body: ColdBody, hit: boolean): Promise<void> {
    const { journal } = this.#tools;
    if (hit) journal.hit(exchange);
    else journal.miss(exchange);
    const status = hit ? { hit: true } : { ...exchange.forwarded, stored: true };
    const { size } = body;
    const sent = await send(exchange.asked, exchange.res, body, {
      headers: () => exchange.statusField({ ...status, ...UNVERIFIED }),
      signal: exchange.signal,
      timeoutMs: exchange.sendTimeoutMs,
    });
    if (isCutOff(sent)) exchange.left();
    journal.served(exchange, hit ? 'hit' : 'fill', size, sent);
  }
}

const NEVER: AbortSignal = new AbortController().signal;

function wholeOf(head: ResponseHead, size: number): TappedHead {
  return { ...head, all: head.headers, length: size };
}
