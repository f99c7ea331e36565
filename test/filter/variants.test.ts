/** What tells representations apart: declared request headers, the host; and which of them are worth keeping. */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { MemoryCache } from '../../lib/index.ts';
import { BODY, barrier, filtered, respond, said } from '../support/filtered.ts';

/** Speaks the language that was asked for, and says so. */
function speak(req: IncomingMessage, res: ServerResponse): void {
  const text = `in ${req.headers['accept-language'] ?? 'any'} for ${req.headers['x-tenant'] ?? 'all'}`;
  res.setHeader('Vary', 'Accept-Language');
  res.setHeader('Content-Length', text.length);
  res.end(text);
}

describe('vary', () => {
  test('what varies by something else than it names is not kept', async (t) => {
    const { get } = await filtered(t, { vary: ['Accept'] }, speak);
    assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=vary');
    assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=vary');
  });

  test('each value is a representation of its own, and the response says so from the cache, too', async (t) => {
    const { get, calls, filter } = await filtered(t, { vary: ['accept-language'] }, speak);
    for (const language of ['de', 'en']) {
      assert.equal(said(await get('/a', { 'Accept-Language': language })), 'fwd=uri-miss; stored');
      const hit = await get('/a', { 'Accept-Language': language });
      assert.equal(said(hit), 'hit');
      assert.equal(hit.body.toString(), `in ${language} for all`);
      assert.equal(hit.headers['vary'], 'Accept-Language');
    }
    assert.equal(said(await get('/a')), 'fwd=uri-miss; stored', 'without the header');
    assert.equal(calls(), 3);
    assert.equal(await filter.purge({ url: '/a' }), 3, 'a purge takes all of them');
  });

  test('white space and repeated lines mean nothing', async (t) => {
    const { get, calls } = await filtered(t, { vary: ['Accept-Language'] }, speak);
    await get('/a', { 'Accept-Language': 'de, en' });
    for (const same of ['de,en', ' de ,  en '])
      assert.equal(said(await get('/a', { 'Accept-Language': same })), 'hit', same);
    assert.equal(calls(), 1);
    assert.notEqual(said(await get('/a', { 'Accept-Language': 'en, de' })), 'hit');
  });

  test('a route may have its own, or none', async (t) => {
    const routes = [
      { path: '/spoken/:id', vary: ['Accept-Language', 'X-Tenant'] },
      { path: '/:id', vary: [] },
    ];
    const { get } = await filtered(t, { vary: ['Accept-Language'], routes }, speak);
    await get('/spoken/a', { 'Accept-Language': 'de', 'X-Tenant': 'one' });
    const headers = { 'Accept-Language': 'de', 'X-Tenant': 'two' };
    assert.equal((await get('/spoken/a', headers)).body.toString(), 'in de for two');
    assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=vary');
  });

  test('followers wait only for their own representation', async (t) => {
    const asked = barrier();
    const go = barrier();
    const { get, calls } = await filtered(t, { vary: ['Accept-Language'] }, async (req, res) => {
      if (req.headers['accept-language'] === 'de') {
        asked.reach();
        await go.reached;
      }
      speak(req, res);
    });
    const german = get('/a', { 'Accept-Language': 'de' });
    await asked.reached;
    assert.equal((await get('/a', { 'Accept-Language': 'en' })).body.toString(), 'in en for all');
    go.reach();
    assert.equal((await german).body.toString(), 'in de for all');
    assert.equal(calls(), 2);
  });

  test('Vary: * is never kept, whatever is declared', async (t) => {
    const { get } = await filtered(t, { vary: ['Accept'] }, (_req, res) => {
      res.setHeader('Vary', 'Accept, *');
      res.end('a');
    });
    assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=vary');
  });
});

