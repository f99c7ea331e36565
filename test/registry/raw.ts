/** Requests as bytes on a socket: cut where the test says, or answered before they are over. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestServer } from '../support/servers.ts';

export interface Raw {
  socket: Socket;
  /** All that has come. */
  text(): string;
  /** Resolves when what has come matches; rejects where the connection closes without it. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  closed: Promise<void>;
}

export async function raw(server: TestServer): Promise<Raw> {
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  let text = '';
  let isClosed = false;
  let wake: () => void = () => undefined;
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
    wake();
  });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) =>
    socket.on('close', () => {
      isClosed = true;
      wake();
      resolve();
    }),
  );
  return {
    socket,
    text: () => text,
    closed,
    async until(pattern) {
      for (;;) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        if (isClosed) throw new Error(`closed without ${pattern}: ${text}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/** The head of a request. */
export function head(method: string, path: string, fields: Record<string, string | number>): string {
  const lines = Object.entries({ Host: 'test', ...fields }).map(([name, value]) => `${name}: ${value}`);
  return `${[`${method} ${path} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`;
}
