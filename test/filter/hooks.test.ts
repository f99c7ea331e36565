/** The hooks around a fill and its answers: shouldStore, digest, onServed; and hooks that throw, lie or hang. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import {
  type CacheFilterOptions,
  HookError,
  type ResponseContext,
  type ServedContext,
} from '../../lib/index.ts';
import { BODY, barrier, filtered, respond, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { serve } from '../support/servers.ts';

const SHA256 = `sha256:${createHash('sha256').update(BODY).digest('hex')}`;
const forever = () => new Promise<never>(() => undefined);

/** Without a length. */
function chunked(_req: unknown, res: ServerResponse): void {
  res.write(BODY.subarray(0, 10));
  res.end(BODY.subarray(10));
}

describe('shouldStore', () => {
  test('is asked once the head is known, and may refuse', async (t) => {
    const asked: ResponseContext[] = [];
    const { get, calls } = await filtered(t, {
      routes: [{ path: '/files/:id', name: 'files' }],
      shouldStore: (context) => {
        asked.push(context);
        return context.id !== 'no';
      },
    });
    assert.equal(said(await get('/files/no')), 'fwd=uri-miss; detail=should-store');
    assert.equal(said(await get('/files/no')), 'fwd=uri-miss; detail=should-store');
    assert.equal(said(await get('/files/yes')), 'fwd=uri-miss; stored');
    assert.equal(said(await get('/files/yes')), 'hit');
    assert.equal(calls(), 3);
    const [{ id, route, key, head } = assert.fail()] = asked;
    assert.deepEqual([id, route, key], ['no', 'files', '/files/no']);
    assert.equal(head.status, 200);
    assert.equal(head.length, BODY.length);
    assert.deepEqual(
      head.headers.find(([name]) => name === 'Content-Type'),
      ['Content-Type', 'text/plain'],
    );
  });

  test('can force nothing', async (t) => {
    const { get } = await filtered(t, { shouldStore: () => true }, (_req, res) => {
      res.setHeader('Cache-Control', 'no-store');
      res.end('a');
    });
    assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=no-store');
  });

  const FAILURES: [string, Partial<CacheFilterOptions>][] = [
    ['throws', { shouldStore: () => assert.fail('deliberate') }],
    ['rejects', { shouldStore: async () => assert.fail('deliberate') }],
    ['answers what it can not mean', { shouldStore: (() => 'yes') as never }],
    ['answers nothing', { shouldStore: (() => undefined) as never }],
    ['never answers', { shouldStore: forever, hookTimeoutMs: 20 }],
    ['digest throws', { digest: () => assert.fail('deliberate') }],
    ['digest answers what is none', { digest: () => 'sha256:short' }],
    ['digest never answers', { digest: forever, hookTimeoutMs: 20 }],
  ];
  for (const [fault, options] of FAILURES) {
    test(`${fault}: the response goes on, is not kept, and an event tells`, async (t) => {
      const events = heard(t, 'cache-filter:hook-error');
      const { get, calls } = await filtered(t, options);
      for (const count of [1, 2]) {
        const answer = await get('/a');
        assert.equal(answer.body.toString(), BODY.toString());
        assert.equal(said(answer), 'fwd=uri-miss; detail=hook-error');
        assert.equal(calls(), count);
        assert.equal(events.length, count, 'the fault fired');
      }
    });
  }
});

describe('digest', () => {
  test('proves a body that nothing else does', async (t) => {
    const { get } = await filtered(t, { digest: async () => SHA256 }, chunked);
    assert.equal(said(await get('/a')), 'fwd=uri-miss; stored');
    assert.equal(said(await get('/a')), 'hit');
  });

  test('is enough where a digest is required', async (t) => {
    const { get } = await filtered(t, { digest: () => SHA256, integrity: 'digest' });
    await get('/a');
    assert.equal(said(await get('/a')), 'hit');
  });

  test('may know none: then the body is proved as usual, or is not kept', async (t) => {
    const known = await filtered(t, { digest: () => undefined });
    await known.get('/a');
    assert.equal(said(await known.get('/a')), 'hit');
    const unknown = await filtered(t, { digest: () => undefined }, chunked);
    assert.equal(said(await unknown.get('/a')), 'fwd=uri-miss; detail=no-length');
  });

  test('a body that differs is never whole for anybody, nor kept', async (t) => {
    const { get, filter } = await filtered(t, { digest: () => `sha256:${'0'.repeat(64)}` });
    const answer = await get('/a');
    assert.equal(answer.complete, false);
    assert.ok(answer.body.length < BODY.length);
    assert.equal((await filter.stats()).entries, 0);
    assert.equal((await filter.stats()).reasons.unproven, 1);
  });
});

