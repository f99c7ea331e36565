import type { Space } from '../fs/space.ts';

/** The free space of the file system, as far as the budget asks for it. */
export type SpaceOnDisk = Pick<Space, 'missing' | 'wrote'>;

/** What the budget says, and does, for it. */
export interface Clearable {
  /** Set aside for fills, in bytes. */
  readonly reserved: number;
  /** As much as could be removed at once. */
  readonly removable: number;
  /** Removes so many bytes; resolves to how many went. */
  clear(bytes: number): Promise<number>;
}

/** What is promised to fills has to find room on the file system as well, besides what is to be left free there. */
export class FreeSpace {
  readonly #space: SpaceOnDisk | undefined;
  readonly #budget: Clearable;
  /** As much of what is reserved as is on the disk already, or will never be. */
  #settled = 0;
  #clearing: Promise<boolean> = Promise.resolve(true);

  /** @param space undefined: there is no end of it */
  constructor(space: SpaceOnDisk | undefined, budget: Clearable) {
    this.#space = space;
    this.#budget = budget;
  }

  /** So many bytes were written, or, below 0, removed. */
  wrote(bytes: number): void {
    this.#space?.wrote(bytes);
  }

  /** So much of what is reserved need not be found on the disk any more; below 0, it has gone out of the reservations. */
  settle(bytes: number): void {
    this.#settled += bytes;
  }

  /** Whether there is room for all that is promised to fills; makes some as needed. */
  async suffices(): Promise<boolean> {
    if ((await this.#missing()) <= 0) return true;
    // One after the other: each sees what the one before has made room for.
    this.#clearing = this.#clearing.then(() => this.#clear());
    return this.#clearing;
  }

  async #missing(): Promise<number> {
    return (await this.#space?.missing(this.#budget.reserved - this.#settled)) ?? 0;
  }

  async #clear(): Promise<boolean> {
    const missing = await this.#missing();
    if (missing <= 0) return true;
    // Nothing goes in vain, where somebody else has filled the disk.
    if (missing > this.#budget.removable) return false;
    return (await this.#budget.clear(missing)) >= missing;
  }
}
