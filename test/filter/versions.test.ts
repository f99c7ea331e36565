/** `version` of metadata: an entry is of one version of its resource, and never of a newer one than its bytes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { barrier, filtered, said } from '../support/filtered.ts';

describe('the version that metadata says', () => {
  test('an entry of another version is dropped, and the request goes on as a miss', async (t) => {
    let version: string | number = 1;
    const { get, calls } = await filtered(t, { metadata: () => ({ version }) }, (_req, res) =>
      res.end(`version ${version}`),
    );
    await get('/a');
    // Stored before it was known that there are versions: taken for none of them.
    assert.equal(said(await get('/a')), 'fwd=uri-miss; stored');
    assert.equal(said(await get('/a')), 'hit');
    version = 2;
    const fresh = await get('/a');
    assert.equal(said(fresh), 'fwd=uri-miss; stored');
    assert.equal(fresh.body.toString(), 'version 2');
    assert.equal(said(await get('/a')), 'hit');
    assert.equal(calls(), 3);
    assert.equal(said(await get('/b')), 'fwd=uri-miss; stored');
    assert.equal(said(await get('/b')), 'hit', 'from now on it is asked for before the application is');
  });

  test('what changes while the application reads is of the older version', async (t) => {
    let version = 1;
    let change = false;
    const { get } = await filtered(t, { metadata: () => ({ version }) }, (_req, res) => {
      if (change) version++;
      change = false;
      res.end(`some bytes`);
    });
    await get('/a');
    await get('/a');
    change = true;
    assert.equal(said(await get('/b')), 'fwd=uri-miss; stored');
    assert.equal(version, 2, 'the fault: it changed under the fill');
    assert.equal(said(await get('/b')), 'fwd=uri-miss; stored');
    assert.equal(said(await get('/b')), 'hit');
  });

  test('nobody follows a fill of another version', async (t) => {
    let version = 1;
    const asked = barrier();
    const go = barrier();
    let hold = false;
    const { get, calls, filter } = await filtered(t, { metadata: () => ({ version }) }, async (_req, res) => {
      const mine = version;
      res.setHeader('Content-Length', 9);
      if (hold) {
        hold = false;
        res.flushHeaders();
        asked.reach();
        await go.reached;
      }
      res.end(`version ${mine}`);
    });
    await get('/a');
    await get('/a');
    await filter.purge({ all: true });
    hold = true;
    const old = get('/a');
    await asked.reached;
    version = 2;
    const before = calls();
    const answer = await get('/a');
    assert.equal(answer.body.toString(), 'version 2');
    assert.equal(said(answer), 'fwd=uri-miss; detail=mismatch');
    assert.equal(calls(), before + 1);
    go.reach();
    assert.equal((await old).body.toString(), 'version 1');
  });

  test('may be a string, a number or a Date; anything else is an error', async (t) => {
    for (const version of ['v1', 7, new Date(0)]) {
      const { get } = await filtered(t, { metadata: () => ({ version }) });
      await get('/a');
      await get('/a');
      assert.equal(said(await get('/a')), 'hit', String(version));
    }
    const { get } = await filtered(t, { metadata: () => ({ version: {} }) });
    await get('/a');
    assert.equal((await get('/a')).status, 500);
  });

  test('without it metadata is not asked on a miss', async (t) => {
    let asked = 0;
    const { get } = await filtered(t, { metadata: () => ({ asked: ++asked }) });
    await get('/a');
    assert.equal(asked, 0);
    await get('/a');
    await get('/b');
    assert.equal(asked, 1);
  });

  test('a metadata hook that fails on a miss costs the version, not the response', async (t) => {
    let fail = false;
    let failed = 0;
    const metadata = () => {
      if (!fail) return { version: 1 };
      failed++;
      throw new Error('deliberate');
    };
    const { get } = await filtered(t, { metadata });
    await get('/a');
    await get('/a');
    fail = true;
    assert.equal(said(await get('/b')), 'fwd=uri-miss; stored');
    assert.equal(failed, 1, 'the fault fired');
    fail = false;
    assert.equal(said(await get('/b')), 'fwd=uri-miss; stored', 'of no known version');
    assert.equal(said(await get('/b')), 'hit');
  });
});