describe('keyHost', () => {
  const tell = (req: IncomingMessage, res: ServerResponse) => void res.end(`at ${req.headers.host}`);

  test('without it hosts share; with it each has its own entries, in any letter case', async (t) => {
    const integrity = 'end' as const;
    const shared = await filtered(t, { integrity }, tell);
    await shared.get('/a', { host: 'one' });
    assert.equal((await shared.get('/a', { host: 'two' })).body.toString(), 'at one');
    const { get, filter } = await filtered(t, { integrity, keyHost: true }, tell);
    await get('/a', { host: 'one' });
    assert.equal((await get('/a', { host: 'two' })).body.toString(), 'at two');
    assert.equal(said(await get('/a', { host: 'ONE' })), 'hit');
    assert.equal(await filter.purge({ url: 'http://one/a' }), 1);
    assert.equal(said(await get('/a', { host: 'two' })), 'hit');
    assert.notEqual(said(await get('/a', { host: 'one' })), 'hit');
  });

  test('a forwarded host is nobody’s word', async (t) => {
    const { get } = await filtered(t, { keyHost: true });
    await get('/a', { host: 'one', 'X-Forwarded-Host': 'two' });
    assert.equal(said(await get('/a', { host: 'one', 'X-Forwarded-Host': 'three' })), 'hit');
    assert.notEqual(said(await get('/a', { host: 'two' })), 'hit');
  });
});

describe('minUses', () => {
  test('what is asked for the n-th time is kept', async (t) => {
    const { get } = await filtered(t, { minUses: 3 });
    for (const _ of [1, 2]) assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=min-uses');
    assert.equal(said(await get('/b')), 'fwd=uri-miss; detail=min-uses', 'each counts for itself');
    assert.equal(said(await get('/a')), 'fwd=uri-miss; stored');
    assert.equal(said(await get('/a')), 'hit');
  });

  test('HEAD, and requests that begin no fill, do not count', async (t) => {
    const { get } = await filtered(t, { minUses: 2 });
    await get('/a', {}, { method: 'HEAD' });
    await get('/a', { 'if-none-match': '"x"' });
    assert.equal(said(await get('/a')), 'fwd=uri-miss; detail=min-uses');
    assert.equal(said(await get('/a')), 'fwd=uri-miss; stored');
  });
});

describe('what is worth keeping', () => {
  test('each route may have a size window of its own', async (t) => {
    const routes = [
      { path: '/small/:id', maxEntryBytes: BODY.length - 1 },
      { path: '/large/:id', minEntryBytes: BODY.length + 1 },
      { path: '/exact/:id', minEntryBytes: BODY.length, maxEntryBytes: BODY.length },
    ];
    const { get } = await filtered(t, { routes });
    assert.equal(said(await get('/small/a')), 'fwd=uri-miss; detail=too-large');
    assert.equal(said(await get('/large/a')), 'fwd=uri-miss; detail=too-small');
    assert.equal(said(await get('/exact/a')), 'fwd=uri-miss; stored');
  });

  test('a body of unknown length that grows out of the window is not kept, and reaches its client whole', async (t) => {
    const pour = (_req: IncomingMessage, res: ServerResponse) => {
      for (let i = 0; i < 4; i++) res.write(BODY);
      res.end();
    };
    for (const [limits, reason] of [
      [{ maxEntryBytes: 3 * BODY.length }, 'too-large'],
      [{ minEntryBytes: 5 * BODY.length }, 'too-small'],
    ] as const) {
      const { get, filter } = await filtered(t, { integrity: 'end', ...limits }, pour);
      const answer = await get('/a');
      assert.equal(answer.complete, true, reason);
      assert.equal(answer.body.length, 4 * BODY.length);
      await filter.idle();
      const { entries, reasons } = await filter.stats();
      assert.equal(entries, 0, reason);
      assert.deepEqual(reasons, { [reason]: 1 });
    }
  });

  test("filter: 'off' leaves what matches alone, whatever later routes say", async (t) => {
    const routes = [{ path: '/files/private/*rest', filter: 'off' as const }, { path: '/files/*path' }];
    const { get, calls, filter } = await filtered(t, { routes, cache: new MemoryCache() }, respond);
    for (const count of [1, 2]) {
      const answer = await get('/files/private/a');
      assert.equal(answer.headers['cache-status'], undefined);
      assert.equal(calls(), count);
    }
    assert.equal(said(await get('/files/a')), 'fwd=uri-miss; stored');
    assert.equal((await filter.stats()).requests.misses, 1);
  });
});
