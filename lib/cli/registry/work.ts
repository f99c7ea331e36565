import { BackendError } from '../../errors.ts';
import type { RegistryStorage } from '../../registry/index.ts';

/** What a storage has been asked to do and has not done yet: a request that was cut off may still have bytes to be stored. */
export class Work {
  readonly storage: RegistryStorage;
  readonly #onFailure: (error: BackendError) => void;
  readonly #pending = new Set<Promise<unknown>>();

  /** @param onFailure told of what the backend could not do: clients hear no more of that than that it was so */
  constructor(storage: RegistryStorage, onFailure: (error: BackendError) => void) {
    this.#onFailure = onFailure;
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
    const forget = () => void this.#pending.delete(result);
    result.then(forget, (error: unknown) => {
      forget();
      if (error instanceof BackendError && error.reason !== 'missing') this.#onFailure(error);
    });
    return result;
  }
}
