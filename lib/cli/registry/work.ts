import type { RegistryStorage } from '../../registry/index.ts';

/** What a storage has been asked to do and has not done yet: a request that was cut off may still have bytes to be stored. */
export class Work {
  readonly storage: RegistryStorage;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(storage: RegistryStorage) {
    this.storage = new Proxy(storage, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => this.#note(Reflect.apply(member, target, args));
      },
    });
  }

  /** Resolves when all of it has ended, well or not. */
  async done(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
  }

  #note(result: unknown): unknown {
    if (!(result instanceof Promise)) return result;
    this.#pending.add(result);
    const forget = () => this.#pending.delete(result);
    result.then(forget, forget);
    return result;
  }
}
