/** What a hit may say of its bytes because they were verified (RFC 9530, RFC 9110 8.8.3). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { BODY, filtered, respond } from '../support/filtered.ts';

const field = (algorithm: 'sha256' | 'sha512') =>
  `sha-${algorithm.slice(3)}=:${createHash(algorithm).update(BODY).digest('base64')}:`;

describe('Repr-Digest of a hit', () => {
  const routes = [{ path: '/:id', digests: ['sha512' as const] }];

  test('is SHA-256, or what Want-Repr-Digest prefers of what there is, or nothing', async (t) => {
    const { get } = await filtered(t, { routes });
    await get('/a');
    for (const [want, expected] of [
      [undefined, field('sha256')],
      ['sha-512=9, sha-256=1', field('sha512')],
      ['sha-256=0', field('sha512')],
      ['sha-256=0, sha-512=0', undefined],
      ['nonsense', field('sha256')],
      // The one before must not stick.
      [undefined, field('sha256')],
    ] as const) {
      const answer = await get('/a', want === undefined ? {} : { 'Want-Repr-Digest': want });
      assert.equal(answer.headers['repr-digest'], expected, want);
      assert.equal(answer.headers['etag'], `"sha256-${createHash('sha256').update(BODY).digest('hex')}"`);
    }
  });

  test('is of the whole, on a part and on a HEAD too', async (t) => {
    const { get } = await filtered(t);
    await get('/a');
    const part = await get('/a', { range: 'bytes=3-5' });
    assert.deepEqual([part.status, part.headers['repr-digest']], [206, field('sha256')]);
    const head = await get('/a', {}, { method: 'HEAD' });
    assert.equal(head.headers['repr-digest'], field('sha256'));
  });

  test('what the handler says stays: its digest, its entity tag', async (t) => {
    const { get } = await filtered(t, {}, (req, res) => {
      res.setHeader('ETag', '"its own"');
      res.setHeader('Repr-Digest', field('sha512'));
      respond(req, res);
    });
    await get('/a');
    const hit = await get('/a', { 'Want-Repr-Digest': 'sha-256=10' });
    assert.deepEqual([hit.headers['etag'], hit.headers['repr-digest']], ['"its own"', field('sha512')]);
    assert.equal((await get('/a', { 'if-none-match': '"its own"' })).status, 304);
  });
});
