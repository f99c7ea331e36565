import type { Material } from './material.ts';
import { Process } from './process.ts';

/** What a run of `client.mjs` found. */
export interface Load {
  /** From the first request until no more were begun. */
  seconds: number;
  /** Of bodies, received in that time. */
  bytes: number;
  /** Of the client itself, in that time. */
  clientCpu: number;
  /** With the responses that were still under way. */
  allSeconds: number;
  allBytes: number;
}

export interface Together {
  /** Until the last of them had its last byte. */
  seconds: number;
  clientCpu: number;
}

type Target = { name: string; port: number };

/** The one client of a benchmark. All of it rejects where a response is not what it has to be. */
export class Client {
  readonly #process: Process;

  private constructor(process: Process) {
    this.#process = process;
  }

  static async start(): Promise<Client> {
    return new Client((await Process.start('client', 'client.mjs')).process);
  }

  load(server: Target, file: Material, how: { connections: number; milliseconds: number }): Promise<Load> {
    return this.#ask('load', server, file, how);
  }

  together(server: Target, file: Material, clients: number): Promise<Together> {
    return this.#ask('together', server, file, { clients });
  }

  /** One request, all bytes compared. */
  async check(server: Target, file: Material): Promise<void> {
    const found = await this.#ask<string>('digest', server, file, {});
    if (found !== file.sha256)
      throw new Error(`${server.name}: ${file.url}: expected SHA-256 ${file.sha256}, got ${found}`);
  }

  async #ask<Answer>(
    ask: string,
    { name, port }: Target,
    { url, size }: Material,
    how: object,
  ): Promise<Answer> {
    try {
      return await this.#process.ask<Answer>(ask, { port, url, size, ...how });
    } catch (error) {
      throw new Error(`${name}: ${url}: ${(error as Error).message}`, { cause: error });
    }
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
