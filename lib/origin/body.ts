import { Readable } from 'node:stream';
import { OriginError } from '../errors.ts';

export interface BodyTerms {
  /** Declared length in bytes; undefined where nothing was declared. */
  length?: number | undefined;
  /** 0: no limit. */
  stallTimeoutMs: number;
  /** Method and host, for messages. */
  what: string;
  /** Why the body can't be relied on although it ended; asked at its end. */
  fault(): Error | undefined;
}

/**
 * The body of an answer, checked: it ends only where its source did as declared, else it is destroyed with an OriginError. It reads
 * nothing ahead, so that only a time in which somebody waits for a byte is a stall.
 */
export class OriginBody extends Readable {
  readonly #source: Readable;
  readonly #terms: BodyTerms;
  #timer: NodeJS.Timeout | undefined;
  /** Somebody waits for bytes. */
  #waiting = false;
  #seen = 0;
  #sourceEnded = false;

  constructor(source: Readable, terms: BodyTerms) {
    super({ highWaterMark: 0 });
    this.#source = source;
    this.#terms = terms;
    source.on('data', (chunk: Buffer) => this.#take(chunk));
    source.pause();
    source.on('end', () => this.#end());
    source.on('error', (error) => this.#break('was cut off', error));
    source.on('close', () => {
      if (!this.#sourceEnded) this.#break('was cut off', undefined);
    });
  }

  override _read(): void {
    if (this.#sourceEnded) return;
    if (!this.#waiting) this.#arm();
    this.#waiting = true;
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#disarm();
    this.#source.destroy();
    callback(error);
  }

  #take(chunk: Buffer): void {
    if (this.destroyed) return;
    this.#seen += chunk.length;
    const { length } = this.#terms;
    if (length !== undefined && this.#seen > length) {
      this.#break(`went on beyond the ${length} bytes that were declared`, undefined);
      return;
    }
    if (this.push(chunk)) {
      this.#arm();
      return;
    }
    this.#waiting = false;
    this.#source.pause();
  }

  #end(): void {
    this.#sourceEnded = true;
    this.#disarm();
    if (this.destroyed) return;
    const { length } = this.#terms;
    const fault = this.#terms.fault();
    if (fault !== undefined) this.#break('is not what was declared', fault);
    else if (length !== undefined && this.#seen < length) {
      this.#break(`ended after ${this.#seen} of ${length} bytes`, undefined);
    } else this.push(null);
  }

  #break(how: string, cause: Error | undefined): void {
    const options = cause === undefined ? {} : { cause };
    this.destroy(new OriginError('broken', `${this.#terms.what}: the body ${how}`, options));
  }

  #arm(): void {
    const { stallTimeoutMs } = this.#terms;
    if (stallTimeoutMs === 0) return;
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.#stalled(), stallTimeoutMs).unref();
    } else this.#timer.refresh();
  }

  #disarm(): void {
    this.#waiting = false;
    clearTimeout(this.#timer);
  }

  #stalled(): void {
    if (!this.#waiting) return;
    const { what, stallTimeoutMs } = this.#terms;
    const message = `${what}: no byte of the body came within ${stallTimeoutMs / 1000} s`;
    this.destroy(new OriginError('stalled', message));
  }
}
