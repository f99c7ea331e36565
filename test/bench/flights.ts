import type { ByteRange } from '../../lib/http/body.ts';
import { Process } from './process.ts';

/** What one client does, or several in the same way. See flights.mjs. */
export interface Actor {
  url: string;
  size: number;
  range?: ByteRange;
  count?: number;
  after?: number;
  bytesPerSecond?: number;
  leaves?: number;
  waited?: boolean;
  sampleMs?: number;
  hashed?: boolean;
}

/** What came to one connection. Times in milliseconds since the epoch. */
export interface Flown {
  /** Index of its actor. */
  actor: number;
  asked: number;
  /** First byte of the body. */
  first?: number;
  /** All of it was there. */
  ended?: number;
  bytes: number;
  sha256?: string;
  samples: [at: number, bytes: number][];
}

/** Longer than any flight. */
const DEADLINE_MS = 15 * 60_000;

/** Clients that download side by side, each in its own way. */
export class Flights {
  readonly #process: Process;

  private constructor(process: Process) {
    this.#process = process;
  }

  static async start(): Promise<Flights> {
    return new Flights((await Process.start('flights', 'flights.mjs')).process);
  }

  /** In the order of the actors. Rejects where an answer is not what it has to be. */
  async fly(server: { name: string; port: number }, actors: readonly Actor[]): Promise<Flown[]> {
    try {
      return await this.#process.ask<Flown[]>('fly', { port: server.port, actors }, DEADLINE_MS);
    } catch (error) {
      throw new Error(`${server.name}: ${(error as Error).message}`, { cause: error });
    }
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
