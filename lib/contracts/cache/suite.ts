import type { Cache, Key } from '../../cache/cache.ts';

/** As much of `node:assert/strict` as the suite uses. */
export interface Assert {
  ok(value: unknown, message?: string): void;
  equal(actual: unknown, expected: unknown, message?: string): void;
  deepEqual(actual: unknown, expected: unknown, message?: string): void;
}

/** What a test runner brings along. */
export interface Kit {
  test: (name: string, fn: () => Promise<void>) => unknown;
  assert: Assert;
}

/** Limits that a test needs; left out where any will do. In bytes and milliseconds. */
export interface CacheFactoryOptions {
  maxBytes?: number;
  maxEntryBytes?: number;
  inactiveMs?: number;
}

/** Changes a byte of what is stored under a key, as a failing disk would. */
export type Damage = (key: Key) => void | Promise<void>;

type Made = Cache | { cache: Cache; cleanup?: () => void | Promise<void>; damage?: Damage };

/** Makes a new, empty cache. */
export type CacheFactory = (options: CacheFactoryOptions) => Made | Promise<Made>;

/** Statements about a cache, each of which is checked with a cache of its own. */
export class Suite {
  readonly assert: Assert;
  readonly #test: Kit['test'];
  readonly #factory: CacheFactory;

  constructor({ test, assert }: Kit, factory: CacheFactory) {
    this.assert = assert;
    this.#test = test;
    this.#factory = factory;
  }

  /** Registers a test that is named by what it states. */
  state(
    statement: string,
    check: (cache: Cache, damage: Damage | undefined) => Promise<void>,
    options: CacheFactoryOptions = {},
  ): void {
    this.#test(statement, async () => {
      const made = await this.#factory(options);
      const { cache, cleanup, damage } = 'cache' in made ? made : { cache: made };
      try {
        await check(cache, damage);
      } finally {
        await cache.close();
        await cleanup?.();
      }
    });
  }

  /** The code of the error that a promise rejects with; undefined where it does not. Classes differ between copies of a package. */
  async code(promise: Promise<unknown>): Promise<string | undefined> {
    const error = await promise.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return error === undefined ? undefined : String((error as { code?: unknown }).code ?? error);
  }
}
