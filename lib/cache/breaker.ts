// docs/operating/when-the-disk-fails.md

import createDebug from 'debug';
import { DirectoryError } from '../errors.ts';
import { publish } from '../events.ts';
import type { Log } from '../log.ts';
import type { StoreState } from './cache.ts';
import { type Doing, faultOf, Judge } from './fault.ts';

const debug = createDebug('cache-filter:store');

/** From one try to the next, in milliseconds: at first, and at most. */
const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

const RANK: Readonly<Record<StoreState, number>> = { up: 0, 'read-only': 1, down: 2 };

export interface BreakerOwner {
  directory: string;
  log: Log;
  /** Creates what is missing. @throws where the directory can't be used */
  prepare(): void;
  /** Tries all that storing a body takes. Rejects with what fails. */
  probe(): Promise<void>;
  /** Rejects where what is stored can't be read. */
  readBack(): Promise<void>;
  /** What has become of the directories; undefined: they are the same as before. */
  changed(): Promise<Error | undefined>;
  /** Does what had to wait for the store. Never rejects. */
  makeUp(): Promise<void>;
  /** Some of it waits still. */
  waiting(): boolean;
  /** Lets go of open files; how many that were. */
  closeFiles(): Promise<number>;
  /** Removes what can be spared; whether there is so much room now. */
  makeRoom(bytes: number): Promise<boolean>;
  /** The directory can be used from now on, or more of it than before. `afresh`: nothing is known of what is in it. */
  ready(afresh: boolean): void;
}

/** Hears of the store's failures, says what of it can be used still, and tries again and again until all of it can. */
export class Breaker {
  readonly #owner: BreakerOwner;
  readonly #judge = new Judge();
  #state: StoreState = 'down';
  /** Nothing that was known of the directory's contents holds any more. */
  #afresh = true;
  #delay = FIRST_MS;
  /** It is the process that wants for something, not the store: that may pass at any time. */
  #brief = false;
  #upSince = 0;
  #timer: NodeJS.Timeout | undefined;
  #trying: Promise<void> | undefined;
  /** While one try was still running, the next was due. */
  #due = false;
  #looking: Promise<void> | undefined;
  #weighing = false;
  #closed = false;

  /**
   * @param patient where the directory can't be used at once, goes on trying in the background
   * @throws what `prepare` throws, unless `patient`
   */
  constructor(owner: BreakerOwner, patient: boolean) {
    this.#owner = owner;
    try {
      owner.prepare();
    } catch (error) {
      if (!patient) throw error;
      this.#tell('down', error);
      this.#wait();
      return;
    }
    this.#state = 'up';
    this.#ready();
  }

  get state(): StoreState {
    return this.#state;
  }

  /** Not even what is there can be read. */
  get down(): boolean {
    return this.#state === 'down';
  }

