import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { MemoryCache } from '../../lib/index.ts';
import { type Answer, type Ask, ask } from '../support/client.ts';
import { barrier, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import {
  begun,
  body,
  type Call,
  HALF,
  half,
  halfThenWhole,
  isWhole,
  LIMIT,
  SIZE,
  scene,
  whole,
} from './hand-over.ts';

describe('what the one that takes over says', () => {
  const OTHERS: { name: string; reason: string; answer(call: Call): void }[] = [
    {
      name: 'another ETag',
      reason: 'changed',
      answer: ({ res }) => {
        res.setHeader('Content-Type', 'application/octet-stream');
        res.setHeader('Content-Length', SIZE);
        res.setHeader('ETag', '"two"');
        res.end(body);
      },
    },
    {
      name: 'another length',
      reason: 'changed',
      answer: ({ res }) => {
        res.setHeader('Content-Type', 'application/octet-stream');
        res.setHeader('Content-Length', SIZE - 1);
        res.setHeader('ETag', '"one"');
        res.end(body.subarray(1));
      },
    },
  ];
  for (const { name, reason, answer } of OTHERS) {
    for (const where of ['disk', 'memory']) {
      test(`${where}: ${name}: everybody fails, visibly`, LIMIT, async (t) => {
        const rejected = heard(t, 'cache-filter:reject');
        const { filter, server, calls, called, following } = await scene(
          t,
          (call, n) => (n === 1 ? half(call) : n === 2 ? answer(call) : whole(call)),
          where === 'memory' ? { cache: new MemoryCache() } : {},
        );
        const asking = [ask(server)];
        const leader = await called(1);
        asking.push(ask(server), ask(server));
        await following(2);
        leader.res.destroy();
        for (const { complete, body: got } of await Promise.all(asking)) {
          assert.equal(complete, false);
          assert.ok(body.subarray(0, HALF).equals(got.subarray(0, HALF)) && got.length <= HALF);
        }
        await filter.idle();
        assert.deepEqual(
          rejected.map((event) => event.reason),
          ['unfinished', reason],
          'the fault fired',
        );
        assert.equal(calls.length, 2);
        const { entries, fills } = await filter.stats();
        assert.deepEqual([entries, fills], [0, 0]);
        isWhole(await ask(server), 'a plain request afterwards');
      });
    }
  }

  test('other bytes than have gone out already: everybody fails, and it is cut off', LIMIT, async (t) => {
    const rejected = heard(t, 'cache-filter:reject');
    const { filter, server, called, following } = await scene(t, (call, n) => {
      if (n === 1) return half(call);
      if (n > 2) return whole(call);
      call.res.setHeader('Content-Type', 'application/octet-stream');
      call.res.setHeader('Content-Length', SIZE);
      call.res.setHeader('ETag', '"one"');
      const other = Buffer.from(body.subarray(0, HALF));
      other[HALF - 1] = (other[HALF - 1] as number) ^ 1;
      return call.res.write(other);
    });
    const asking = [ask(server)];
    const leader = await called(1);
    asking.push(ask(server), ask(server));
    await following(2);
    leader.res.destroy();
    const heir = await called(2);
    for (const { complete, body: got } of await Promise.all(asking)) {
      assert.equal(complete, false);
      assert.ok(body.subarray(0, got.length).equals(got));
    }
    await filter.idle();
    assert.equal(heir.res.destroyed, true, 'it never ended, and was cut off');
    assert.deepEqual(
      rejected.map(({ reason }) => reason),
      ['unfinished', 'unproven'],
      'the fault fired',
    );
    isWhole(await ask(server), 'a plain request afterwards');
  });

  for (const [what, answer] of [
    ['500', ({ res }: Call) => void res.writeHead(500).end('no')],
    [
      'a response that may not be kept',
      ({ res }: Call) => void res.writeHead(200, { 'Cache-Control': 'no-store' }).end(body),
    ],
    ['nothing: it gives up at once', ({ res }: Call) => void res.destroy()],
  ] as const) {
    test(`${what}: the next one is asked`, LIMIT, async (t) => {
      const over = heard(t, 'cache-filter:hand-over');
      const { filter, server, calls, called, following } = await scene(t, (call, n) =>
        n === 1 ? half(call) : n === 2 ? answer(call) : whole(call),
      );
      const asking = [ask(server)];
      const leader = await called(1);
      asking.push(ask(server), ask(server));
      await following(2);
      leader.res.destroy();
      for (const answered of await Promise.all(asking)) isWhole(answered, 'each');
      await filter.idle();
      assert.deepEqual([calls.length, over.length], [3, 2], 'the fault fired');
      assert.equal(said(await ask(server)), 'hit');
    });
  }

  test('a source that always fails is asked four times at most, and everybody sees it', LIMIT, async (t) => {
    const { filter, server, calls, called, following } = await scene(t, (call, n) => {
      half(call);
      if (n > 1) setImmediate(() => call.res.destroy());
    });
    const asking = [ask(server)];
    const leader = await called(1);
    for (let i = 0; i < 8; i++) asking.push(ask(server));
    await following(8);
    leader.res.destroy();
    for (const { complete } of await Promise.all(asking)) assert.equal(complete, false);
    await filter.idle();
    assert.equal(calls.length, 4);
    assert.deepEqual([(await filter.stats()).fills, (await filter.stats()).entries], [0, 0]);
  });
});

describe('who is not asked to take over', () => {
  for (const [what, more] of [
    ['HEAD', { method: 'HEAD' }],
    ['a request that says no-store', { headers: { 'Cache-Control': 'no-store' } }],
  ] as [string, Ask][]) {
    test(what, LIMIT, async (t) => {
      const { filter, server, calls, called, following } = await scene(t, halfThenWhole);
      const first = ask(server);
      const leader = await called(1);
      const second = ask(server, more);
      await following(1);
      if (more.method === 'HEAD') assert.equal((await second).status, 200);
      leader.res.destroy();
      assert.equal((await first).complete, false);
      if (more.method !== 'HEAD') assert.equal((await second).complete, false);
      await filter.idle();
      assert.equal(calls.length, 1);
    });
  }

  test('a client that has left', LIMIT, async (t) => {
    const { filter, server, calls, called, following } = await scene(t, halfThenWhole);
    const first = ask(server);
    const leader = await called(1);
    const client = new AbortController();
    const second = ask(server, { signal: client.signal });
    await following(1);
    client.abort();
    await second;
    while ((await filter.stats()).requests.running > 1)
      await new Promise((resolve) => setTimeout(resolve, 2));
    leader.res.destroy();
    assert.equal((await first).complete, false);
    await filter.idle();
    assert.equal(calls.length, 1);
  });

  test('anybody, when the filter closes', LIMIT, async (t) => {
    const { filter, server, calls, called, following } = await scene(t, halfThenWhole, {
      closeTimeoutMs: 10,
    });
    const first = ask(server);
    await called(1);
    const second = ask(server);
    await following(1);
    await filter.close();
    assert.deepEqual([(await first).complete, (await second).complete], [false, false]);
    assert.equal(calls.length, 1);
  });
});

describe('when it has been handed over', () => {
  for (const who of ['the former client', 'the one whose handler it is now'] as const) {
    test(`${who} may still wait for its turn on its connection`, LIMIT, async (t) => {
      const slow = barrier();
      const { server, calls, called, following } = await scene(t, halfThenWhole, {
        outer: [
          (req, res, next) => {
            if (req.url !== '/slow') return next();
            return void slow.reached.then(() => res.end('slow'));
          },
        ],
      });
      const queued = () => {
        const socket = connect(server.port, '127.0.0.1');
        const chunks: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => chunks.push(chunk));
        const rest = 'Host: x\r\nConnection: close\r\n\r\n';
        socket.write(`GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n${rest}`);
        return once(socket, 'close').then(() => Buffer.concat(chunks));
      };
      const isFirst = who === 'the former client';
      const waiting = isFirst ? queued() : undefined;
      const first = isFirst ? undefined : ask(server);
      const leader = await called(1);
      const late = isFirst ? undefined : queued();
      const second = isFirst ? ask(server) : undefined;
      await following(1);
      leader.res.destroy();
      isWhole((await (first ?? second)) as Answer, 'the other');
      assert.equal(calls.length, 2);
      slow.reach();
      const answers = (await (waiting ?? late)) as Buffer;
      assert.match(answers.toString('latin1', 0, 300), /^HTTP\/1.1 200 OK/);
      assert.ok(answers.subarray(-SIZE).equals(body), `${answers.length} bytes`);
    });
  }

  test(
    'the former client reads on at its own speed, and its handler, which never ends, is not waited for',
    LIMIT,
    async (t) => {
      const { filter, server, calls, called, following } = await scene(t, halfThenWhole);
      const first = begun(server);
      const leader = await called(1);
      await first.begun;
      const second = ask(server);
      await following(1);
      leader.res.destroy();
      isWhole(await second, 'second');
      assert.ok((await first.answer).equals(body));
      await filter.idle();
      assert.equal(calls.length, 2);
    },
  );

  test('the former client may leave, and so may the one whose handler it is now', LIMIT, async (t) => {
    const { filter, server, called, following } = await scene(t, (call, n) =>
      n === 1 ? half(call) : undefined,
    );
    const [a, b] = [new AbortController(), new AbortController()];
    const first = ask(server, { signal: a.signal });
    const leader = await called(1);
    const second = ask(server, { signal: b.signal });
    await following(1);
    leader.res.destroy();
    const heir = await called(2);
    a.abort();
    b.abort();
    assert.deepEqual([(await first).complete, (await second).complete], [false, false]);
    while ((await filter.stats()).servedBytes.fill === 0)
      await new Promise((resolve) => setTimeout(resolve, 2));
    assert.equal(heir.res.destroyed, false, 'it is not told');
    whole(heir);
    await filter.idle();
    assert.equal(said(await ask(server)), 'hit');
  });

  test('what is purged meanwhile is read to its end, and not kept', LIMIT, async (t) => {
    const { filter, server, called, following } = await scene(t, (call, n) =>
      n === 1 ? half(call) : n === 2 ? undefined : whole(call),
    );
    const first = ask(server);
    const leader = await called(1);
    const second = ask(server);
    await following(1);
    leader.res.destroy();
    const heir = await called(2);
    await filter.purge({ all: true });
    whole(heir);
    isWhole(await first, 'first');
    isWhole(await second, 'second');
    await filter.idle();
    assert.equal((await filter.stats()).entries, 0);
  });
});
