/** One origin, one filter, clients that come and go; and what must hold when the curtain is down, whatever went wrong. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { TestContext } from 'node:test';
import { bytesOf } from '../../../lib/contracts/cache/steps.ts';
import { type CacheFilter, type CacheFilterOptions, cacheFilter } from '../../../lib/index.ts';
import { certificate } from '../../support/certificate.ts';
import type { Answer } from '../../support/client.ts';
import { deferred } from '../../support/deferred.ts';
import { onDisk } from '../../support/directory.ts';
import { said } from '../../support/filtered.ts';
import { holdings, problemsOf } from '../../support/invariants.ts';
import { type Asked, Reading, type Wire } from '../../support/reading.ts';
import { type Handler, inARow, listening, serve, type TestServer } from '../../support/servers.ts';

export const SIZE = 200_000;
export const BODY: Buffer = bytesOf(SIZE, 7);
export const PATH = '/files/a';

/** Asked for first, and large enough for whatever starts only for large ones. */
const WARM = '/files/warm';
const LARGE = bytesOf(2 ** 20, 8);

function large(res: ServerResponse): void {
  res.setHeader('Content-Length', LARGE.length);
  res.end(LARGE);
}

/** A range that is complete only once the whole body has come. */
export const LAST: { Range: string } = { Range: `bytes=${SIZE - 10}-` };

/** What the origin does the first time that it is asked. `now` resolves when the test wants the fault to happen. */
export type Script = (res: ServerResponse, now: () => Promise<void>, req: IncomingMessage) => unknown;

/** As an origin in good health answers. */
export function healthy(res: ServerResponse): void {
  res.setHeader('Content-Length', SIZE);
  res.end(BODY);
}

export interface SceneOptions {
  wire?: Wire;
  script?: Script;
  options?: Partial<CacheFilterOptions>;
  /** `httpAllowHalfOpen` of Node's server: a client that has said all it will has not left. */
  halfOpen?: boolean;
}

/** Listeners of one that the filter got to see, as they were before. */
interface Seen {
  what: EventEmitter;
  before: number;
}

export class Scene {
  readonly filter: CacheFilter;
  readonly directory: string;
  /** How often the origin was asked for PATH. */
  calls = 0;
  /** How many requests the gate was asked about: all that come after the first. */
  judged = 0;
  #misses = 0;
  readonly #wire: Wire;
  readonly #server: TestServer;
  readonly #reached = deferred();
  readonly #go = deferred();
  readonly #seen: Seen[];
  readonly #closed: () => Promise<void>;
  readonly #givenBack: () => Promise<string>;
  readonly #waiting: (() => void)[] = [];

  static async set(
    t: TestContext,
    { wire = 'http', script = healthy, options = {}, halfOpen = false }: SceneOptions,
  ): Promise<Scene> {
    const { directory, minFreeBytes } = onDisk(t);
    let scene: Scene | undefined;
    const filter = cacheFilter({
      directory,
      minFreeBytes,
      memory: false,
      freshness: 'immutable',
      routes: [{ path: '/files/:id' }],
      logger: false,
      authorize: () => {
        scene?.judge();
        return true;
      },
      ...options,
    } as CacheFilterOptions);
    const missed = () => scene?.miss();
    subscribe('cache-filter:miss', missed);
    t.after(() => unsubscribe('cache-filter:miss', missed));
    const seen: Seen[] = [];
    const departures: Promise<void>[] = [];
    const outer: Handler = (req, res, next) => {
      seen.push(...[req, res].map((what) => ({ what, before: listeners(what) })));
      departures.push(
        new Promise((resolve) => {
          res.once('close', () => resolve());
          // An answer that never had its turn on the connection has no `close` of its own.
          if (wire !== 'http2') req.socket.once('close', () => resolve());
        }),
      );
      next();
    };
    const app: Handler = (req, res) => (scene === undefined ? large(res) : scene.answer(script, req, res));
    const server = await on(wire, [outer, filter as Handler, app], halfOpen);
    t.after(async () => {
      await filter.close();
      await server.close();
    });
    // What starts once stays: a thread that hashes, say.
    for (let i = 0; i < 2; i++) await new Reading(wire, server.port, { path: WARM }).over;
    await filter.idle();
    seen.length = 0;
    const closed = async () => void (await Promise.all(departures));
    await closed();
    scene = new Scene(wire, server, filter, directory, seen, closed, await holdings());
    return scene;
  }

