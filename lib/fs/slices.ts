/** As long as this a piece of background work may keep the event loop from everybody else, in milliseconds. */
const SLICE_MS = 2;

/** Who gives way to others does so for as long as this after each slice, in milliseconds. */
const GIVE_WAY_MS = 4;

/** Long work on the main thread, cut into slices: between two of them everybody else has a turn. */
export class Slices {
  readonly #othersWait: () => boolean;
  #until = performance.now() + SLICE_MS;

  /** @param othersWait whether somebody waits for something that takes several turns */
  constructor(othersWait: () => boolean = () => false) {
    this.#othersWait = othersWait;
  }

  /** Whether it is time to pause. */
  get over(): boolean {
    return performance.now() >= this.#until;
  }

  /** Lets everybody else have a turn. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const end = performance.now() + GIVE_WAY_MS;
    while (this.#othersWait() && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    this.#until = performance.now() + SLICE_MS;
  }
}

/** Sorted by themselves, in 0.3 ms. */
const RUN = 1_000;

/** The items in order. */
export async function sortInSlices<T>(
  items: readonly T[],
  compare: (one: T, other: T) => number,
  slices: Slices,
): Promise<T[]> {
  let runs: T[][] = [];
  for (let at = 0; at < items.length; at += RUN) {
    runs.push(items.slice(at, at + RUN).sort(compare));
    if (slices.over) await slices.next();
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let i = 0; i < runs.length; i += 2) {
      merged.push(await merge(runs[i] ?? [], runs[i + 1] ?? [], compare, slices));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<T>(
  one: readonly T[],
  other: readonly T[],
  compare: (one: T, other: T) => number,
  slices: Slices,
): Promise<T[]> {
  const merged: T[] = [];
  for (let [i, j] = [0, 0]; i < one.length || j < other.length; ) {
    const isFirst = j >= other.length || (i < one.length && compare(one[i] as T, other[j] as T) <= 0);
    merged.push((isFirst ? one[i++] : other[j++]) as T);
    if (merged.length % RUN === 0 && slices.over) await slices.next();
  }
  return merged;
}
