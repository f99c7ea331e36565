/** From one look for readers in other processes to the next, in milliseconds. */
const LOOK_MS = 500;

/** How many read a fill, wherever they are. */
export class Readers {
  readonly #elsewhere: { readonly isSet: boolean };
  #count = 0;
  #deserted: () => void = () => undefined;
  #looking: NodeJS.Timeout | undefined;

  /** @param elsewhere whether there are some in other processes */
  constructor(elsewhere: { readonly isSet: boolean } = { isSet: false }) {
    this.#elsewhere = elsewhere;
  }

  /** Those of other processes count as one. */
  get count(): number {
    return this.#count + (this.#elsewhere.isSet ? 1 : 0);
  }

  /** One more. What is returned says that it has left; again, it does nothing. */
  enter(): () => void {
    this.#count++;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      if (--this.#count === 0) this.look();
    };
  }

  /** Whom to tell each time the last one has left; now, if nobody is there. */
  onDeserted(deserted: () => void): void {
    this.#deserted = deserted;
    this.look();
  }

  /** Nobody asks any more. */
  close(): void {
    clearTimeout(this.#looking);
    this.#deserted = () => undefined;
  }

  /** Tells if nobody is there. Those elsewhere leave without a word: they only stop saying that they are there. */
  look(): void {
    clearTimeout(this.#looking);
    if (this.#count > 0) return;
    if (!this.#elsewhere.isSet) {
      this.#deserted();
      return;
    }
    this.#looking = setTimeout(() => this.look(), LOOK_MS);
    this.#looking.unref();
  }
}
