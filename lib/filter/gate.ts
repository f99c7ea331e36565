import type { Entry } from '../cache/cache.ts';
import type { Config } from '../options.ts';
import { currentVersion, judge, type Verdict } from '../policy/policy.ts';
import { run, type Steps } from '../steps.ts';
import type { Errand } from './errand.ts';
import type { Exchange } from './exchange.ts';
import type { Journal } from './journal.ts';
import type { Unattended } from './prefetch/unattended.ts';

/** Whether callers may have what could be served to them: asked before any byte. */
export class Gate {
  readonly #config: Config;
  readonly #journal: Journal;
  /** Routes whose resources have a version, as far as `metadata` has shown. */
  readonly #versioned = new Set<string>();

  constructor(config: Config, journal: Journal) {
    this.#config = config;
    this.#journal = journal;
  }

  /** @param entry what could be served; undefined: what is being fetched, or is to be. It is released where a hook throws */
  *judge(exchange: Exchange, entry: Entry | undefined): Steps<Verdict> {
    const { metadata, authorize } = this.#config;
    if (metadata === undefined && typeof authorize !== 'function') return { do: 'serve' };
    const stored =
      entry === undefined
        ? { digests: [] }
        : { size: entry.size, digests: entry.info.digests, entry: entry.info };
    try {
      const verdict = yield* judge(this.#config, exchange.context, stored);
      if ('version' in verdict) this.#versioned.add(exchange.match.route.name);
      return verdict;
    } catch (error) {
      entry?.release(false);
      throw error;
    }
  }

  /** Which version a response to come will be of. Known before the application reads what it sends: a version must never be newer than its bytes. */
  async findVersion(exchange: Exchange): Promise<void> {
    if (exchange.version !== undefined || !this.#versioned.has(exchange.match.route.name)) return;
    exchange.version = await this.#versionOf(exchange);
  }

  /**
   * What `metadata` says where nobody asked, and it has no request to go by: what it calls deleted or deactivated, or knows nothing of, is not
   * to be fetched. A hook that can't do without a request is no obstacle.
   */
  async judgeUnattended(errand: Unattended): Promise<Verdict> {
    const { metadata, hookTimeoutMs } = this.#config;
    try {
      const hooks = { metadata, authorize: 'anyone', hookTimeoutMs } as const;
      const verdict = await run(judge(hooks, errand.context, { digests: [] }));
      if (verdict.do === 'serve') errand.version = verdict.version;
      return verdict;
    } catch (error) {
      this.#journal.hookFailed(errand, 'metadata', error);
      return { do: 'serve' };
    }
  }

  #versionOf(errand: Errand): Promise<string | undefined> {
    return currentVersion(this.#config, errand.context).catch((error: unknown) => {
      this.#journal.hookFailed(errand, 'metadata', error);
      return undefined;
    });
  }
}
