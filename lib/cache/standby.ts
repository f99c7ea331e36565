import createDebug from 'debug';
import { publish } from '../events.ts';
import type { Log } from '../log.ts';
import type { Invalidation } from './cache.ts';

const debug = createDebug('cache-filter:store');

/** From one try to the next, in milliseconds: at first, and at most. */
const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/** Beyond so many purges it is simpler to purge all. */
const MOST_PURGES = 1_000;

export interface StandbyOwner {
  directory: string;
  log: Log;
  /** @throws where the directory can't be used */
  prepare(): void;
  /** Makes up for a purge that came while the directory could not be used. */
  purge(what: Invalidation): Promise<unknown>;
  /** The directory can be used from now on. */
  ready(): void;
}

/** A directory is tried again and again, until it can be used. */
export class Standby {
  /** The directory can't be used yet. */
  down = true;
  readonly #owner: StandbyOwner;
  #purges: Invalidation[] = [];
  #delay = FIRST_MS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param patient where it can't be used at once, goes on trying in the background
   * @throws what `prepare` throws, unless `patient`
   */
  constructor(owner: StandbyOwner, patient: boolean) {
    this.#owner = owner;
    try {
      owner.prepare();
    } catch (error) {
      if (!patient) throw error;
      const { directory, log } = owner;
      publish('cache-filter:health', () => ({ directory, state: 'down', error }));
      log.error(
        'store-down',
        `nothing is cached until the directory can be used: ${(error as Error).message}`,
      );
      this.#wait();
      return;
    }
    this.down = false;
    owner.ready();
  }

  /** What is there may not be found once the directory can be used. */
  remember(what: Invalidation): void {
    this.#purges = this.#purges.length < MOST_PURGES ? [...this.#purges, what] : [{ all: true }];
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #wait(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#try(), this.#delay);
    this.#timer.unref();
    this.#delay = Math.min(2 * this.#delay, LONGEST_MS);
  }

  async #try(): Promise<void> {
    const { directory, log } = this.#owner;
    try {
      this.#owner.prepare();
      await this.#makeUp();
    } catch (error) {
      debug('%s still can not be used: %o', directory, error);
      this.#wait();
      return;
    }
    if (this.#closed) return;
    this.down = false;
    this.#owner.ready();
    publish('cache-filter:health', () => ({ directory, state: 'up' }));
    log.warn('store-up', `the directory ${directory} can be used now`);
  }

  async #makeUp(): Promise<void> {
    for (let what = this.#purges[0]; what !== undefined; what = this.#purges[0]) {
      await this.#owner.purge(what);
      // Not by position: meanwhile all of them may have become one.
      this.#purges = this.#purges.filter((each) => each !== what);
    }
  }
}
