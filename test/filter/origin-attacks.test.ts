/** What clients try on a filter with an origin, and what happens to what is under way when it is purged or closed. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { rawServer, until } from '../origin/raw.ts';
import { deferred } from '../support/deferred.ts';
import { onDisk } from '../support/directory.ts';
import { BODY, filtered } from '../support/filtered.ts';
import { giving, originOf } from '../support/origin.ts';
import { Reading } from '../support/reading.ts';
import { KINDS } from '../support/servers.ts';

const LIMIT = { timeout: 15_000 };
const MIB = 2 ** 20;
const BIG: Buffer = bytesOf(6 * MIB + 77, 5);
const notAsked = () => assert.fail('the application was asked');
const UPSTREAM = { retries: 0, retryDelayMs: 0, resumes: 0, breaker: false as const };

/** What one request is answered with, as it is written. */
function answerTo(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.write(text);
  });
}

describe('a request that means another host or another file', () => {
  for (const [target, host, status, asked] of [
    ['/a', 'evil.example', 200, '/base/a'],
    ['//evil.example/a', 'x', 200, '/base//evil.example/a'],
    ['//user@evil.example:1/a', 'x', 200, '/base//user@evil.example:1/a'],
    ['http://evil.example/a', 'x', 200, '/base/a'],
    ['/a/../../secret', 'x', 400, undefined],
    ['/a/%2e%2E/secret', 'x', 400, undefined],
    ['/a/.%2e/secret', 'x', 400, undefined],
    ['/a/..%2f..%2fsecret', 'x', 200, '/base/a/..%2f..%2fsecret'],
    ['/a\\..\\secret', 'x', 400, undefined],
    ['/a%5c..%5csecret', 'x', 200, '/base/a%5c..%5csecret'],
    ['/a%00b', 'x', 200, '/base/a%00b'],
    ['/a?x=/../y', 'x', 200, '/base/a?x=/../y'],
    ['/a@evil.example', 'x', 200, '/base/a@evil.example'],
    ['/%0d%0aX:y', 'x', 200, '/base/%0d%0aX:y'],
  ] as const) {
    test(`${target} of ${host}`, LIMIT, async (t) => {
      const origin = await originOf(t, giving(BODY));
      const { server } = await filtered(
        t,
        { ...onDisk(t), origin: `${origin.url}/base`, upstream: UPSTREAM, routes: [{ path: '/*path' }] },
        (_req, res) => res.writeHead(418).end(),
      );
      const answer = await answerTo(
        server.port,
        `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      );
      const line = Number(answer.split(' ')[1]);
      assert.ok(line === status, answer.slice(0, 200));
      assert.deepEqual(
        origin.asked.map(({ url, headers }) => [url, headers.host]),
        asked === undefined ? [] : [[asked, `127.0.0.1:${origin.port}`]],
      );
    });
  }
});

describe('ranges of what is not stored', () => {
  test('eight connections for overlapping ranges fetch each block once', LIMIT, async (t) => {
    const origin = await originOf(t, giving(BIG));
    const { get, filter } = await filtered(t, { ...onDisk(t), origin: origin.url }, notAsked);
    const step = Math.floor(BIG.length / 8);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) => get('/a', { range: `bytes=${i * step}-${(i + 2) * step}` })),
    );
    for (const [i, answer] of answers.entries()) {
      assert.equal(answer.status, 206);
      assert.ok(
        answer.complete && answer.body.equals(BIG.subarray(i * step, (i + 2) * step + 1)),
        `range ${i}`,
      );
    }
    await filter.idle();
    const times = new Map<number, number>();
    for (const { headers } of origin.asked) {
      const [, first = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(String(headers.range)) ?? [];
      assert.notEqual(first, '', 'no request for the whole');
      for (
        let at = Math.floor(Number(first) / MIB);
        at <= Math.floor(Math.min(Number(last), BIG.length - 1) / MIB);
        at++
      )
        times.set(at, (times.get(at) ?? 0) + 1);
    }
    assert.deepEqual([...times.values()], Array(7).fill(1));
  });

  for (const [range, expected] of [
    ['bytes=0-0,-1', 'parts'],
    ['bytes=0-10,5-20,6-7', 'any'],
    [`bytes=${Array.from({ length: 100 }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`, 'any'],
    [`bytes=${Array.from({ length: 100 }, () => '0-').join(',')}`, 'any'],
    ['bytes=0-99999999999999999999999999', 'whole'],
    ['bytes=99999999999999999999999999-', 416],
    [`bytes=${BIG.length}-`, 416],
    ['bytes=-0', 'any'],
    ['bytes=-99999999999999999999', 'whole'],
    ['bytes=abc', 'any'],
    ['bites=0-1', 'any'],
  ] as const) {
    test(`${range.slice(0, 40)}: the right bytes, and no more than there are`, LIMIT, async (t) => {
      const origin = await originOf(t, (req, res) => {
        const first = /^bytes=(\d+)-/.exec(req.headers.range ?? '')?.[1];
        if (Number(first ?? 0) < BIG.length) giving(BIG)(req, res);
        else res.writeHead(416, { 'Content-Range': `bytes */${BIG.length}` }).end();
      });
      const { get, filter } = await filtered(
        t,
        { ...onDisk(t), origin: origin.url, upstream: UPSTREAM },
        notAsked,
      );
      const answer = await get('/a', { range });
      assert.ok(answer.complete);
      assert.ok(answer.body.length <= BIG.length + 10_000, `${answer.body.length} bytes`);
      if (expected === 416) assert.equal(answer.status, 416);
      else assert.ok([200, 206, 416].includes(answer.status), String(answer.status));
      if (expected === 'whole') assert.ok(answer.body.equals(BIG));
      if (expected === 'parts' && answer.status === 206) {
        const parts = answer.body
          .toString('latin1')
          .split('\r\n\r\n')
          .slice(1)
          .map((part) => part.charCodeAt(0));
        assert.deepEqual(parts, [BIG[0], BIG.at(-1)]);
      }
      if (answer.status === 200) assert.ok(answer.body.equals(BIG));
      await filter.idle();
      const whole = await get('/a');
      assert.ok(whole.status === 200 && whole.complete && whole.body.equals(BIG));
    });
  }

  test('an If-Range of another version gets the whole', LIMIT, async (t) => {
    const origin = await originOf(t, giving(BIG));
    const { get } = await filtered(t, { ...onDisk(t), origin: origin.url }, notAsked);
    await get('/a', { range: 'bytes=0-9' });
    for (const condition of ['"two"', 'W/"one"', 'Thu, 01 Jan 1970 00:00:00 GMT', '*']) {
      const answer = await get('/a', { range: 'bytes=0-9', 'if-range': condition });
      assert.deepEqual([answer.status, answer.body.length], [200, BIG.length], condition);
    }
  });
});

/** Something is under way at the origin: before its head, in the middle of its body, or a part of what is not stored. */
const PHASES = [
  ['before the head', {}, false],
  ['in the middle of a body', {}, true],
  ['before the head of a part', { range: `bytes=0-${2 * MIB}` }, false],
  ['in the middle of a part', { range: `bytes=0-${2 * MIB}` }, true],
] as const;

for (const [when, headers, isBegun] of PHASES) {
  describe(when, () => {
    const begin = async (t: Parameters<typeof originOf>[0], options = {}) => {
      const [reached, go] = [deferred(), deferred()];
      const origin = await originOf(t, async (req, res, n) => {
        if (n > 1) return giving(BIG, { ETag: '"two"' })(req, res);
        const isPart = req.headers.range !== undefined;
        const end = isPart ? 3 * MIB : BIG.length;
        if (isBegun) {
          res.writeHead(isPart ? 206 : 200, {
            ETag: '"one"',
            'Content-Length': end,
            ...(isPart ? { 'Content-Range': `bytes 0-${end - 1}/${BIG.length}` } : {}),
          });
          res.write(BIG.subarray(0, MIB + 5));
        }
        reached.resolve();
        await go.promise;
        if (isBegun) res.end(BIG.subarray(MIB + 5, end));
        else giving(BIG)(req, res);
        return undefined;
      });
      t.after(() => go.resolve());
      const all = await filtered(
        t,
        {
          ...onDisk(t),
          origin: origin.url,
          upstream: { ...UPSTREAM, maxRequests: 1, queueTimeoutMs: 5_000 },
          ...options,
        },
        notAsked,
      );
      const reading = new Reading('http', all.server.port, { path: '/a', headers: { ...headers } });
      await reached.promise;
      if (isBegun) await reading.until(1);
      return { ...all, origin, go, reading };
    };

    test(
      'a purge: who reads gets all of it, or is told; the next one gets what is there now',
      LIMIT,
      async (t) => {
        const { filter, go, reading, get } = await begin(t);
        await filter.purge({ key: '/a' });
        go.resolve();
        const answer = await reading.over;
        if (answer.complete && answer.status < 300) {
          const end = headers === undefined || !('range' in headers) ? BIG.length : 2 * MIB + 1;
          assert.ok(answer.body.equals(BIG.subarray(0, end)));
        }
        await filter.idle();
        const next = await get('/a');
        assert.deepEqual([next.status, next.headers['etag'], next.body.equals(BIG)], [200, '"two"', true]);
      },
    );

    test('the client leaves: its turn is given back, and what it began is right', LIMIT, async (t) => {
      const { filter, go, reading, get } = await begin(t, { clientAbort: 'discard' });
      reading.leave();
      await reading.over;
      setImmediate(() => go.resolve());
      await filter.idle();
      assert.equal((await filter.stats()).requests.running, 0);
      // The origin has another version by now: who reads what is there of the old one is told.
      const cut = isBegun && 'range' in headers ? [await get('/a')] : [];
      for (const { complete } of cut) assert.equal(complete, false);
      const next = await get('/a');
      assert.ok(next.status === 200 && next.complete && next.body.equals(BIG));
    });

    test('the filter is closed: who waits is told, and no connection is left', LIMIT, async (t) => {
      const { filter, reading, origin, server } = await begin(t, { closeTimeoutMs: 50 });
      const follower = new Reading('http', server.port, { path: '/a', headers: { ...headers } });
      while ((await filter.stats()).requests.running < 2)
        await new Promise((resolve) => setImmediate(resolve));
      await filter.close();
      for (const { over } of [reading, follower]) {
        const { status, complete } = await over;
        assert.ok(!complete || status >= 500, `${status} ${complete}`);
      }
      await origin.asked[0]?.closed;
      assert.equal((await filter.stats()).requests.running, 0);
    });
  });
}

describe('an origin function', () => {
  const odd: [string, unknown, number][] = [
    [
      'throws',
      () => {
        throw new Error('deliberate');
      },
      500,
    ],
    ['rejects', () => Promise.reject(new Error('deliberate')), 500],
    ['never settles', () => new Promise(() => undefined), 500],
    ['answers a number', () => 7, 500],
    ['answers true', () => true, 500],
    ['answers an empty array', () => [], 500],
    ['answers what is no URL', () => 'not a URL', 500],
    ['answers a file', () => 'file:///etc/passwd', 500],
    ['answers a user in a URL', () => 'http://a:b@127.0.0.1/', 500],
    ['answers a status that is none', () => ({ status: 99 }), 500],
    [
      'answers headers that can not be sent',
      () => ({ status: 200, headers: { 'a b': 'c\r\nd' }, body: 'x' }),
      500,
    ],
    [
      'answers a place with headers that can not be sent',
      () => ({ url: 'http://127.0.0.1:1/', headers: { a: 'b\r\nc' } }),
      500,
    ],
    ['answers an object of something else', () => ({ status: 200, body: { a: 1 } }), 500],
    ['answers a place that refuses connections', () => 'http://127.0.0.1:1/', 502],
  ];
  for (const [what, origin, status] of odd) {
    test(`${what}: ${status}, for all kinds of requests, and nothing is left`, LIMIT, async (t) => {
      const { get, filter } = await filtered(
        t,
        {
          ...onDisk(t),
          origin: origin as never,
          authorize: 'anyone',
          hookTimeoutMs: 100,
          upstream: UPSTREAM,
          forwardMethods: ['DELETE'],
          routes: [{ path: '/*path', purge: ['DELETE'] }],
        },
        notAsked,
      );
      const answers = await Promise.all([
        get('/a'),
        get('/a', { range: 'bytes=0-3' }),
        get('/b', {}, { method: 'HEAD' }),
        get('/c', { 'if-none-match': '"x"' }),
        get('/d', {}, { method: 'DELETE' }),
      ]);
      for (const answer of answers) {
        assert.ok(
          answer.status === status || (status === 500 && answer.status === 503),
          String(answer.status),
        );
        assert.ok(!answer.body.includes('deliberate'));
      }
      await filter.idle();
      const { requests, fills, entries } = await filter.stats();
      assert.deepEqual([requests.running, fills, entries], [0, 0, 0]);
    });
  }
});

for (const kind of KINDS) {
  test(`what fails goes to the error handler, with its status, once (${kind})`, LIMIT, async (t) => {
    const raw = await rawServer(t, (socket) => socket.destroy());
    const { get, filter } = await filtered(
      t,
      { ...onDisk(t), origin: raw.url, upstream: UPSTREAM },
      notAsked,
      kind,
    );
    const answers = await Promise.all([get('/a'), get('/a'), get('/b', { range: 'bytes=0-1' })]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [502, 502, 502],
    );
    await filter.idle();
    await until(() => raw.sockets.size === 0);
  });
}

test(
  'what is for one user, or varies by what is not in the key, is handed on and not kept',
  LIMIT,
  async (t) => {
    let n = 0;
    const origin = await originOf(t, (req, res) => {
      const headers =
        req.url === '/cookie'
          ? { 'Set-Cookie': `id=${++n}` }
          : { Vary: req.url === '/star' ? '*' : 'Accept' };
      giving(BODY, headers)(req, res);
    });
    const { get, filter } = await filtered(t, { ...onDisk(t), origin: origin.url }, notAsked);
    for (const path of ['/cookie', '/star', '/user']) {
      const answers = [await get(path), await get(path, { range: 'bytes=0-3' }), await get(path)];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 206, 200],
        path,
      );
      await filter.idle();
    }
    const { entries } = await filter.stats();
    assert.equal(entries, 0);
  },
);

test('a connection that was kept too long is no failure', LIMIT, async (t) => {
  let closed = 0;
  const raw = await rawServer(t, (socket, { index, connection }) => {
    if (index > 0 && connection === 0) {
      closed++;
      socket.destroy();
    } else socket.write(`HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 36\r\n\r\n${BODY}`);
  });
  const { get } = await filtered(t, { ...onDisk(t), origin: raw.url, upstream: UPSTREAM }, notAsked);
  assert.deepEqual((await get('/a')).body, BODY);
  assert.deepEqual((await get('/b')).body, BODY);
  assert.equal(closed, 1, 'the fault fired');
});
