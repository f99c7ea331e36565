/** Parts of what is not stored, with an origin. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { deferred } from '../support/deferred.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { filtered, said } from '../support/filtered.ts';
import { giving, originOf } from '../support/origin.ts';

const MIB = 2 ** 20;
const BYTES = randomBytes(5 * MIB + 1000);
const notAsked = () => assert.fail('the application was asked');

describe('a range of what is not stored', () => {
  test('costs the blocks around it, and none of them twice; all of them make an entry', async (t) => {
    const origin = await originOf(t, giving(BYTES));
    const { get, filter } = await filtered(
      t,
      { directory: temporaryDirectory(t), origin: origin.url },
      notAsked,
    );
    const part = async (start: number, end: number, how: RegExp) => {
      const answer = await get('/file', { range: `bytes=${start}-${end - 1}` });
      assert.equal(answer.status, 206);
      assert.ok(answer.body.equals(BYTES.subarray(start, end)), `${start}-${end}`);
      assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/${BYTES.length}`);
      assert.equal(answer.headers['etag'], '"one"');
      assert.match(said(answer), how);
      await filter.idle();
    };
    await part(3 * MIB - 10, 3 * MIB + 10, /^fwd=uri-miss; stored; detail=unverified/);
    await part(3 * MIB, 3 * MIB + 100, /^hit; detail=unverified/);
    await part(BYTES.length - 5, BYTES.length, /^fwd=uri-miss/);
    assert.deepEqual(
      origin.asked.map(({ headers }) => headers.range),
      [`bytes=${2 * MIB}-${4 * MIB - 1}`, `bytes=${5 * MIB}-${BYTES.length - 1}`],
    );
    const whole = await get('/file');
    assert.equal(whole.status, 200);
    assert.ok(whole.body.equals(BYTES));
    assert.equal(whole.complete, true);
    await filter.idle();
    const again = await get('/file');
    assert.match(said(again), /^hit/);
    const digest = createHash('sha256').update(BYTES).digest('base64');
    assert.equal(again.headers['repr-digest'], `sha-256=:${digest}:`);
    const asked = origin.asked.map(({ headers }) => headers.range);
    assert.deepEqual(asked.slice(2), [`bytes=0-${2 * MIB - 1}`, `bytes=${4 * MIB}-${5 * MIB - 1}`]);
    assert.equal((await filter.stats()).entries, 1);
  });

  test('is for those only whom the policy lets in', async (t) => {
    const origin = await originOf(t, giving(BYTES));
    const { get } = await filtered(
      t,
      {
        directory: temporaryDirectory(t),
        origin: { url: origin.url, headers: { Authorization: 'Bearer ours' } },
        authorize: ({ req }) => req.headers['x-user'] === 'alice',
      },
      notAsked,
    );
    const headers = { range: 'bytes=0-9' };
    assert.equal((await get('/file', headers)).status, 403);
    assert.equal(origin.asked.length, 0);
    assert.equal((await get('/file', { ...headers, 'x-user': 'alice' })).status, 206);
    assert.equal((await get('/file', headers)).status, 403);
  });

  test('of an origin that knows no ranges has all of it fetched, and kept', async (t) => {
    const origin = await originOf(t, (_req, res) => {
      res.writeHead(200, { ETag: '"one"', 'Content-Length': BYTES.length }).end(BYTES);
    });
    const { get, filter } = await filtered(
      t,
      { directory: temporaryDirectory(t), origin: origin.url },
      notAsked,
    );
    const answer = await get('/file', { range: 'bytes=10-19' });
    assert.equal(answer.status, 206);
    assert.ok(answer.body.equals(BYTES.subarray(10, 20)));
    await filter.idle();
    assert.match(said(await get('/file')), /^hit/);
  });

  test('of what is not to be kept is handed on', async (t) => {
    const origin = await originOf(t, giving(BYTES, { 'Cache-Control': 'no-store' }));
    const { get, filter } = await filtered(
      t,
      { directory: temporaryDirectory(t), origin: origin.url },
      notAsked,
    );
    const answer = await get('/file', { range: 'bytes=10-19' });
    assert.equal(answer.status, 206);
    assert.ok(answer.body.equals(BYTES.subarray(10, 20)));
    assert.match(said(answer), /detail=no-store/);
    assert.equal(origin.asked.at(-1)?.headers.range, 'bytes=10-19');
    assert.equal((await filter.stats()).bytes, 0);
  });

  test('is gone with what is purged', async (t) => {
    const origin = await originOf(t, giving(BYTES));
    const { get, filter } = await filtered(
      t,
      { directory: temporaryDirectory(t), origin: origin.url },
      notAsked,
    );
    await get('/file', { range: 'bytes=0-9' });
    assert.ok((await filter.stats()).bytes > MIB);
    await filter.purge({ key: '/file' });
    await get('/file', { range: 'bytes=0-9' });
    assert.equal(origin.asked.length, 2);
  });

  test('far from where a fill is does not wait for it', async (t) => {
    const bytes = Buffer.alloc(40 * MIB, 'x');
    const rest = deferred();
    const begun = deferred();
    const origin = await originOf(t, async (req, res) => {
      if (req.headers.range !== undefined) return giving(bytes)(req, res);
      res.writeHead(200, { ETag: '"one"', 'Content-Length': bytes.length });
      res.write(bytes.subarray(0, 1000));
      begun.resolve();
      await rest.promise;
      res.end(bytes.subarray(1000));
    });
    const { get } = await filtered(t, { directory: temporaryDirectory(t), origin: origin.url }, notAsked);
    const whole = get('/file');
    await begun.promise;
    const part = await get('/file', { range: `bytes=${30 * MIB}-${30 * MIB + 9}` });
    assert.equal(part.status, 206);
    assert.equal(String(part.body), 'xxxxxxxxxx');
    rest.resolve();
    assert.equal((await whole).body.length, bytes.length);
  });
});