  /**
   * Does something with the store, and what can be done about a failure: open files are let go where there are too many, and for
   * something new so many bytes of room are made. Then it is tried once more. What fails in the end is heard, and thrown.
   */
  async attempt<T>(doing: Doing, act: () => Promise<T>, bytes = 0): Promise<T> {
    try {
      let result: T;
      try {
        result = await act();
      } catch (error) {
        if (!(await this.#helped(error, bytes))) throw error;
        result = await act();
      }
      this.#judge.worked(doing);
      return result;
    } catch (error) {
      this.failed(error, doing);
      throw error;
    }
  }

  /** Something failed. Never throws. */
  failed(error: unknown, doing: Doing): void {
    if (this.#closed) return;
    const fault = faultOf(error);
    const verdict = this.#judge.verdict(fault, doing);
    debug('%s: %s: %o', doing, verdict, error);
    if (verdict === 'look') void this.look();
    if (verdict === 'nothing' || verdict === 'look' || this.down) return;
    this.#brief = fault === 'descriptors';
    if (verdict === 'down') this.#trip('down', error);
    else void this.#weigh(error, verdict === 'try' ? 'up' : 'read-only');
  }

  /** Whether the directories are still the same. Resolves when the state says so; never rejects. */
  async look(): Promise<void> {
    if (this.#closed || this.down) return;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  /** Something waits for the store, even if it is up: that is tried again from now on. */
  retry(): void {
    if (this.#timer === undefined && this.#trying === undefined) this.#wait();
  }

  /** Resolves when nothing of a try is left on the disk. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#trying;
  }

  async #helped(error: unknown, bytes: number): Promise<boolean> {
    const fault = faultOf(error);
    if (fault === 'descriptors') return (await this.#owner.closeFiles()) > 0;
    return fault === 'full' && bytes > 0 && this.#owner.makeRoom(bytes);
  }

  async #look(): Promise<void> {
    const { directory } = this.#owner;
    const cause = await this.#owner.changed();
    // Too many open files are not in its way; `stat` opens none.
    if (cause === undefined || this.#closed) return;
    if (['missing', 'none'].includes(faultOf(cause))) this.#afresh = true;
    const error = new DirectoryError(
      directory,
      `the cache directory ${directory} is not there any more, or another one: ${cause.message}`,
      { cause },
    );
    this.#brief = false;
    this.#trip('down', error);
  }

  /** @param readable the state where what is there can be read; else it is down */
  async #weigh(error: unknown, readable: StoreState): Promise<void> {
    if (this.#weighing) return;
    this.#weighing = true;
    await this.look();
    const state = (await this.#isReadable()) ? readable : 'down';
    this.#weighing = false;
    this.#trip(state, error);
  }

  async #isReadable(): Promise<boolean> {
    try {
      await this.#owner.readBack();
      return true;
    } catch (error) {
      return faultOf(error) === 'descriptors';
    }
  }

  /** It has become worse. */
  #trip(state: StoreState, error: unknown): void {
    if (this.#closed || RANK[state] <= RANK[this.#state]) return;
    const wasUp = this.#state === 'up';
    this.#state = state;
    this.#tell(state, error);
    if (!wasUp) return;
    // One that fails again and again is not asked every second.
    if (performance.now() - this.#upSince >= LONGEST_MS) this.#delay = FIRST_MS;
    clearTimeout(this.#timer);
    this.#wait();
  }

  #wait(): void {
    if (this.#closed) return;
    if (this.#brief) this.#delay = FIRST_MS;
    this.#timer = setTimeout(() => {
      // However long this try takes.
      this.#wait();
      this.#due = this.#trying !== undefined;
      this.#trying ??= this.#tryOnceDue();
    }, this.#delay);
    this.#timer.unref();
    this.#delay = Math.min(2 * this.#delay, LONGEST_MS);
  }

  /** Never rejects. */
  async #tryOnceDue(): Promise<void> {
    do {
      this.#due = false;
      await this.#try();
    } while (this.#due && !this.#closed);
    this.#trying = undefined;
  }

  async #try(): Promise<void> {
    const { state, error } = await this.#assess();
    if (RANK[state] < RANK.down) await this.#owner.makeUp();
    if (this.#closed) return;
    if (RANK[state] > RANK[this.#state]) this.#trip(state, error);
    else if (RANK[state] < RANK[this.#state]) this.#improve(state, error);
    if (this.#state !== 'up' || this.#owner.waiting()) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = false;
    // The wait that has just been called off does not count.
    this.#delay = Math.max(FIRST_MS, this.#delay / 2);
    this.#brief = false;
  }

  async #assess(): Promise<{ state: StoreState; error?: unknown }> {
    try {
      this.#owner.prepare();
      await this.#owner.probe();
      return { state: 'up' };
    } catch (error) {
      debug('%s still can not be used: %o', this.#owner.directory, error);
      if (faultOf(error) === 'descriptors') return { state: this.#state, error };
      return { state: (await this.#isReadable()) ? 'read-only' : 'down', error };
    }
  }

  #improve(state: StoreState, error: unknown): void {
    this.#state = state;
    this.#ready();
    this.#tell(state, error);
  }

  #ready(): void {
    const afresh = this.#afresh;
    this.#afresh = false;
    this.#upSince = performance.now();
    this.#owner.ready(afresh);
  }

  #tell(state: StoreState, error?: unknown): void {
    const { directory, log } = this.#owner;
    publish('cache-filter:health', () => ({ directory, state, ...(error === undefined ? {} : { error }) }));
    const { message } = (error ?? {}) as Partial<Error>;
    if (state === 'up') log.warn('store-up', `the directory ${directory} can be used now`);
    else if (state === 'down')
      log.error('store-down', `nothing is cached until the directory can be used: ${message}`);
    else
      log.error(
        'store-down',
        `nothing new is cached until ${directory} can be written; what is there is served: ${message}`,
      );
  }
}
