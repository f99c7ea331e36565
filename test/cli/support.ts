import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { COMMAND, COMMAND_ENV } from '../support/command.ts';

export { type Deferred, deferred } from '../support/deferred.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A directory that lives as long as the test. */
export async function scratchDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cache-filter-cli-'));
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 }));
  return directory;
}

export interface Cli {
  pid: number;
  kill(signal: NodeJS.Signals): void;
  stdout(): string;
  stderr(): string;
  /** Resolves when standard output holds a match. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** The command as a process of its own, which ends with the test at the latest. */
export function runCli(t: TestContext, args: readonly string[], env: Record<string, string> = {}): Cli {
  const [program, ...first] = COMMAND;
  const child = spawn(program, [...first, ...args], {
    cwd: root,
    // Whatever else is on the disk of whoever runs the tests.
    env: { ...COMMAND_ENV, CACHE_FILTER_MIN_FREE_BYTES: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Awaited<Cli['ended']>);
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    pid: child.pid ?? 0,
    kill: (signal) => void child.kill(signal),
    stdout: () => out,
    stderr: () => err,
    ended,
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(out);
          if (found !== null) resolve(found);
        };
        child.stdout.on('data', look);
        void ended.then(({ code }) =>
          reject(new Error(`ended with ${code}, no ${pattern} in:\n${out}\n${err}`)),
        );
        look();
      }),
  };
}

/** `serve` with these flags, once it listens. A directory and any free port are provided. */
export async function serve(
  t: TestContext,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Cli & { url: string; directory: string }> {
  const directory = await scratchDirectory(t);
  const cli = runCli(t, ['serve', '--directory', directory, '--port', '0', ...args], env);
  const [, url = ''] = await cli.printed(/listening on (\S+),/);
  return { ...cli, url, directory };
}

export interface Origin {
  url: string;
  server: Server;
  /** What it was asked, in order. */
  seen: { method: string; url: string; headers: IncomingHttpHeaders }[];
}

/** An origin that lives as long as the test. */
export async function startOrigin(t: TestContext, listener: RequestListener): Promise<Origin> {
  const seen: Origin['seen'] = [];
  const server = createServer((req, res) => {
    seen.push({ method: req.method ?? '', url: req.url ?? '', headers: req.headers });
    listener(req, res);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, seen };
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  body: Buffer;
  /** The body came to its end as its framing says. */
  whole: boolean;
}

export interface Asking {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** The path as it is to stand in the request line; default that of the URL. */
  path?: string;
}

/** One request over a connection of its own. */
export async function ask(
  url: string,
  { method = 'GET', headers = {}, body, path }: Asking = {},
): Promise<Answer> {
  const res = await begin(url, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
    ...(path === undefined ? {} : { path }),
  });
  const chunks: Buffer[] = [];
  let whole = true;
  res.on('data', (chunk: Buffer) => chunks.push(chunk));
  res.once('error', () => {
    whole = false;
  });
  await new Promise((resolve) => res.once('close', resolve));
  return {
    status: res.statusCode ?? 0,
    headers: res.headers,
    rawHeaders: res.rawHeaders,
    body: Buffer.concat(chunks),
    whole: whole && res.complete,
  };
}

/** The response as soon as its head is there; its body is for the caller to read. */
export async function begin(
  url: string,
  { method = 'GET', headers = {}, body, path }: Asking = {},
): Promise<IncomingMessage> {
  const framing =
    body === undefined || 'Transfer-Encoding' in headers
      ? {}
      : { 'Content-Length': String(Buffer.byteLength(body)) };
  const req = httpRequest(url, {
    method,
    headers: { ...headers, ...framing },
    agent: false,
    ...(path === undefined ? {} : { path }),
  });
  // Without a body it is ended without a chunk: DELETE and OPTIONS then have none on the wire either.
  if (body === undefined) req.end();
  else req.end(body);
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  // An answer may come before all of the request is out; what becomes of the rest then, the response tells.
  req.on('error', () => undefined);
  return res;
}

/** The values of a repeated header, in order. */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name.toLowerCase());
}
