// docs/guides/command-line.md

import type { Server, ServerResponse } from 'node:http';

/** A server that answers, and can be brought to an orderly end. */
export interface Serving {
  server: Server;
  /** Where it listens. */
  url: string;
  /** How many requests are being answered. */
  running(): number;
  /**
   * Takes no more connections, and waits for what runs for at most the time that was set; what is left then is cut off.
   *
   * @returns how many answers were cut off
   */
  close(): Promise<number>;
}

/** The answers that a server gives at the moment. */
export class Running {
  readonly #all = new Set<ServerResponse>();
  #onIdle = () => {};

  get size(): number {
    return this.#all.size;
  }

  add(res: ServerResponse): void {
    this.#all.add(res);
    res.once('close', () => {
      this.#all.delete(res);
      if (this.size === 0) this.#onIdle();
    });
  }

  /** Resolves when there is none. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      if (this.size === 0) resolve();
    });
  }
}

/** @throws the error of `listen` */
export function listen(server: Server, { port, host }: { port: number; host: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

export function urlOf(server: Server, scheme: 'http' | 'https' = 'http'): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return String(address);
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${scheme}://${host}:${address.port}`;
}

/** Waits for `work`, but not longer. */
export async function withinMs(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
