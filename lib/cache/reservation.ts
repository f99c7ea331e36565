import type { Ledger } from './ledger.ts';

/** What one fill has set aside of the budget. */
export class Reservation {
  readonly #ledger: Ledger;
  readonly #announce: ((bytes: number) => Promise<void>) | undefined;
  #bytes = 0;
  /** As much of that as is on the disk, or never will be. */
  #settled = 0;
  #released = false;

  /** @param announce tells other processes how many bytes that is to be in all, before it is found out whether they are there */
  constructor(ledger: Ledger, announce?: (bytes: number) => Promise<void>) {
    this.#ledger = ledger;
    this.#announce = announce;
  }

  /**
   * Sets aside so much more that it is `bytes` in all. Resolves to whether they could be had.
   * @param spare asks for at least this much more, where there is room, so that it need not be asked for again so soon
   */
  async reach(bytes: number, spare = 0): Promise<boolean> {
    const missing = bytes - this.#bytes;
    if (missing <= 0) return true;
    const generous = spare > missing && (await this.#take(spare));
    return generous || this.#take(missing);
  }

  /** Whether the file system has room for `bytes` in all to be written now. Where it has not, nothing more will be. */
  async write(bytes: number): Promise<boolean> {
    const room = !this.#released && (await this.#ledger.hasSpace());
    if (this.#released) return false;
    const settled = room ? Math.max(bytes, this.#settled) : this.#bytes;
    this.#ledger.settle(settled - this.#settled, room ? settled - this.#settled : 0);
    this.#settled = settled;
    return room;
  }

  /** @param written bytes in all that have come to be on the disk, where more have than `write` was told of */
  release(written = 0): void {
    this.#released = true;
    this.#ledger.settle(-this.#settled, Math.max(0, written - this.#settled));
    this.#ledger.unreserve(this.#bytes);
    this.#settled = 0;
    this.#bytes = 0;
  }

  async #take(bytes: number): Promise<boolean> {
    if (this.#announce !== undefined) {
      // Not where it is in vain: the others would make room for it.
      if (!this.#ledger.mayHave(bytes)) return false;
      // A claim that can't be written any more is that of a purged fill, or soon fails otherwise.
      await this.#announce(this.#bytes + bytes).catch(() => undefined);
    }
    if (!(await this.#ledger.reserve(bytes))) return false;
    if (this.#released) {
      this.#ledger.unreserve(bytes);
      return false;
    }
    this.#bytes += bytes;
    return true;
  }
}
