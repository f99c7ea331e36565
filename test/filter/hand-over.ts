/** A fill whose handler the test holds, stops and replaces. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { type CacheFilter, type CacheFilterOptions, cacheFilter } from '../../lib/index.ts';
import type { Answer } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { barrier } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { type Handler, type Kind, serve, type TestServer } from '../support/servers.ts';

export const SIZE = 1_000_000;
export const HALF = 400_000;
export const body = randomBytes(SIZE);
export const LIMIT = { timeout: 60_000 };

/** One call of the application, held where the test wants it. */
export interface Call {
  req: IncomingMessage;
  res: ServerResponse;
  next: (error?: unknown) => void;
}

export interface Scene {
  filter: CacheFilter;
  server: TestServer;
  calls: Call[];
  /** Resolves when the application has been asked for the n-th time, from 1 on. */
  called(n: number): Promise<Call>;
  /** Resolves when so many requests follow. */
  following(n: number): Promise<void>;
}

export type Answering = (call: Call, n: number) => unknown;

/** An application whose calls the test answers; by default the whole body from the second call on. */
export async function scene(
  t: TestContext,
  answer: Answering,
  {
    kind = 'http',
    outer = [],
    ...options
  }: Partial<CacheFilterOptions> & { kind?: Kind; outer?: Handler[] } = {},
): Promise<Scene> {
  const calls: Call[] = [];
  const waiting: [n: number, reach: (call: Call) => void][] = [];
  const filter = cacheFilter({
    freshness: 'immutable',
    closeTimeoutMs: 5_000,
    ...(options.cache === undefined ? onDisk(t) : {}),
    ...options,
  } as CacheFilterOptions);
  const server = await serve(kind, [
    ...outer,
    filter as Handler,
    (req, res, next) => {
      const call = { req, res, next };
      calls.push(call);
      for (const [n, reach] of waiting) if (n === calls.length) reach(call);
      return answer(call, calls.length);
    },
  ]);
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  const followed = heard(t, 'cache-filter:miss');
  return {
    filter,
    server,
    calls,
    called: async (n) => {
      const { reached, reach } = barrier<Call>();
      const call = calls[n - 1];
      if (call !== undefined) return call;
      waiting.push([n, reach]);
      return reached;
    },
    // The leader is one of them.
    following: async (n) => {
      while (followed.length < n + 1) await new Promise((resolve) => setTimeout(resolve, 2));
    },
  };
}

export function half({ res }: Call): void {
  res.setHeader('Content-Type', 'application/octet-stream');
  res.setHeader('Content-Length', SIZE);
  res.setHeader('ETag', '"one"');
  res.write(body.subarray(0, HALF));
}

export function whole({ res }: Call): void {
  res.setHeader('Content-Type', 'application/octet-stream');
  res.setHeader('Content-Length', SIZE);
  res.setHeader('ETag', '"one"');
  for (let at = 0; at < SIZE; at += 70_000) res.write(body.subarray(at, at + 70_000));
  res.end();
}

export const halfThenWhole: Answering = (call, n) => (n === 1 ? half(call) : whole(call));

export function isWhole(answer: Answer, who: string): void {
  assert.ok(answer.complete, `${who}: ${answer.body.length} bytes, cut off`);
  assert.ok(answer.body.equals(body), `${who}: other bytes`);
}

/** Asks, and tells when the first bytes of the body have come. */
export function begun(server: TestServer, headers: Record<string, string> = {}) {
  const { reached, reach } = barrier();
  const answer = new Promise<Buffer>((resolve, reject) => {
    const req = request({ port: server.port, host: '127.0.0.1', path: '/', headers, agent: false });
    req.on('error', reject);
    req.on('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        reach();
      });
      res.on('error', () => undefined);
      res.on('close', () => resolve(Buffer.concat(chunks)));
    });
    req.end();
  });
  return { begun: reached, answer };
}
