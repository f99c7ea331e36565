import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { type CacheFilterOptions, cacheFilter, type EntryInfo, MemoryCache } from '../lib/index.ts';
import { ask } from './support/client.ts';
import { temporaryDirectory } from './support/directory.ts';
import { OUTER } from './support/outer.ts';
import { type Handler, KINDS, serve } from './support/servers.ts';

interface Case {
  name: string;
  request?: Record<string, string>;
  method?: string;
  status?: number;
  response?: Record<string, string | string[]>;
  options?: Partial<CacheFilterOptions>;
}

const FRESH = { 'Cache-Control': 'max-age=3600' };

/** What must never be stored, with what makes it so. */
const NEVER: readonly Case[] = [
  { name: 'no-store', response: { 'Cache-Control': 'no-store' } },
  { name: 'no-store beside max-age', response: { 'Cache-Control': 'max-age=3600, no-store' } },
  { name: 'no-store in capitals', response: { 'Cache-Control': 'NO-STORE, max-age=3600' } },
  { name: 'no-store in a second line', response: { 'Cache-Control': ['max-age=3600', 'no-store'] } },
  { name: 'no-store behind a quoted comma', response: { 'Cache-Control': 'x="a,b", no-store, max-age=60' } },
  { name: 'private', response: { 'Cache-Control': 'private, max-age=3600' } },
  { name: 'private="field"', response: { 'Cache-Control': 'max-age=3600, private="x-user"' } },
  { name: 'no-cache', response: { 'Cache-Control': 'no-cache, max-age=3600' } },
  {
    name: 'no-store although the route is immutable',
    response: { 'Cache-Control': 'no-store' },
    options: { freshness: 'immutable' },
  },
  {
    name: 'private although the route is immutable',
    response: { 'Cache-Control': 'private' },
    options: { freshness: 'immutable' },
  },
  {
    name: 'private although everybody is authorised',
    response: { 'Cache-Control': 'private, max-age=9' },
    options: { authorize: 'anyone' },
  },
  { name: 'max-age=0', response: { 'Cache-Control': 'max-age=0' } },
  { name: 's-maxage=0 beside max-age', response: { 'Cache-Control': 'max-age=3600, s-maxage=0' } },
  { name: 'a max-age that is no number', response: { 'Cache-Control': 'max-age=soon' } },
  { name: 'two max-age that disagree', response: { 'Cache-Control': 'max-age=3600, max-age=0' } },
  { name: 'nothing about freshness', response: {} },
  { name: 'an Expires in the past', response: { Expires: 'Thu, 01 Jan 2015 00:00:00 GMT' } },
  { name: 'an Expires that is no date', response: { Expires: '0' } },
  { name: 'an Age beyond max-age', response: { ...FRESH, Age: '7200' } },
  { name: 'Set-Cookie', response: { ...FRESH, 'Set-Cookie': 'sid=1' } },
  {
    name: 'Set-Cookie although the route is immutable',
    response: { 'Set-Cookie': 'sid=1' },
    options: { freshness: 'immutable' },
  },
  { name: 'several Set-Cookie', response: { ...FRESH, 'Set-Cookie': ['a=1', 'b=2'] } },
  { name: 'Vary: *', response: { ...FRESH, Vary: '*' } },
  { name: 'Vary: Cookie', response: { ...FRESH, Vary: 'Cookie' } },
  { name: 'Vary: Accept-Encoding', response: { ...FRESH, Vary: 'Accept-Encoding' } },
  {
    name: 'Vary although the route is immutable',
    response: { Vary: 'Authorization' },
    options: { freshness: 'immutable' },
  },
  { name: 'Authorization', request: { Authorization: 'Bearer 1' }, response: FRESH },
  {
    name: 'Authorization although the route is immutable',
    request: { Authorization: 'Bearer 1' },
    options: { freshness: 'immutable' },
  },
  { name: 'Cookie', request: { Cookie: 'sid=1' }, response: FRESH },
  { name: 'Proxy-Authorization', request: { 'Proxy-Authorization': 'Basic eA==' }, response: FRESH },
  { name: 'X-Auth-Token', request: { 'X-Auth-Token': '1' }, response: FRESH },
  { name: 'X-Api-Key', request: { 'X-Api-Key': '1' }, response: FRESH },
  {
    name: 'a credential header of our own',
    request: { 'X-Session': '1' },
    response: FRESH,
    options: { credentialHeaders: ['X-Session'] },
  },
  { name: 'an empty Authorization', request: { Authorization: '' }, response: FRESH },
  { name: 'POST', method: 'POST', response: FRESH },
  { name: 'HEAD', method: 'HEAD', response: FRESH },
  { name: 'a 404', status: 404, response: FRESH },
  { name: 'a 206 of its own', status: 206, response: { ...FRESH, 'Content-Range': 'bytes 0-3/10' } },
  { name: 'a 301', status: 301, response: { ...FRESH, Location: '/elsewhere' } },
  { name: 'a 500', status: 500, response: FRESH },
  { name: 'a 203', status: 203, response: FRESH },
  { name: 'no length and no digest', response: { ...FRESH, 'X-Chunked': 'yes' } },
  {
    name: 'only a malformed digest where one is required',
    response: { ...FRESH, 'Content-MD5': 'x' },
    options: { integrity: 'digest' },
  },
  { name: 'a conditional request', request: { 'If-None-Match': '"a"' }, response: FRESH },
];

