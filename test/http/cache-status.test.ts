import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { appendCacheStatus, type CacheStatus, formatCacheStatus } from '../../lib/http/cache-status.ts';

describe('formatCacheStatus', () => {
  const cases: [name: string, status: CacheStatus, text: string][] = [
    ['cache-filter', {}, 'cache-filter'],
    ['cache-filter', { hit: true, ttl: 376 }, 'cache-filter; hit; ttl=376'],
    ['cache-filter', { fwd: 'uri-miss', stored: true }, 'cache-filter; fwd=uri-miss; stored'],
    ['cache-filter', { fwd: 'uri-miss', detail: 'no-store' }, 'cache-filter; fwd=uri-miss; detail=no-store'],
    [
      'c',
      { fwd: 'stale', fwdStatus: 304, stored: true, collapsed: true, ttl: -5, key: 'k', detail: 'd' },
      'c; fwd=stale; fwd-status=304; stored; collapsed; ttl=-5; key="k"; detail=d',
    ],
    ['c', { hit: false, stored: false, collapsed: false }, 'c'],
    ['c', { ttl: 0 }, 'c; ttl=0'],
    ['c', { ttl: 1.9 }, 'c; ttl=1'],
    ['c', { ttl: -0.5 }, 'c; ttl=-1'],
    ['c', { ttl: Number.POSITIVE_INFINITY }, 'c; ttl=999999999999999'],
    ['c', { ttl: Number.NEGATIVE_INFINITY }, 'c; ttl=-999999999999999'],
    ['c', { key: '/a b?x="y"\\z' }, 'c; key="/a b?x=\\"y\\"\\\\z"'],
    ['c', { key: '' }, 'c; key=""'],
    ['c', { key: 'ü€\n\x1f ~\x7f' }, 'c; key="%C3%BC%E2%82%AC%0A%1F ~%7F"'],
    ['c', { key: '\ud800' }, 'c; key="%EF%BF%BD"'],
    ['c', { detail: '*/a:b' }, 'c; detail=*/a:b'],
    ['c', { detail: '404' }, 'c; detail="404"'],
    ['c', { detail: 'no store' }, 'c; detail="no store"'],
    ['c', { detail: 'x\n' }, 'c; detail="x%0A"'],
    ['c', { detail: '' }, 'c; detail=""'],
    ['my cache', { hit: true }, '"my cache"; hit'],
    ['cache.example.net:80', { hit: true }, 'cache.example.net:80; hit'],
    ['1', {}, '"1"'],
  ];
  for (const [name, status, text] of cases) {
    test(`writes ${text}`, () => assert.equal(formatCacheStatus(name, status), text));
  }
});

describe('appendCacheStatus', () => {
  test('puts our member last, where the cache closest to the client belongs', () => {
    assert.equal(appendCacheStatus('origin; fwd=miss', 'ours; hit'), 'origin; fwd=miss, ours; hit');
  });

  test('is our member alone where there is no other', () => {
    assert.equal(appendCacheStatus(undefined, 'ours; hit'), 'ours; hit');
    assert.equal(appendCacheStatus('', 'ours; hit'), 'ours; hit');
  });
});
