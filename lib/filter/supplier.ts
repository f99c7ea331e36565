// docs/guides/origin.md

import { randomBytes } from 'node:crypto';
import { areHeaderNames } from '../checks.ts';
import { HookError, OptionError, RefusedError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import { targetProblem } from '../http/target.ts';
import type { Config } from '../options.ts';
import { below, hasCredentials, isAnswer, type OriginAnswer, placesOf, WHO_MAY } from '../origin/places.ts';
import type { OriginTarget } from '../origin/request.ts';
import { ask, extended } from '../policy/hooks.ts';
import type { Errand } from './errand.ts';

/** Whom to ask, and what of the client's request they are told. */
export interface Supply {
  targets: readonly OriginTarget[];
  headers: HeaderPairs;
}

/** Finds out who has what is asked for. */
export class Supplier {
  readonly #config: Config;
  readonly #forwarded: readonly string[];
  /** By which a request that comes back to where it came from is known (RFC 8586). */
  readonly #name = `cache-filter-${randomBytes(8).toString('hex')}`;

  /** Asked once for each. */
  readonly #found = new WeakMap<Errand, Promise<Supply | OriginAnswer | undefined>>();

  constructor(config: Config) {
    this.#config = config;
    this.#forwarded = config.forwardHeaders;
  }

  /**
   * Who has it; an answer where none is needed; undefined where it is not there.
   * @throws RefusedError, 400, for a path that would be another one there; HookError where the function answers what it can't mean;
   *   what the function threw
   */
  find(errand: Errand): Promise<Supply | OriginAnswer | undefined> {
    let found = this.#found.get(errand);
    if (found === undefined) {
      found = this.#find(errand);
      this.#found.set(errand, found);
    }
    return found;
  }

  /** @throws RefusedError, 508, for a request of ours: whatever it asks for, it would wait for itself */
  requireNoLoop({ asked }: Pick<Errand, 'asked'>): void {
    if (textOf(asked.headers['cdn-loop'])?.includes(this.#name))
      throw new RefusedError(508, 'the origin of this filter is the filter itself');
  }

  async #find(errand: Errand): Promise<Supply | OriginAnswer | undefined> {
    const { target } = errand;
    const problem = targetProblem(target);
    if (problem !== undefined) throw new RefusedError(400, problem);
    const headers = this.#headersOf(errand);
    const { origin } = this.#config;
    if (origin === undefined) return undefined;
    if (typeof origin !== 'function')
      return { targets: origin.map((place) => below(place, target)), headers };
    const about = { method: errand.asked.method, path: target, headers: Object.fromEntries(headers) };
    const outcome = await ask('origin', origin, extended(errand.context, about), this.#config.hookTimeoutMs);
    if (outcome === undefined || outcome === null) return undefined;
    if (isAnswer(outcome)) return requireAnswer(outcome);
    return { targets: this.#targetsOf(outcome), headers };
  }

  #targetsOf(outcome: unknown): OriginTarget[] {
    let targets: OriginTarget[];
    try {
      targets = placesOf(outcome);
    } catch (error) {
      if (error instanceof OptionError) throw new HookError('origin', error.message, { cause: error });
      throw error;
    }
    requirePolicy(targets, this.#config.authorize);
    return targets;
  }

  /** What the answer may depend on, and nothing else: not who asks. */
  #headersOf({ asked, match }: Errand): HeaderPairs {
    const names = new Set([...this.#forwarded, ...match.route.vary]);
    const told = [...names].flatMap((name): HeaderPairs => {
      const value = textOf(asked.headers[name]);
      return value === undefined ? [] : [[name, value]];
    });
    const loop = textOf(asked.headers['cdn-loop']);
    return [...told, ['cdn-loop', loop === undefined ? this.#name : `${loop}, ${this.#name}`]];
  }
}

/**
 * Our own credentials fetch for those whom the application has let in.
 * @throws HookError
 */
function requirePolicy(targets: readonly OriginTarget[], authorize: Config['authorize']): void {
  if (authorize !== undefined || !targets.some(hasCredentials)) return;
  throw new HookError('origin', `origin answered a place with credentials; ${WHO_MAY}`);
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}

function areSendable(headers: unknown): boolean {
  if (typeof headers !== 'object' || headers === null) return false;
  const isText = (value: unknown) => typeof value === 'string' && !/[^\t\x20-\x7e\x80-\xff]/.test(value);
  return areHeaderNames(Object.keys(headers)) && Object.values(headers).every(isText);
}

function requireAnswer(answer: OriginAnswer): OriginAnswer {
  const { status, headers, body } = answer;
  const fits =
    Number.isInteger(status) &&
    status >= 200 &&
    status <= 599 &&
    (headers === undefined || areSendable(headers)) &&
    (body === undefined || typeof body === 'string' || body instanceof Uint8Array);
  if (fits) return answer;
  throw new HookError(
    'origin',
    'origin answered with a status; an answer is { status: 200 to 599, headers, body: a string or bytes }',
  );
}
