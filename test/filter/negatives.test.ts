import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Key } from '../../lib/cache/cache.ts';
import { Negatives } from '../../lib/filter/negatives.ts';
import type { HeaderPairs } from '../../lib/http/body.ts';

const KEY: Key = { primary: '/a', variant: '?1' };
const BODY = Buffer.from('nothing here');

function head(status = 404, headers: HeaderPairs = []) {
  return { status, headers };
}

function remember(negatives: Negatives, key: Key, tags: string[] = [], body = BODY): boolean {
  return negatives.remember({ key, tags, head: head(), body }, negatives.mark, 1_000);
}

describe('negative answers', () => {
  test('one is remembered for its time, and for its variant only', () => {
    const negatives = new Negatives({ ttlMs: 100 });
    assert.equal(remember(negatives, KEY), true);
    const found = negatives.find(KEY, 1_099);
    assert.deepEqual([found?.head.status, found?.body.equals(BODY)], [404, true]);
    assert.equal(negatives.find({ primary: '/a' }, 1_000), undefined);
    assert.equal(negatives.find(KEY, 1_100), undefined);
    assert.equal(negatives.size, 0, 'it has gone');
  });

  test('a clock that was set back does not make it last longer', () => {
    const negatives = new Negatives({ ttlMs: 100 });
    remember(negatives, KEY);
    assert.equal(negatives.find(KEY, 999), undefined);
  });

  test('with 0 nothing is remembered', () => {
    const negatives = new Negatives({ ttlMs: 0 });
    assert.equal(negatives.wants(head()), false);
    assert.equal(remember(negatives, KEY), false);
    assert.equal(negatives.find(KEY), undefined);
  });

  for (const [what, status, headers, wanted] of [
    ['404', 404, [], true],
    ['410', 410, [], true],
    ['200', 200, [], false],
    ['403', 403, [], false],
    ['500', 500, [], false],
    ['a cookie', 404, [['Set-Cookie', 'a=b']], false],
    ['private', 404, [['Cache-Control', 'private']], false],
    ['no-store', 404, [['Cache-Control', 'no-store']], false],
    ['no-cache', 404, [['Cache-Control', 'no-cache']], false],
    ['max-age', 404, [['Cache-Control', 'max-age=1']], true],
    ['a Vary that the key has', 404, [['Vary', 'Accept']], true],
    ['a Vary that it has not', 404, [['Vary', 'Accept, Cookie']], false],
    ['Vary: *', 404, [['Vary', '*']], false],
    ['64 KiB', 404, [['Content-Length', '65536']], true],
    ['more', 404, [['Content-Length', '65537']], false],
  ] as [string, number, HeaderPairs, boolean][]) {
    test(`${what}: ${wanted ? 'remembered' : 'not remembered'}`, () => {
      const negatives = new Negatives({ ttlMs: 100 });
      assert.equal(negatives.wants(head(status, headers), ['accept']), wanted);
    });
  }

  test('a body that turns out to be too large is not remembered', () => {
    const negatives = new Negatives({ ttlMs: 100 });
    assert.equal(remember(negatives, KEY, [], Buffer.alloc(65_537)), false);
    assert.equal(negatives.find(KEY, 1_000), undefined);
  });

  test('fields about one connection, or one user, are not remembered', () => {
    const negatives = new Negatives({ ttlMs: 100, dropHeaders: new Set(['x-drop']) });
    const headers: HeaderPairs = [
      ['Content-Type', 'text/plain'],
      ['Connection', 'x-hop'],
      ['X-Hop', '1'],
      ['X-Drop', '1'],
      ['Set-Cookie', 'a=b'],
    ];
    negatives.remember({ key: KEY, tags: [], head: head(404, headers), body: BODY }, negatives.mark, 1_000);
    assert.deepEqual(negatives.find(KEY, 1_000)?.head.headers, [['Content-Type', 'text/plain']]);
  });

  for (const [what, gone] of [
    [{ key: '/a' }, 1],
    [{ key: '/b' }, 0],
    [{ prefix: '/' }, 1],
    [{ tag: 't' }, 1],
    [{ tag: 'u' }, 0],
    [{ all: true }, 1],
  ] as const) {
    test(`a purge of ${JSON.stringify(what)} takes ${gone}`, () => {
      const negatives = new Negatives({ ttlMs: 100 });
      remember(negatives, KEY, ['t']);
      assert.equal(negatives.invalidate(what), gone);
      assert.equal(negatives.find(KEY, 1_000) === undefined, gone === 1);
    });
  }

  test('what was asked for before a purge is not remembered after it', () => {
    const negatives = new Negatives({ ttlMs: 100 });
    const { mark } = negatives;
    negatives.invalidate({ key: '/a' });
    assert.equal(negatives.remember({ key: KEY, tags: [], head: head(), body: BODY }, mark, 1_000), false);
    assert.equal(remember(negatives, KEY), true);
  });

  test('they are bounded in number, and in bytes', () => {
    const negatives = new Negatives({ ttlMs: 100 });
    for (let i = 0; i < 10_001; i++) remember(negatives, { primary: `/${i}` }, [], Buffer.alloc(0));
    assert.equal(negatives.size, 10_000);
    assert.equal(negatives.find({ primary: '/0' }, 1_000), undefined, 'the oldest');
    for (let i = 0; i < 1_000; i++) remember(negatives, { primary: `/${i}` }, [], Buffer.alloc(65_536));
    assert.ok(negatives.size <= 256, `${negatives.size}`);
  });
});
