import { IntegrityError, type StoreError } from '../../errors.ts';
import type { ResponseHead } from '../../http/body.ts';
import { isSameRepresentation } from '../../http/representation.ts';
import type { Declined, EntryInfo, Fill, FillOptions, FillReader, LeaderClaim, Proof } from '../cache.ts';

/** Held while it waits to be compared; beyond it the source is asked to wait. */
const HELD_BYTES = 1024 * 1024;

/** A fill that has lost its writer. */
export interface Orphan extends Fill {
  readonly head: ResponseHead;
  readonly options: FillOptions;
  /** Bytes that it has. */
  readonly bytes: number;
  readonly over: boolean;
  /** Whether it has these bytes at this position; not beyond `bytes`. Rejects where that can't be told. */
  matches(position: number, bytes: Uint8Array): Promise<boolean>;
}

/** The claim on a fill that somebody else began. */
export function inheritedClaim(fill: Orphan, reason: Error): LeaderClaim {
  const { head, bytes } = fill;
  return {
    role: 'leader',
    inherited: { head, bytes },
    start: (newHead, options = {}) => start(fill, newHead, options),
    refresh: async () => {
      await fill.orphan(reason);
      return { declined: 'superseded' };
    },
    abandon: () => fill.orphan(reason),
  };
}

async function start(fill: Orphan, head: ResponseHead, options: FillOptions): Promise<Fill | Declined> {
  if (fill.over) return { declined: 'closed' };
  const same =
    isSameRepresentation({ head: fill.head, size: fill.options.size }, { head, size: options.size }) &&
    fill.options.version === options.version;
  if (same) return new Continuation(fill);
  await fill.abort(new IntegrityError('what the application sends now is another representation'));
  return { declined: 'changed' };
}

/**
 * Goes on with a fill from the beginning of its body: what is there already is compared byte for byte, so that what its readers get is
 * the whole of what the new writer sent, whoever wrote it.
 */
export class Continuation implements Fill {
  readonly #fill: Orphan;
  readonly #end: number;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #position = 0;
  #comparing: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(fill: Orphan) {
    this.#fill = fill;
    this.#end = fill.bytes;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#failure !== undefined) return true;
    if (this.#comparing === undefined && this.#position >= this.#end) return this.#fill.write(chunk);
    this.#held.push(chunk);
    this.#heldBytes += chunk.byteLength;
    this.#comparing ??= this.#compare();
    return this.#heldBytes < HELD_BYTES;
  }

  async drained(): Promise<void> {
    await this.#comparing;
    await this.#fill.drained();
  }

  reader(): FillReader {
    return this.#fill.reader();
  }

  get readers(): number {
    return this.#fill.readers;
  }

  onDeserted(deserted: () => void): void {
    this.#fill.onDeserted(deserted);
  }

  get refused(): StoreError | undefined {
    return this.#fill.refused;
  }

  async commit(proof: Proof): Promise<EntryInfo> {
    await this.#comparing;
    if (this.#position < this.#end)
      await this.#fail(
        new IntegrityError(`the body now has ${this.#position} bytes where ${this.#end} came before`),
      );
    if (this.#failure !== undefined) throw this.#failure;
    return this.#fill.commit(proof);
  }

  abort(reason: Error): Promise<void> {
    return this.#fill.abort(reason);
  }

  orphan(reason: Error): Promise<void> {
    return this.#fill.orphan(reason);
  }

  async #compare(): Promise<void> {
    for (let chunk = this.#held.shift(); chunk !== undefined; chunk = this.#held.shift()) {
      this.#heldBytes -= chunk.byteLength;
      const known = chunk.subarray(0, Math.max(0, this.#end - this.#position));
      if (!(await this.#matches(known))) {
        await this.#fail(new IntegrityError('what the application sends now is not what it sent before'));
        break;
      }
      this.#position += known.byteLength;
      if (known.byteLength < chunk.byteLength) this.#fill.write(chunk.subarray(known.byteLength));
    }
    this.#comparing = undefined;
  }

  /** What can't be compared can't be relied on. */
  async #matches(bytes: Uint8Array): Promise<boolean> {
    return bytes.byteLength === 0 || this.#fill.matches(this.#position, bytes).catch(() => false);
  }

  async #fail(error: Error): Promise<void> {
    this.#failure ??= error;
    this.#held = [];
    this.#heldBytes = 0;
    await this.#fill.abort(this.#failure);
  }
}
