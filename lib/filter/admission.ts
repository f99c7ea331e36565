import type { FillOptions } from '../cache/cache.ts';
import { HookError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import { type Digest, declaredDigests } from '../http/digest.ts';
import type { Config } from '../options.ts';
import { extended, type OriginFetch } from '../policy/hooks.ts';
import { wanted } from '../policy/policy.ts';
import { refusal, unprovable } from '../policy/storable.ts';
import type { Reason } from '../reasons.ts';
import type { TappedHead } from '../response/tap/head.ts';
import type { Errand } from './errand.ts';
import type { Journal } from './journal.ts';

/** Whether a response is kept, and what its body must prove then. */
export class Admission {
  readonly #config: Config;
  readonly #errand: Errand;
  readonly #journal: Journal;
  readonly #fetch: OriginFetch | undefined;
  /** What the body must hash to, as far as that is known from elsewhere. */
  readonly #expected: Digest[] = [];

  /** @param fetch for hooks that have to look something up at the origin */
  constructor(config: Config, errand: Errand, journal: Journal, fetch?: OriginFetch) {
    this.#fetch = fetch;
    this.#config = config;
    this.#errand = errand;
    this.#journal = journal;
    const { digest } = errand.match;
    if (digest !== undefined) this.#expected.push(digest);
  }

  /** Why the response must not be kept, by its head alone. */
  refusal(head: TappedHead): Reason | undefined {
    const { match, credentials } = this.#errand;
    // An origin is told only what is forwarded, and what is part of the key.
    const told = this.#fetch === undefined ? {} : { told: this.#config.forwardHeaders };
    const refused = refusal(head, { ...match.route, ...told, credentials }, Date.now());
    // Where a hook may know a digest it is asked first.
    return refused ?? (this.#config.digest === undefined ? this.#unprovable(head) : undefined);
  }

  /** Why the application does not want it kept, or can't say; undefined where it does. */
  async unwanted(head: TappedHead): Promise<Reason | undefined> {
    const { shouldStore, digest } = this.#config;
    if (shouldStore === undefined && digest === undefined) return undefined;
    const { status, headers, length } = head;
    const context = extended(this.#errand.context, {
      head: { status, headers, ...(length === undefined ? {} : { length }) },
      ...(this.#fetch === undefined ? {} : { fetch: this.#fetch }),
    });
    try {
      const wishes = await wanted(this.#config, context);
      if (wishes === undefined) return 'should-store';
      if (wishes.digest !== undefined) this.#expected.push(wishes.digest);
      return this.#unprovable(head);
    } catch (error) {
      const hook = error instanceof HookError ? error.hook : 'shouldStore or digest';
      this.#journal.hookFailed(this.#errand, hook, error);
      return 'hook-error';
    }
  }

  /** What the cache is told of the body to come. */
  terms(head: TappedHead): FillOptions {
    const { match, tag, version } = this.#errand;
    const { minEntryBytes, maxEntryBytes, digests } = match.route;
    return {
      ...(head.length === undefined ? {} : { size: head.length }),
      ...(version === undefined ? {} : { version }),
      minBytes: minEntryBytes,
      maxBytes: maxEntryBytes,
      algorithms: this.digests(head)
        .map(({ algorithm }) => algorithm)
        .concat(digests),
      tags: [tag],
    };
  }

  /** What the body must hash to. */
  digests(head: TappedHead, trailers: HeaderPairs = []): Digest[] {
    return [...declaredDigests(head.headers), ...declaredDigests(trailers), ...this.#expected];
  }

  #unprovable(head: TappedHead): Reason | undefined {
    return unprovable(head, this.#config.integrity, this.#expected.length > 0);
  }
}
