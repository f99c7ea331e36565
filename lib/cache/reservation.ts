import type { Ledger } from './ledger.ts';

/** What one fill has set aside of the budget. */
export class Reservation {
  readonly #ledger: Ledger;
  #bytes = 0;
  #released = false;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
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

  release(): void {
    this.#released = true;
    this.#ledger.unreserve(this.#bytes);
    this.#bytes = 0;
  }

  async #take(bytes: number): Promise<boolean> {
    if (!(await this.#ledger.reserve(bytes))) return false;
    if (this.#released) {
      this.#ledger.unreserve(bytes);
      return false;
    }
    this.#bytes += bytes;
    return true;
  }
}