  private constructor(
    wire: Wire,
    server: TestServer,
    filter: CacheFilter,
    directory: string,
    seen: Seen[],
    closed: () => Promise<void>,
    givenBack: () => Promise<string>,
  ) {
    this.#wire = wire;
    this.#server = server;
    this.filter = filter;
    this.directory = directory;
    this.#seen = seen;
    this.#closed = closed;
    this.#givenBack = givenBack;
  }

  get port(): number {
    return this.#server.port;
  }

  ask(asked: Partial<Asked> = {}): Reading {
    return new Reading(this.#wire, this.#server.port, { path: PATH, ...asked });
  }

  /** The origin is about to do what the script is about. */
  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  /** Let it. */
  go(): void {
    this.#go.resolve();
  }

  /** All answers are over for the server, however they ended. */
  closed(): Promise<void> {
    return this.#closed();
  }

  /** Resolves when the gate has been asked about so many. */
  async asked(count: number): Promise<void> {
    while (this.judged < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves when so many read, or lead: what happens to the fill from then on happens to all of them. */
  async reading(count: number): Promise<void> {
    while (this.#misses < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  miss(): void {
    this.#misses++;
    this.#wake();
  }

  judge(): void {
    this.judged++;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  answer(script: Script, req: IncomingMessage, res: ServerResponse): unknown {
    if (req.url !== PATH || ++this.calls > 1) return healthy(res);
    const now = () => {
      this.#reached.resolve();
      return this.#go.promise;
    };
    return script(res, now, req);
  }

  /** What must hold after every fault. `calls`: how often the origin may have been asked so far. */
  async aftermath(answers: readonly Answer[], { calls = 1 }: { calls?: number } = {}): Promise<void> {
    for (const answer of answers) neverWrong(answer);
    assert.ok(this.calls <= calls, `the origin was asked ${this.calls} times, of ${calls} at most`);
    await this.filter.idle();
    await this.closed();
    assert.deepEqual(problemsOf(this.directory, await this.filter.cache.stats()), [], 'on disk');
    assert.equal(await this.#givenBack(), '', 'given back');
    for (const { what, before } of this.#seen) {
      // One that never had its turn on its connection is never told that it is over: its listeners go with it.
      if ((what as { closed?: boolean }).closed !== true) continue;
      const after = listeners(what);
      assert.ok(after <= before, `${before} listeners became ${after}: ${what.eventNames().map(String)}`);
    }
    const next = await this.ask().over;
    assert.deepEqual(
      [next.status, next.complete, next.body.equals(BODY)],
      [200, true, true],
      'a plain request succeeds',
    );
    await this.filter.idle();
    const hit = await this.ask().over;
    assert.deepEqual(
      [said(hit), hit.complete, hit.body.equals(BODY)],
      ['hit', true, true],
      'and becomes a hit',
    );
  }
}

/** Whatever looks complete is what the origin has. */
function neverWrong({ status, complete, body, headers }: Answer): void {
  if (!complete || (status !== 200 && status !== 206)) return;
  const [, start = '0', end = String(SIZE - 1)] =
    /^bytes (\d+)-(\d+)/.exec(String(headers['content-range'])) ?? [];
  const expected = BODY.subarray(Number(start), Number(end) + 1);
  assert.ok(body.equals(expected), `${body.length} bytes that look like a complete ${status}, and are not`);
}

async function on(wire: Wire, handlers: readonly Handler[], halfOpen: boolean): Promise<TestServer> {
  if (wire === 'http2') return serve('http2', handlers);
  if (wire === 'http') {
    const server = createHttpServer((req, res) => inARow(handlers, req, res));
    if (halfOpen) Object.assign(server, { httpAllowHalfOpen: true });
    return listening('http', server);
  }
  return listening(
    'http',
    createTlsServer(certificate(), (req, res) => inARow(handlers, req, res)),
  );
}

/** Node has a listener of its own for what is not among these. */
const EVENTS = [
  'aborted',
  'close',
  'data',
  'drain',
  'error',
  'finish',
  'pipe',
  'readable',
  'timeout',
  'unpipe',
];

function listeners(what: EventEmitter): number {
  return EVENTS.reduce((sum, name) => sum + what.listenerCount(name), 0);
}
