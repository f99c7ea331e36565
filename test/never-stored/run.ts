import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type Cache,
  type CacheFilter,
  type CacheFilterOptions,
  cacheFilter,
  FileCache,
  getCacheInfo,
  MemoryCache,
} from '../../lib/index.ts';
import { deferred } from '../support/deferred.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { type Handler, inARow, listening, serve, type TestServer } from '../support/servers.ts';
import type { Case, Say } from './case.ts';
import { type Heard, type Message, SECRET, say, sayHttp2, secretOf, secretsIn } from './wire.ts';

/** A cache that tells when somebody waits for what somebody else fetches. */
class Watched extends MemoryCache {
  readonly followed = deferred();

  override async claim(...args: Parameters<MemoryCache['claim']>): ReturnType<MemoryCache['claim']> {
    const claim = await super.claim(...args);
    if (claim?.role === 'follower') this.followed.resolve();
    return claim;
  }
}

/** A server with the handler of a case, with or without a filter before it. */
interface Stage {
  server: TestServer;
  filter: CacheFilter | undefined;
  calls(): number;
  /** What the filter says of the first request that arrived. */
  reason(): string | undefined;
  hear(request: Say): Promise<Heard>;
}

async function stage(t: TestContext, each: Case, cache?: Cache, gate?: Gate): Promise<Stage> {
  let calls = 0;
  let first: ServerResponse | undefined;
  const filters = [each.options ?? {}, ...(each.inner === undefined ? [] : [each.inner])].map((options) =>
    cache === undefined ? undefined : cacheFilter({ cache, ...options } as CacheFilterOptions),
  );
  const handlers: Handler[] = [
    (_req, res, next) => {
      first ??= res;
      next();
    },
    ...(each.before ?? []),
    ...filters.filter((filter) => filter !== undefined).map((filter) => filter as Handler),
    (req, res, next) => {
      calls++;
      const secret = secretOf(calls);
      const answer = () => (each.handler ?? assert.fail('no handler'))(req, res, secret, next);
      if (gate === undefined) return answer();
      if (calls === 1) return gate.pass().then(answer);
      gate.open();
      return answer();
    },
    ...(each.after ?? []),
  ];
  const { listen } = each;
  const server =
    listen === undefined
      ? await serve(each.kind ?? 'http', handlers)
      : await listening(
          'http',
          listen((req, res) => inARow(handlers, req, res)),
        );
  t.after(async () => {
    for (const filter of filters) await filter?.close();
    await server.close();
  });
  return {
    server,
    filter: filters[0],
    calls: () => calls,
    reason: () => (first === undefined ? 'no route' : reasonOf(first)),
    hear: (request) =>
      server.kind === 'http2' ? sayHttp2(server.port, request) : say(server.port, request, each.tls ?? false),
  };
}

function reasonOf(res: ServerResponse): string | undefined {
  const info = getCacheInfo(res);
  return info === undefined ? 'no route' : info.reason;
}

/** Where the first call of a handler waits until the second request has come as far as it comes without it. */
class Gate {
  readonly reached = deferred();
  readonly #opened = deferred();

  async pass(): Promise<void> {
    this.reached.resolve();
    await this.#opened.promise;
  }

  open(): void {
    this.#opened.resolve();
  }
}

/** A, then B, then C; where something must not be stored, on a cache on disk, whose every file is looked through. */
export async function inTurn(t: TestContext, each: Case): Promise<void> {
  const { fate = 'never' } = each;
  const directory = fate === 'never' || fate === 'without' ? temporaryDirectory(t) : undefined;
  const cache =
    directory === undefined
      ? new MemoryCache()
      : new FileCache({ directory, minFreeBytes: 0, maxInvalidBytes: 0 });
  t.after(() => cache.close());
  const filtered = await stage(t, each, cache);
  const { a = {}, b = a } = each;
  const heard = await filtered.hear(a);
  await filtered.filter?.idle();
  const ofA = filtered.calls();
  if (each.differs === undefined) await compare(t, each, heard);
  assert.equal(filtered.reason(), each.reason, 'the reason that the filter gives');
  const nothing = async (who: string) => {
    if (fate === 'never') assert.deepEqual(await keysIn(cache), [], `nothing is stored after ${who}`);
    const found = directory === undefined ? [] : filesWithSecrets(directory);
    assert.deepEqual(found, [], `no file of the cache has a secret after ${who}`);
  };
  await nothing('A');
  if (fate !== 'never') assert.notDeepEqual(await keysIn(cache), [], 'what is not secret is stored');

  const answerB = await filtered.hear(b);
  await filtered.filter?.idle();
  const ofB = filtered.calls() - ofA;
  judgeB(each, heard, answerB, ofA, ofB);
  if (each.b === undefined) await nothing('B');

  const c = each.c ?? { ...(a.target === undefined ? {} : { target: a.target }) };
  const answerC = await filtered.hear(c);
  await filtered.filter?.idle();
  if (fate === 'never' || fate === 'without') disjoint(secretsUpTo(ofA), answerC, 'C');
  if (fate === 'never' && each.b === undefined)
    assert.equal(filtered.calls(), each.calls ?? 3, 'the handler was asked by A, B and C');
}

