/** How many read a fill, wherever they are. */
export class Readers {
  #count = 0;
  #deserted: () => void = () => undefined;

  get count(): number {
    return this.#count;
  }

  /** One more. What is returned says that it has left; again, it does nothing. */
  enter(): () => void {
    this.#count++;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      if (--this.#count === 0) this.#deserted();
    };
  }

  /** Whom to tell each time the last one has left; now, if nobody is there. */
  onDeserted(deserted: () => void): void {
    this.#deserted = deserted;
    if (this.#count === 0) deserted();
  }
}
