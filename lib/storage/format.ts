// docs/reference/storage-format.md

import { FormatError } from '../errors.ts';
import type { StorageBackend } from './backends/backend.ts';
import { layout } from './layout.ts';

/** What this version writes; it reads this one only. */
const FORMAT = 1;

/** Says in a backend that is empty which format it will have; of one that is not, makes sure that it is ours. */
export class Format {
  readonly #backend: StorageBackend;
  #checked: Promise<void> | undefined;

  constructor(backend: StorageBackend) {
    this.#backend = backend;
  }

  /** Once a process. @throws FormatError, BackendError */
  check(): Promise<void> {
    this.#checked ??= this.#check().catch((error: unknown) => {
      // It may have been a hiccup.
      this.#checked = undefined;
      throw error;
    });
    return this.#checked;
  }

  async #check(): Promise<void> {
    const bytes = await this.#backend.get(layout.format);
    if (bytes === undefined) {
      await this.#backend.put(layout.format, Buffer.from(`${JSON.stringify({ format: FORMAT })}\n`));
      return;
    }
    const format = formatOf(bytes);
    if (format !== FORMAT) throw new FormatError(this.#backend.name, format, FORMAT);
  }
}

function formatOf(bytes: Buffer): number {
  try {
    const { format } = JSON.parse(bytes.toString()) as { format?: unknown };
    return typeof format === 'number' ? format : Number.NaN;
  } catch {
    return Number.NaN;
  }
}
