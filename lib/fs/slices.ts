/** As long as this a piece of background work may keep the event loop from everybody else, in milliseconds. */
const SLICE_MS = 4;

/** Long work on the main thread, cut into slices: between two of them everybody else has a turn. */
export class Slices {
  #until = performance.now() + SLICE_MS;

  /** Whether it is time to pause. */
  get over(): boolean {
    return performance.now() >= this.#until;
  }

  /** Lets everybody else have a turn. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#until = performance.now() + SLICE_MS;
  }
}