/** B asks while A's handler has not yet answered. */
export async function atOnce(t: TestContext, each: Case): Promise<void> {
  const cache = new Watched();
  const gate = new Gate();
  void cache.followed.promise.then(() => gate.open());
  const filtered = await stage(t, each, cache, gate);
  const { a = {}, b = a } = each;
  const hearing = filtered.hear(a);
  await Promise.race([gate.reached.promise, hearing.then(() => gate.open())]);
  const ofA = filtered.calls();
  const answerB = filtered.hear(b);
  void answerB.then(() => gate.open());
  const [heard, other] = await Promise.all([hearing, answerB]);
  await filtered.filter?.idle();
  if (each.differs === undefined) await compare(t, each, heard);
  judgeB(each, heard, other, ofA, filtered.calls() - ofA);
  if ((each.fate ?? 'never') === 'never' && each.b === undefined)
    assert.deepEqual(await keysIn(cache), [], 'nothing is stored');
}

function judgeB(each: Case, ofA: Heard, ofB: Heard, callsA: number, callsB: number): void {
  const { fate = 'never', status = 200 } = each;
  if (each.differs === undefined && callsA > 0 && (each.calls ?? 3) === 3)
    assert.deepEqual(secretsIn(ofA.text), [secretOf(1)], 'A has what is its own');
  if (fate === 'shared') {
    assert.deepEqual(secretsIn(ofB.text), [secretOf(1)], 'B has what was made for A, as documented');
    return;
  }
  disjoint(secretsUpTo(callsA), ofB, 'B');
  if (each.calls === undefined) {
    const asked = fate === 'never' || fate === 'apart' ? 1 : 0;
    assert.equal(
      callsB,
      asked,
      asked === 1 ? 'the handler was asked by B, too' : 'B was not answered by the handler',
    );
    if (asked === 1 && each.differs === undefined)
      assert.deepEqual(secretsIn(ofB.text), [secretOf(callsA + 1)], 'B has what is its own');
  }
  if (fate === 'guarded' || each.status !== undefined || fate === 'without')
    assert.deepEqual(ofB.messages.map((message) => message.status).at(-1), status, `what B got: ${ofB.text}`);
}

function secretsUpTo(calls: number): string[] {
  return Array.from({ length: calls }, (_, i) => secretOf(i + 1));
}

function disjoint(secrets: readonly string[], { text }: Heard, who: string): void {
  assert.deepEqual(
    secrets.filter((secret) => text.includes(secret)),
    [],
    `${who} sees nothing that was made for A: ${text}`,
  );
}

/** A's answer is what the handler would have given without a filter. */
async function compare(t: TestContext, each: Case, heard: Heard): Promise<void> {
  let expected = plain.get(each);
  if (expected === undefined) {
    const without = await stage(t, each);
    expected = essences(await without.hear(each.a ?? {}));
    plain.set(each, expected);
  }
  assert.deepEqual(essences(heard), expected, 'A has the answer of the handler');
}

const plain = new WeakMap<Case, object[]>();

/** Secrets by the order in which they are told: of two requests on one connection, either may reach the handler first. */
function essences({ text, messages }: Heard): object[] {
  const order = secretsIn(text);
  const told = JSON.stringify(messages.map(essence)).replace(
    SECRET,
    (secret) => `secret ${order.indexOf(secret)}`,
  );
  return JSON.parse(told) as object[];
}

/** What two answers have in common if they say the same. */
function essence({ headers, ...rest }: Message): object {
  const said = headers.filter(
    (line) => !/^(date|cache-status|accept-ranges|content-length|transfer-encoding):/i.test(line),
  );
  return {
    ...rest,
    headers: said.map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase())).sort(),
  };
}

async function keysIn(cache: Cache): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of cache.list()) keys.push(`${key.primary} ${key.variant ?? ''}`.trim());
  return keys;
}

function filesWithSecrets(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => secretsIn(readFileSync(path, 'latin1')).length > 0);
}