describe('onServed', () => {
  test('is told of hits, fills and followers: who, how many bytes of how many, complete or not', async (t) => {
    const served: ServedContext[] = [];
    const head = barrier();
    const go = barrier();
    const { get, filter } = await filtered(
      t,
      { onServed: (context) => void served.push(context) },
      async (req, res) => {
        if (req.url !== '/slow') return respond(req, res);
        res.setHeader('Content-Length', BODY.length);
        res.write(BODY.subarray(0, 10));
        head.reach();
        await go.reached;
        res.end(BODY.subarray(10));
      },
    );
    await get('/a');
    await get('/a', { range: 'bytes=0-9' });
    await get('/a', {}, { method: 'HEAD' });
    await filter.idle();
    const line = ({ id, source, status, bytes, size, complete }: ServedContext) =>
      [id, source, status, bytes, size, complete].join(' ');
    assert.deepEqual(served.splice(0).map(line), [
      '/a fill 200 36 36 true',
      '/a hit 206 10 36 true',
      '/a hit 200 0 36 true',
    ]);
    const leader = get('/slow');
    await head.reached;
    const follower = get('/slow');
    const leaving = new AbortController();
    const left = get('/slow', {}, { signal: leaving.signal });
    while ((await filter.stats()).requests.collapsed < 2) await new Promise(setImmediate);
    leaving.abort();
    await left;
    while (served.length < 1) await new Promise(setImmediate);
    assert.equal(served[0]?.complete, false);
    assert.ok((served.shift()?.bytes ?? 99) <= 10);
    go.reach();
    await Promise.all([leader, follower]);
    await filter.idle();
    assert.deepEqual(served.map(line).sort(), [
      '/slow collapsed 200 36 36 true',
      '/slow fill 200 36 36 true',
    ]);
  });

  test('fails no response', async (t) => {
    const events = heard(t, 'cache-filter:hook-error');
    for (const onServed of [
      () => assert.fail('deliberate'),
      async () => assert.fail('deliberate'),
      forever,
    ]) {
      events.length = 0;
      const { get, filter } = await filtered(t, { onServed, hookTimeoutMs: 10 });
      await get('/a');
      assert.equal((await get('/a')).body.toString(), BODY.toString());
      await filter.idle();
      while (events.length < 2) await new Promise(setImmediate);
      assert.deepEqual(
        events.map(({ hook }) => hook),
        ['onServed', 'onServed'],
        'the fault fired',
      );
    }
  });
});

describe('a hook that never answers', () => {
  async function stuck(t: TestContext, options: Partial<CacheFilterOptions>) {
    const errors: unknown[] = [];
    const { get, filter, calls } = await filtered(t, { hookTimeoutMs: 20 }, respond);
    await get('/a');
    const { cache } = filter;
    const hung = await filtered(t, { ...options, cache, hookTimeoutMs: 20 });
    const server = await serve('http', [
      (req, res) =>
        (hung.filter as (...args: unknown[]) => void)(req, res, (error: unknown) => {
          errors.push(error);
          res.writeHead((error as HookError).status).end();
        }),
    ]);
    t.after(() => server.close());
    const answer = await fetch(`http://127.0.0.1:${server.port}/a`);
    return { answer, errors, calls };
  }
  for (const name of ['bypass', 'metadata', 'authorize'] as const) {
    test(`${name}: the request fails after hookTimeoutMs, and nothing is served`, async (t) => {
      const { answer, errors } = await stuck(t, { [name]: forever });
      assert.equal(answer.status, 503);
      assert.equal((await answer.text()).length, 0);
      assert.ok(errors[0] instanceof HookError);
      assert.equal(errors[0].hook, name);
      assert.match(errors[0].message, /did not answer within 20 ms \(hookTimeoutMs\)/);
    });
  }

  test('what it rejects with afterwards is nobody’s any more', async (t) => {
    const late = barrier();
    const { answer, errors } = await stuck(t, {
      metadata: async () => {
        await late.reached;
        throw new Error('deliberate');
      },
    });
    assert.equal(answer.status, 503);
    late.reach();
    await new Promise(setImmediate);
    assert.equal(errors.length, 1);
  });
});
