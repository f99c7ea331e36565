/** Numbers that look random and are the same for the same seed, so that a round that went wrong can be played again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, not including, `end`. https://en.wikipedia.org/wiki/Xorshift and a multiplication (mulberry32). */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  chance(part: number): boolean {
    return this.below(2 ** 31) < part * 2 ** 31;
  }

  pick<T>(among: readonly [T, ...T[]]): T {
    return among[this.below(among.length)] as T;
  }
}
