import type { StorageBackend } from '../../storage/backends/backend.ts';
import type { Assert } from '../cache/suite.ts';
import type { Expected } from './steps.ts';

/** What a test runner gives to a test, as far as it is used: `node:test` and vitest have it. */
export interface BackendTestContext {
  skip?(why?: string): unknown;
}

/** What a test runner brings along. */
export interface BackendKit {
  test: (name: string, fn: (context?: BackendTestContext) => Promise<void>) => unknown;
  assert: Assert;
}

/** A backend to be tested, and what only its maker knows. */
export interface MadeBackend {
  backend: StorageBackend;
  /** Another one of the same objects, as another process would have it. Default: `backend`. */
  other?: StorageBackend;
  /** How many bytes are stored already of what is being put. */
  unfinished?: () => number | Promise<number>;
  cleanup?: () => void | Promise<void>;
}

/** Makes a new, empty backend. */
export type BackendFactory = () => StorageBackend | MadeBackend | Promise<StorageBackend | MadeBackend>;

/** Made, with what a statement needs of it. */
export type Ready = Required<Omit<MadeBackend, 'cleanup'>> & {
  append: NonNullable<StorageBackend['append']>;
  lock: NonNullable<StorageBackend['lock']>;
};

export type Need = 'append' | 'lock' | 'unfinished';

/** Statements about a backend, each of which is checked with a backend of its own. */
export class BackendSuite {
  readonly assert: Assert;
  readonly #test: BackendKit['test'];
  readonly #factory: BackendFactory;

  constructor({ test, assert }: BackendKit, factory: BackendFactory) {
    this.assert = assert;
    this.#test = test;
    this.#factory = factory;
  }

  /**
   * Registers a test that is named by what it states.
   * @param need what a backend may leave out: without it the test is skipped, and says so
   */
  state(
    statement: string,
    check: (backend: StorageBackend, ready: Ready) => Promise<void>,
    need?: Need,
  ): void {
    this.#test(statement, async (context) => {
      const made = await this.#factory();
      const { backend, cleanup, ...more }: MadeBackend = 'backend' in made ? made : { backend: made };
      const has = { append: backend.append?.bind(backend), lock: backend.lock?.bind(backend), ...more };
      try {
        if (need !== undefined && has[need] === undefined) skip(context, statement, need);
        else await check(backend, { other: backend, ...has, backend } as Ready);
      } finally {
        await cleanup?.();
      }
    });
  }

  /** Fails unless the promise rejects with an error of this code, and, where one is given, of this reason. Classes differ between copies of a package. */
  async rejects(promise: Promise<unknown>, what: Expected, message?: string): Promise<void> {
    const found = await promise.then(
      () => 'it resolved',
      (error: { code?: string; reason?: string }) =>
        what.reason === undefined ? { code: error.code } : { code: error.code, reason: error.reason },
    );
    this.assert.deepEqual(found, what, message);
  }
}

function skip(context: BackendTestContext | undefined, statement: string, need: Need): void {
  const why = `not tested: the backend has no ${need}`;
  if (context?.skip === undefined) console.warn(`${statement}: ${why}`);
  else context.skip(why);
}
