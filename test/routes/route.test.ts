import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { canonicalPath, type Route, type RouteRequest } from '../../lib/routes/route.ts';
import { meaning } from './matching.ts';

const HEX = 'ab'.repeat(32);

describe('without routes', () => {
  test('every GET and HEAD matches, and DELETE purges', () => {
    for (const [method, action] of [
      ['GET', 'read'],
      ['HEAD', 'read'],
      ['DELETE', 'purge'],
    ]) {
      const { route, id, params, key, ...rest } =
        meaning(undefined, `${method} /any/thing?at=all`) ?? assert.fail();
      assert.equal(route.name, 'all');
      assert.deepEqual([id, params, key], ['/any/thing', {}, undefined]);
      assert.deepEqual(rest, { action, path: '/any/thing', query: 'at=all' });
    }
    for (const method of ['POST', 'PUT', 'PATCH', 'OPTIONS', 'CONNECT', 'get', '']) {
      assert.equal(meaning(undefined, `${method || '-'} /any/thing`), undefined, method);
    }
  });

  test('what is no path below the mount point does not match', () => {
    for (const path of ['*', 'http://host/path', 'host:443', '']) {
      assert.equal(meaning(undefined, `GET ${path}`), undefined, path);
    }
  });
});

describe('a pattern', () => {
  const files: Route[] = [{ path: '/files/:id' }];

  test('names the resource by its parameter, decoded', () => {
    const { id, params, action, route } = meaning(files, 'GET /files/a%20b%2Fc') ?? assert.fail();
    assert.deepEqual([id, params, action, route.name], ['a b/c', { id: 'a b/c' }, 'read', '/files/:id']);
  });

  test('must match as a whole', () => {
    for (const path of ['/files', '/files/', '/files/a/b', '/x/files/a', '/filesa']) {
      assert.equal(meaning(files, `GET ${path}`), undefined, path);
    }
  });

  test('with a malformed escape nothing matches, and nothing is thrown', () => {
    for (const path of ['/files/%', '/files/%zz', '/files/%ff', '/files/%c3', '/files/a%e0%a4']) {
      assert.equal(meaning(files, `GET ${path}`), undefined, path);
    }
  });

  test('a target with a fragment matches nothing', () => {
    for (const target of ['/files/a#b', '/files/a#', '/files/a?x#b', '/files/#a'])
      assert.equal(meaning(files, `GET ${target}`), undefined, target);
    assert.equal(meaning(files, 'GET /files/a%23b')?.id, 'a#b');
  });

  test('all spellings that it takes for the same have one path', () => {
    for (const path of ['/files/a', '/files/%61', '/files/a/', '/FILES/a', '/Files/%61/']) {
      const found = meaning(files, `GET ${path}`);
      assert.equal(found?.path, '/files/a', path);
      assert.equal(found?.spelling, path === '/files/a' ? undefined : path, 'and say how they were spelled');
    }
    assert.equal(meaning(files, 'GET /files/A')?.path, '/files/A', 'an id has its letter case');
    assert.equal(meaning(files, 'GET /files/a%2fb')?.path, '/files/a%2Fb');
    assert.equal(meaning(files, 'GET /files/ü')?.path, meaning(files, 'GET /files/%c3%bc')?.path);
    assert.notEqual(
      meaning(files, 'GET /files/a%2Fb')?.path,
      meaning([{ path: '/files/*id' }], 'GET /files/a/b')?.path,
    );
  });

  test('a wildcard takes any depth, and tells an escaped slash from a real one', () => {
    const pool: Route[] = [{ path: '/pool/*path' }];
    const { id, path } = meaning(pool, 'GET /pool/main/v/vim%2B.deb') ?? assert.fail();
    assert.deepEqual([id, path], ['main/v/vim+.deb', '/pool/main/v/vim%2B.deb']);
    assert.notEqual(meaning(pool, 'GET /pool/a%2Fb')?.path, meaning(pool, 'GET /pool/a/b')?.path);
    assert.equal(meaning(pool, 'GET /pool//a')?.path, '/pool//a');
  });

  test('an optional part may be missing', () => {
    const routes: Route[] = [{ path: '/files{/:version}/:id' }];
    assert.deepEqual(meaning(routes, 'GET /files/a')?.params, { id: 'a' });
    assert.deepEqual(meaning(routes, 'GET /files/2/a')?.params, { version: '2', id: 'a' });
    assert.deepEqual(
      [meaning(routes, 'GET /files/2/a')?.id, meaning(routes, 'GET /files/2/a')?.path],
      ['a', '/files/2/a'],
    );
  });

  test('the id is the parameter id, or the one that is named, or the first', () => {
    assert.equal(meaning([{ path: '/:owner/:id' }], 'GET /o/i')?.id, 'i');
    assert.equal(meaning([{ path: '/:owner/:name', id: 'name' }], 'GET /o/n')?.id, 'n');
    assert.equal(meaning([{ path: '/:owner/:name' }], 'GET /o/n')?.id, 'o');
    assert.equal(meaning([{ path: '/only/this' }], 'GET /only/this')?.id, '/only/this');
  });

  test('no path makes it throw, and what matches has a path that matches as the same', () => {
    const patterns = ['/files/:id', '/pool/*path', '/a{/:b}/:c', '/*all', '/:x-:y', '/fix'];
    const piece = fc.constantFrom(
      '/',
      'a',
      'files',
      'pool',
      '%',
      '%61',
      '%2F',
      '%2f',
      '%ff',
      '..',
      '-',
      '?',
      '#',
      ' ',
      'ü',
    );
    const path = fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('')}`);
    fc.assert(
      fc.property(fc.constantFrom(...patterns), path, (pattern, requested) => {
        const found = meaning([{ path: pattern }], `GET ${requested.replaceAll('?', '%3F')}`);
        if (found === undefined) return;
        const again = meaning([{ path: pattern }], `GET ${found.path}`);
        assert.deepEqual([again?.path, again?.params], [found.path, found.params], `${pattern} ${requested}`);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a regular expression', () => {
  test('names the resource by a group, decoded', () => {
    const named: Route[] = [{ path: /^\/v2\/(?<name>.+)\/blobs\/(?<id>sha256:[0-9a-f]{64})$/ }];
    const { id, params } = meaning(named, `GET /v2/lib%2Fa/b/blobs/sha256:${HEX}`) ?? assert.fail();
    assert.deepEqual([id, params], [`sha256:${HEX}`, { name: 'lib/a/b', id: `sha256:${HEX}` }]);
    assert.equal(meaning([{ path: /^\/f\/(\w+)\/(\w+)$/ }], 'GET /f/a/b')?.id, 'a', 'the first group');
    assert.equal(
      meaning([{ path: /^\/f\/(\w+)\/(\w+)$/, id: '1' }], 'GET /f/a/b')?.id,
      'b',
      'a group by number',
    );
    assert.equal(meaning([{ path: /^\/all$/ }], 'GET /all')?.id, '/all', 'no group at all');
  });

  test('is matched from the start each time, though it is global or sticky', () => {
    for (const path of [/\/f\/(\w+)/g, /\/f\/(\w+)/y]) {
      const routes = [{ path }];
      path.lastIndex = 5;
      assert.equal(meaning(routes, 'GET /f/a')?.id, 'a');
      assert.equal(meaning(routes, 'GET /f/a')?.id, 'a');
      assert.equal(path.lastIndex, 5, 'and is not touched');
    }
  });

  test('a group that took no part is no parameter', () => {
    const routes: Route[] = [{ path: /^\/f(?:\/(?<version>\d+))?\/(?<id>\w+)$/ }];
    assert.deepEqual(meaning(routes, 'GET /f/a')?.params, { id: 'a' });
  });

  test('sees the path as it came; a malformed escape in a group is no match', () => {
    assert.equal(meaning([{ path: /^\/f\/([^/]+)$/ }], 'GET /f/a%2Fb')?.id, 'a/b');
    assert.equal(meaning([{ path: /^\/f\/([^/]+)$/ }], 'GET /f/%zz'), undefined);
    assert.equal(meaning([{ path: /^\/f\/([^/]+)$/ }], 'GET /f/%61')?.path, '/f/a', 'but has one spelling');
  });
});

describe('a function', () => {
  const asked: RouteRequest[] = [];
  const blobs = (request: RouteRequest) => {
    asked.push(request);
    const [, id] = /^\/blobs\/(.+)$/.exec(request.path) ?? [];
    return id === undefined ? undefined : { id, digest: id, params: { kind: 'blob' } };
  };

  test('sees method, path and query, and says what they name', () => {
    const { id, params, digest, action, route, query } =
      meaning([{ path: blobs }], `GET /blobs/sha256:${HEX}?a=1`) ?? assert.fail();
    assert.deepEqual(asked.at(-1), { method: 'GET', path: `/blobs/sha256:${HEX}`, query: 'a=1' });
    assert.deepEqual([id, params, action, query], [`sha256:${HEX}`, { kind: 'blob' }, 'read', 'a=1']);
    assert.deepEqual(digest, { algorithm: 'sha256', hex: HEX });
    assert.equal(route.name, 'blobs');
    assert.equal(meaning([{ path: blobs }], 'GET /other'), undefined);
  });

  test('what is no digest is none', () => {
    assert.equal(meaning([{ path: blobs }], 'GET /blobs/latest')?.digest, undefined);
  });

  test('decides by itself what purges, and may not read by other methods', () => {
    const by = (action: 'read' | 'purge' | undefined): Route[] => [
      { path: ({ path }) => ({ id: path, ...(action === undefined ? {} : { action }) }) },
    ];
    assert.equal(meaning(by('purge'), 'POST /a')?.action, 'purge');
    assert.equal(meaning(by(undefined), 'POST /a'), undefined);
    assert.equal(meaning(by('read'), 'POST /a'), undefined);
    assert.equal(meaning(by(undefined), 'DELETE /a')?.action, 'purge');
    assert.equal(meaning(by('read'), 'HEAD /a')?.action, 'read');
  });

  test('an empty id is no match', () => {
    assert.equal(meaning([{ path: () => ({ id: '' }) }], 'GET /a'), undefined);
  });

  test('an answer that means nothing is an error that says so', () => {
    for (const answer of [null, true, 'id', {}, { id: 7 }]) {
      assert.throws(() => meaning([{ path: () => answer as never }], 'GET /a'), {
        code: 'ERR_CACHE_FILTER_HOOK',
        hook: 'routes',
        message: /routes\[0\] answered .*\{ id: string \} or undefined/,
      });
    }
  });

  test('what it throws is thrown', () => {
    const path = () => {
      throw new Error('no such table');
    };
    assert.throws(() => meaning([{ path }], 'GET /a'), /no such table/);
  });
});

describe('the members of a route', () => {
  test('the first route that matches decides', () => {
    const routes: Route[] = [
      { path: '/files/new', name: 'new' },
      { path: '/files/:id', name: 'files' },
    ];
    assert.equal(meaning(routes, 'GET /files/new')?.route.name, 'new');
    assert.equal(meaning(routes, 'GET /files/a')?.route.name, 'files');
    assert.equal(
      meaning([[{ path: '/a' }], { path: '/b' }], 'GET /b')?.route.name,
      '/b',
      'lists of routes are one list',
    );
    assert.equal(meaning([], 'GET /a'), undefined);
  });

  test('a reserved id does not match, however it is escaped', () => {
    const routes: Route[] = [{ path: '/files/:id', reserved: ['detail', 'a/b'] }];
    for (const path of ['/files/detail', '/files/%64etail', '/files/detail/', '/files/a%2Fb']) {
      assert.equal(meaning(routes, `GET ${path}`), undefined, path);
      assert.equal(meaning(routes, `DELETE ${path}`), undefined, path);
    }
    assert.equal(meaning(routes, 'GET /files/details')?.id, 'details');
  });

  test('read: false only purges; purge names the methods', () => {
    const routes: Route[] = [{ path: '/files/:id', read: false, purge: ['PUT', 'DELETE'] }];
    assert.equal(meaning(routes, 'GET /files/a'), undefined);
    assert.equal(meaning(routes, 'HEAD /files/a'), undefined);
    assert.equal(meaning(routes, 'PUT /files/a')?.action, 'purge');
    assert.equal(meaning(routes, 'DELETE /files/a')?.action, 'purge');
    assert.equal(meaning(routes, 'POST /files/a'), undefined);
    assert.equal(meaning([{ path: '/files/:id', purge: [] }], 'DELETE /files/a'), undefined);
  });

  test('key makes the key', () => {
    const routes: Route[] = [{ path: '/:owner/:id', key: ({ id, params }) => `${params['owner']}|${id}` }];
    assert.equal(meaning(routes, 'GET /o/%61')?.key, 'o|a');
  });

  test('query tells variants apart: all of it as it came, some parameters in a fixed order, or none', () => {
    const path = '/f';
    assert.equal(meaning([{ path }], 'GET /f?b=2&a=%31&b')?.query, 'b=2&a=%31&b');
    assert.equal(meaning([{ path }], 'GET /f')?.query, '');
    assert.equal(meaning([{ path, query: false }], 'GET /f?b=2')?.query, '');
    const some: Route[] = [{ path, query: ['a', 'b'] }];
    assert.equal(meaning(some, 'GET /f?b=2&c=3&a=%31')?.query, 'a=1&b=2');
    assert.equal(meaning(some, 'GET /f?a=1&b=2')?.query, meaning(some, 'GET /f?b=2&a=1')?.query);
    assert.notEqual(
      meaning(some, 'GET /f?a=1&a=2')?.query,
      meaning(some, 'GET /f?a=2&a=1')?.query,
      'order counts within a name',
    );
    assert.notEqual(meaning(some, 'GET /f?a=1%26b%3D2')?.query, meaning(some, 'GET /f?a=1&b=2')?.query);
    assert.equal(meaning(some, 'GET /f?c=3')?.query, '');
  });

  test('of a query that parsers read in different ways nothing is left out', () => {
    const some: Route[] = [{ path: '/f', query: ['a'] }];
    for (const name of ['a[]', 'a[x]', '[a]', 'a[x][y]', 'a%5B%5D']) {
      assert.match(meaning(some, `GET /f?${name}=1&c=3`)?.query ?? '', /^(%5B)?a.*=1$/, name);
    }
    assert.equal(meaning(some, 'GET /f?b[a]=1')?.query, '');
    for (const query of [`${'x&'.repeat(999)}a=1`, 'a=%ff', 'a=1&b=%']) {
      assert.equal(meaning(some, `GET /f?${query}`)?.query, query);
    }
    assert.equal(meaning(some, `GET /f?${'x&'.repeat(998)}a=1`)?.query, 'a=1');
  });

  test('name, freshness and digests are handed on', () => {
    const { route } =
      meaning([{ path: '/f', name: 'n', freshness: { ttlMs: 5 }, digests: ['sha512'] }], 'GET /f') ??
      assert.fail();
    assert.deepEqual([route.name, route.freshness, route.digests], ['n', { ttlMs: 5 }, ['sha512']]);
    const plain = meaning([{ path: '/f' }], 'GET /f') ?? assert.fail();
    assert.deepEqual([plain.route.freshness, plain.route.digests], ['response', []]);
    assert.equal(meaning([{ path: /^\/f$/ }], 'GET /f')?.route.name, '/^\\/f$/');
    assert.equal(meaning([{ path: () => ({ id: 'a' }) }], 'GET /f')?.route.name, 'path');
  });
});

describe('canonicalPath', () => {
  test('each segment is escaped in the one usual way; a slash that was escaped stays so', () => {
    for (const [path, expected] of [
      ['/a/b', '/a/b'],
      ['/%61/b', '/a/b'],
      ['/a%2fb', '/a%2Fb'],
      ['/a b', '/a%20b'],
      ['/ü', '/%C3%BC'],
      ['/a//b/', '/a//b/'],
      ['/%', '/%'],
      ['/%ff/%61', '/%ff/%61'],
      ['/\ud800', '/\ud800'],
    ] as const) {
      assert.equal(canonicalPath(path), expected, path);
    }
  });

  test('done twice it is the same, and it decodes to the same', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (path) => {
        const once = canonicalPath(path);
        assert.equal(canonicalPath(once), once);
        try {
          assert.deepEqual(once.split('/').map(decodeURIComponent), path.split('/').map(decodeURIComponent));
        } catch {
          assert.equal(once, path, 'malformed');
        }
      }),
    );
  });
});
