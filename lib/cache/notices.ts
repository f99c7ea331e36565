import createDebug from 'debug';
import { publish } from '../events.ts';
import type { Log } from '../log.ts';
import type { Key } from './cache.ts';

const debug = createDebug('cache-filter:store');

/** What a cache has come across on its disk that is not as it should be, or is not its own: counted, and told. */
export class Notices {
  /** Dropped because their stored form was damaged. */
  corrupt = 0;
  readonly #directory: string;
  readonly #log: Log;
  /** Names of the entries that a newer version has written. */
  readonly #newer = new Set<string>();
  #warned = false;

  constructor(directory: string, log: Log) {
    this.#directory = directory;
    this.#log = log;
  }

  /** How many entries are left alone because a newer version of this package has written them. */
  get unknown(): number {
    return this.#newer.size;
  }

  isNewer(name: string): boolean {
    return this.#newer.has(name);
  }

  damaged(name: string, why: string, key?: Key): void {
    this.corrupt++;
    debug('dropping %s: %s', name, why);
    const directory = this.#directory;
    publish('cache-filter:corrupt', () => ({ directory, ...(key === undefined ? {} : { key }), why }));
    this.#log.warn(
      'corrupt-entry',
      `an entry in ${directory} was damaged and has been dropped: ${why} (${name})`,
    );
  }

  newer(name: string): void {
    this.#newer.add(name);
    if (this.#warned) return;
    this.#warned = true;
    this.#log.warn(
      'unknown-format',
      `a newer version of this package has stored entries in ${this.#directory}; they are left alone, and requests for them pass through`,
    );
  }

  /** The name has gone, or is in a format that we know. */
  known(name: string): void {
    this.#newer.delete(name);
  }
}
