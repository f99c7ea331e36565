import { type FSWatcher, watch } from 'node:fs';
import createDebug from 'debug';

const debug = createDebug('cache-filter:store');

/** Files that somebody wants to hear of, as far as the system tells. None of them keeps the process alive. */
export class Watches {
  readonly #changed: () => void;
  readonly #watchers: FSWatcher[] = [];

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  add(path: string): void {
    try {
      const watcher = watch(path, { persistent: false }, this.#changed);
      // Without it, whoever watches looks by himself.
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch (error) {
      debug('%s can not be watched: %o', path, error);
    }
  }

  close(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }
}