function respond(res: ServerResponse, { status = 200, response = {} }: Case): void {
  res.statusCode = status;
  for (const [name, value] of Object.entries(response)) res.setHeader(name, value);
  if ('X-Chunked' in response) {
    res.write('da');
    res.end('ta');
    return;
  }
  res.setHeader('Content-Length', 4);
  res.end('data');
}

test(`${NEVER.length} cases of what must never be stored: 0 are`, async (t) => {
  for (const each of NEVER) {
    await t.test(each.name, async (t) => {
      const cache = new MemoryCache();
      let calls = 0;
      const filter = cacheFilter({ cache, ...each.options } as CacheFilterOptions);
      const server = await serve('http', [
        filter as Handler,
        (_req, res) => {
          calls++;
          respond(res, each);
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const asked = { method: each.method ?? 'GET', headers: each.request ?? {} };
      const first = await ask(server, asked);
      const second = await ask(server, asked);
      await filter.idle();
      assert.equal(calls, 2, 'the application was asked both times');
      assert.equal((await cache.stats()).entries, 0, 'nothing is stored');
      assert.equal((await cache.stats()).fills, 0);
      for (const answer of [first, second]) assert.equal(answer.status, each.status ?? 200);
    });
  }
});

test('with a stored answer, a request with credentials is not answered from it, unless the answer is public', async (t) => {
  for (const [control, expected] of [
    ['max-age=60', 'cache-filter; fwd=bypass; detail=credentials'],
    ['public, max-age=60', 'cache-filter; hit; ttl=60'],
    ['s-maxage=60', 'cache-filter; hit; ttl=60'],
  ] as const) {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const filter = cacheFilter({ cache: new MemoryCache() });
    const server = await serve('http', [
      filter as Handler,
      (_req, res) => {
        res.writeHead(200, { 'Cache-Control': control, 'Content-Length': 4 });
        res.end('data');
      },
    ]);
    await ask(server);
    const answer = await ask(server, { headers: { Authorization: 'Bearer 1' } });
    assert.equal(answer.headers['cache-status'], expected, control);
    await filter.close();
    await server.close();
    t.mock.timers.reset();
  }
});

for (const kind of KINDS) {
  describe(`${kind}: what earlier middleware sets belongs to each response`, () => {
    test('with cors, helmet, a request id and a session outside, nothing of the leader reaches anybody else', async (t) => {
      const directory = temporaryDirectory(t);
      const names =
        kind === 'http2' || kind === 'http'
          ? ['a request id']
          : ['express-session', 'helmet', 'cors', 'a request id'];
      const outer = OUTER.filter(({ name }) => names.includes(name)).flatMap((each) => each.handlers([]));
      const filter = cacheFilter({ directory, freshness: 'immutable' });
      let calls = 0;
      const server = await serve(kind, [
        ...outer,
        (req, res, next) => {
          res.setHeader('X-Caller', String(req.headers['x-caller']));
          next();
        },
        filter as Handler,
        (_req, res) => {
          calls++;
          res.setHeader('X-Mine', 'stored');
          res.setHeader('Content-Length', 4);
          res.end('data');
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const leader = await ask(server, { headers: { Origin: 'http://a.example', 'X-Caller': 'a' } });
      const other = await ask(server, { headers: { Origin: 'http://b.example', 'X-Caller': 'b' } });
      assert.equal(calls, 1);
      assert.equal(other.headers['x-mine'], 'stored');
      assert.equal(leader.headers['x-caller'], 'a');
      assert.equal(other.headers['x-caller'], 'b');
      assert.notEqual(other.headers['x-request-id'], leader.headers['x-request-id']);
      if (names.includes('cors')) {
        assert.equal(leader.headers['access-control-allow-origin'], 'http://a.example');
        assert.equal(other.headers['access-control-allow-origin'], 'http://b.example');
        assert.equal(other.headers['vary'], 'Origin');
        assert.notDeepEqual(other.headers['set-cookie'], leader.headers['set-cookie']);
        assert.ok(other.headers['content-security-policy'], 'helmet spoke for itself');
      }
      let info: EntryInfo | undefined;
      for await (const each of filter.cache.list()) info = each;
      const entry = await filter.cache.open(info?.key ?? { primary: '' });
      assert.deepEqual(
        entry?.head.headers.map(([name]) => name.toLowerCase()).sort(),
        ['date', 'x-mine'],
        'only what the handler set is stored',
      );
      entry?.release();
    });
  });
}
