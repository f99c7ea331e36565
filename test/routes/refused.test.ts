/** A route that can't be understood is refused at once, and the message names what was wrong. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resolveRoutes } from '../../lib/routes/route.ts';
import { DEFAULTS } from './matching.ts';

const REFUSED: [routes: unknown, message: RegExp][] = [
  [
    '/files/:id',
    /^ERR_CACHE_FILTER_OPTION: routes must be an array, for example \[\{ path: '\/files\/:id' \}\]/,
  ],
  [{ path: '/files/:id' }, /routes must be an array/],
  [null, /routes must be an array/],
  [[null], /routes\[0\] must be an object with a path/],
  [['/files/:id'], /routes\[0\] must be an object with a path/],
  [[{ path: '/a' }, undefined], /routes\[1\] must be an object with a path/],
  [[{}], /routes\[0\] path must be a pattern that begins with '\/', a RegExp or a function/],
  [[{ path: 'files/:id' }], /routes\[0\] path must be a pattern that begins with '\/'/],
  [[{ path: 7 }], /routes\[0\] path must be/],
  [
    [{ path: '/files/(.*)' }],
    /the path '\/files\/\(\.\*\)' is no pattern of path-to-regexp 8: Unexpected \(/,
  ],
  [
    [{ path: '/files/*' }],
    /the path '\/files\/\*' is no pattern of path-to-regexp 8: Missing parameter name/,
  ],
  [
    [{ path: '/a', method: 'GET' }],
    /routes\[0\] has an unknown member 'method'; a route has path, name, id, /,
  ],
  [[{ path: '/a', name: 7 }], /routes\[0\] name must be a string/],
  [[{ path: '/:a', id: 7 }], /routes\[0\] id must be the name of a parameter/],
  [[{ path: '/:a', id: 'b' }], /routes\[0\] id must be a parameter of '\/:a', got 'b'/],
  [[{ path: '/a', reserved: 'detail' }], /routes\[0\] reserved must be an array of ids/],
  [[{ path: '/a', reserved: [1] }], /routes\[0\] reserved must be an array of ids/],
  [[{ path: '/a', read: 'no' }], /routes\[0\] read must be true or false/],
  [[{ path: '/a', purge: 'DELETE' }], /routes\[0\] purge must be an array of methods in capitals/],
  [[{ path: '/a', purge: ['delete'] }], /routes\[0\] purge must be an array of methods in capitals/],
  [[{ path: '/a', purge: [7] }], /routes\[0\] purge must be an array of methods in capitals/],
  [[{ path: '/a', purge: ['GET'] }], /routes\[0\] purge may not hold GET or HEAD/],
  [[{ path: '/a', purge: ['PUT', 'HEAD'] }], /routes\[0\] purge may not hold GET or HEAD/],
  [
    [{ path: '/a', freshness: 'forever' }],
    /routes\[0\] freshness must be 'response', 'immutable' or \{ ttlMs/,
  ],
  [[{ path: '/a', freshness: { ttlMs: 0 } }], /routes\[0\] freshness must be/],
  [[{ path: '/a', freshness: { ttlMs: '1h' } }], /routes\[0\] freshness must be/],
  [[{ path: '/a', freshness: { ttlMs: 1, max: 1 } }], /routes\[0\] freshness must be/],
  [[{ path: '/a', key: '/a' }], /routes\[0\] key must be a function of \{ id, params \}/],
  [[{ path: '/a', query: 'v' }], /routes\[0\] query must be false, or an array of parameter names/],
  [[{ path: '/a', query: true }], /routes\[0\] query must be false, or an array/],
  [
    [{ path: '/a', digests: 'sha512' }],
    /routes\[0\] digests must be an array of md5, sha1, sha256, sha384, sha512/,
  ],
  [[{ path: '/a', digests: ['crc32'] }], /routes\[0\] digests must be an array of/],
  [[{ path: '/a', vary: 'Accept' }], /routes\[0\] vary must be an array of header names/],
  [[{ path: '/a', vary: ['no header'] }], /routes\[0\] vary must be an array of header names/],
  [[{ path: '/a', minEntryBytes: '1' }], /routes\[0\] minEntryBytes must be a whole number of bytes/],
  [[{ path: '/a', maxEntryBytes: -1 }], /routes\[0\] maxEntryBytes must be a whole number of bytes/],
  [[{ path: '/a', filter: 'on' }], /routes\[0\] filter must be 'off', or left out/],
  [[{ path: '/a', reservd: [] }], /did you mean reserved\?/],
];

describe('a route that can not be understood', () => {
  for (const [routes, message] of REFUSED) {
    test(`is refused: ${JSON.stringify(routes)}`, () => {
      assert.throws(() => resolveRoutes(routes, DEFAULTS), {
        name: 'OptionError',
        code: 'ERR_CACHE_FILTER_OPTION',
        option: 'routes',
        message,
      });
    });
  }

  test('members that are undefined are as if they were absent', () => {
    const absent = Object.fromEntries(
      [
        'name',
        'id',
        'reserved',
        'read',
        'purge',
        'freshness',
        'key',
        'query',
        'vary',
        'minEntryBytes',
        'maxEntryBytes',
        'digests',
        'filter',
      ].map((name) => [name, undefined]),
    );
    const [route] = resolveRoutes([{ path: '/files/:id', ...absent }], {
      ...DEFAULTS,
      freshness: { ttlMs: 7 },
    });
    assert.deepEqual([route?.name, route?.freshness, route?.digests], ['/files/:id', { ttlMs: 7 }, []]);
    const found = route?.match({ method: 'DELETE', path: '/files/a', query: 'b' });
    assert.ok(typeof found === 'object');
    assert.deepEqual([found.action, found.id, found.query], ['purge', 'a', 'b']);
  });

  test('what the caller gave is not touched', () => {
    const route = Object.freeze({ path: '/files/:id', purge: Object.freeze(['PUT']) });
    const routes = Object.freeze([route]);
    resolveRoutes(routes, DEFAULTS);
    assert.deepEqual(routes, [{ path: '/files/:id', purge: ['PUT'] }]);
  });
});
