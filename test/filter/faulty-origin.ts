/** An origin that does one thing wrong when it is told to, byte by byte; and what must hold afterwards, whatever it was. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { Layout } from '../../lib/fs/layout.ts';
import { type CacheFilter, type CacheFilterOptions, cacheFilter } from '../../lib/index.ts';
import { Origin } from '../../lib/origin/origin.ts';
import { type RawRequest, type RawServer, rawServer, until } from '../origin/raw.ts';
import type { Answer } from '../support/client.ts';
import { deferred } from '../support/deferred.ts';
import { onDisk } from '../support/directory.ts';
import { said } from '../support/filtered.ts';
import { problemsOf } from '../support/invariants.ts';
import { type Asked, Reading } from '../support/reading.ts';
import { type Handler, serve, type TestServer } from '../support/servers.ts';

/** Two blocks of a file of which parts are fetched. */
export const SIZE = 1_200_000;
export const BODY: Buffer = bytesOf(SIZE, 7);
/** What it has in its place, once it has changed. */
export const OTHER: Buffer = bytesOf(SIZE, 9);
const PATH = '/files/a';

/** What one request is to be answered with, if all goes well. */
export interface Wanted {
  start: number;
  end: number;
  isPart: boolean;
  /** Status, length and validator, without the empty line. */
  head: string;
  bytes: Buffer;
}

/** Does it wrong. `fired` is called where it happens; `now` resolves when it may. */
export type Wrong = (
  socket: Socket,
  wanted: Wanted,
  about: { fired: () => void; now: () => Promise<void>; request: RawRequest; scene: FaultyScene },
) => unknown;

/** What is asked for, of the state that the origin has now. */
function wantedOf(request: RawRequest, body: Buffer, tag: string): Wanted {
  const condition = request.fields.get('if-range');
  const range = condition === undefined || condition === tag ? request.fields.get('range') : undefined;
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  const isPart = first !== undefined;
  const start = Number(first ?? 0);
  const end = last === undefined || last === '' ? body.length : Math.min(Number(last) + 1, body.length);
  const lines = [
    `HTTP/1.1 ${isPart ? '206 Partial Content' : '200 OK'}`,
    `ETag: ${tag}`,
    ...(isPart ? [`Content-Range: bytes ${start}-${end - 1}/${body.length}`] : []),
    `Content-Length: ${end - start}`,
    '',
  ];
  return { start, end, isPart, head: lines.join('\r\n'), bytes: body.subarray(start, end) };
}

/** As an origin in good health answers. */
export function well(socket: Socket, { head, bytes }: Wanted, method = 'GET'): void {
  socket.write(`${head}\r\n`);
  if (method !== 'HEAD') socket.write(bytes);
}

/** Who asks which host: looked at, no more. */
const asking = new Map<string, Set<Origin>>();
const { fetch: ask } = Origin.prototype;
Origin.prototype.fetch = function (this: Origin, request) {
  for (const { url } of request.targets) asking.set(url.host, (asking.get(url.host) ?? new Set()).add(this));
  return ask.call(this, request);
};

export interface FaultyOptions {
  wrong: Wrong;
  /** So often in a row. Default 1. */
  times?: number;
  options?: Partial<CacheFilterOptions>;
  upstream?: CacheFilterOptions['upstream'];
}

export class FaultyScene {
  filter!: CacheFilter;
  directory!: string;
  raw!: RawServer;
  server!: TestServer;
  fired = 0;
  judged = 0;
  body: Buffer = BODY;
  tag = '"one"';
  isWell = false;
  readonly #reached = deferred();
  readonly #go = deferred();
  static async set(
    t: TestContext,
    { wrong, times = 1, options, upstream }: FaultyOptions,
  ): Promise<FaultyScene> {
    const scene = new FaultyScene();
    scene.raw = await rawServer(t, (socket, request) => {
      const wanted = wantedOf(request, scene.body, scene.tag);
      if (scene.isWell || scene.fired >= times) return well(socket, wanted, request.method);
      const fired = () => void scene.fired++;
      const now = () => {
        scene.#reached.resolve();
        return scene.#go.promise;
      };
      return wrong(socket, wanted, { fired, now, request, scene });
    });
    const { directory, minFreeBytes } = onDisk(t);
    scene.directory = directory;
    scene.filter = cacheFilter({
      directory,
      minFreeBytes,
      memory: false,
      freshness: 'immutable',
      routes: [{ path: '/files/:id' }],
      logger: false,
      prefetch: { retries: 0 },
      origin: scene.raw.url,
      upstream: { retries: 0, retryDelayMs: 0, resumes: 1, breaker: false, ...upstream },
      authorize: () => {
        scene.judged++;
        return true;
      },
      ...options,
    } as CacheFilterOptions);
    const app: Handler = (_req, res) => res.writeHead(418).end('the application was asked');
    scene.server = await serve('http', [scene.filter as Handler, app]);
    t.after(async () => {
      await scene.filter.close();
      await scene.server.close();
    });
    return scene;
  }

  /** The origin is about to do it. */
  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  /** Let it. */
  go(): void {
    this.#go.resolve();
  }

  ask(asked: Partial<Asked> = {}): Reading {
    return new Reading('http', this.server.port, { path: PATH, ...asked });
  }

  /** What must hold after every fault: nothing wrong is sent or stored, nothing is left, and a plain request succeeds. */
  async aftermath(answers: readonly Answer[], bodies: readonly Buffer[] = [this.body]): Promise<void> {
    for (const answer of answers) neverWrong(answer, bodies);
    await this.filter.idle();
    this.isWell = true;
    await this.#givesBack();
    const next = await this.ask().over;
    assert.deepEqual([next.status, next.complete], [200, true], `a plain request succeeds: ${said(next)}`);
    assert.ok(next.body.equals(this.body), 'with the right bytes');
    await this.filter.idle();
    const hit = await this.ask().over;
    assert.match(said(hit), /^hit/, 'and becomes a hit');
    assert.ok(hit.complete && hit.body.equals(this.body), 'with the same bytes');
    // What is there in parts is charged as well, and not looked at here.
    const { parts } = new Layout(this.directory);
    const hasParts = existsSync(parts) && readdirSync(parts, { recursive: true }).length > 0;
    const account = hasParts ? undefined : await this.filter.cache.stats();
    assert.deepEqual(problemsOf(this.directory, account), [], 'on disk');
    await this.#givesBack();
    await this.filter.close();
    await until(() => this.raw.sockets.size === 0);
  }

  async #givesBack(): Promise<void> {
    const { running } = (await this.filter.stats()).requests;
    assert.equal(running, 0, 'requests that run');
    for (const origin of asking.get(this.raw.host) ?? [])
      assert.deepEqual(origin.load, { running: 0, queued: 0 }, 'turns that are taken');
  }
}

/** Whatever looks complete is what the origin has, or had. */
function neverWrong({ status, complete, body, headers }: Answer, bodies: readonly Buffer[] = [BODY]): void {
  if (!complete || (status !== 200 && status !== 206)) return;
  const [, start = '0', end] = /^bytes (\d+)-(\d+)/.exec(String(headers['content-range'])) ?? [];
  const isRight = bodies.some((each) =>
    body.equals(each.subarray(Number(start), end === undefined ? each.length : Number(end) + 1)),
  );
  assert.ok(isRight, `${body.length} bytes that look like a complete ${status}, and are not`);
}

/** An answer that says that something went wrong: cut off, or an error. */
export function isVisible({ status, complete }: Answer): boolean {
  return !complete || status >= 500;
}
