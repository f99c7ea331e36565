import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import connect from 'connect';
import express5 from 'express';
import express4 from 'express4';

/** What the filter has to work in. */
export const KINDS = ['express5', 'express4', 'connect', 'http', 'http2'] as const;
export type Kind = (typeof KINDS)[number];

export type Handler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => unknown;

export interface TestServer {
  kind: Kind;
  port: number;
  close(): Promise<void>;
}

/** A server of this kind with these handlers in a row, on a port of its own. */
export async function serve(kind: Kind, handlers: readonly Handler[]): Promise<TestServer> {
  return listening(kind, create(kind, handlers));
}

/** A server of somebody's own making, on a port of its own. */
export async function listening(kind: Kind, server: Server): Promise<TestServer> {
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    kind,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function create(kind: Kind, handlers: readonly Handler[]): Server {
  switch (kind) {
    case 'express5':
    case 'express4': {
      const app = kind === 'express5' ? express5() : (express4() as unknown as ReturnType<typeof express5>);
      app.set('env', 'test');
      for (const handler of handlers) app.use(handler as never);
      return createServer(app);
    }
    case 'connect': {
      const app = connect();
      for (const handler of handlers) app.use(handler as never);
      return createServer(app);
    }
    case 'http':
      return createServer((req, res) => inARow(handlers, req, res));
    case 'http2':
      return createHttp2Server((req, res) =>
        inARow(handlers, req as unknown as IncomingMessage, res as unknown as ServerResponse),
      );
  }
}

/** What somebody does who uses no framework: errors are theirs to answer. */
export function inARow(handlers: readonly Handler[], req: IncomingMessage, res: ServerResponse): void {
  const run = (i: number, error?: unknown): void => {
    if (error !== undefined) {
      giveUp(res, error);
      return;
    }
    const handler = handlers[i];
    if (handler === undefined) {
      res.statusCode = 404;
      res.end();
      return;
    }
    try {
      const result = handler(req, res, (failure) => run(i + 1, failure));
      if (result instanceof Promise) result.catch((failure: unknown) => giveUp(res, failure));
    } catch (failure) {
      giveUp(res, failure);
    }
  };
  run(0);
}

function giveUp(res: ServerResponse, error: unknown): void {
  if (res.headersSent) {
    res.destroy(error as Error);
    return;
  }
  res.statusCode = (error as { status?: number }).status ?? 500;
  res.end('failed');
}
