import assert from 'node:assert/strict';
import type { EventEmitter } from 'node:events';
import { createServer, type IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import connect from 'connect';
import express from 'express';
import { MemoryCache } from '../../lib/cache/memory-cache.ts';
import { Exchange, getCacheInfo, hasBody } from '../../lib/filter/exchange.ts';
import { keyOf, mountOf, tagOf } from '../../lib/filter/keys.ts';
import type { AnyRequest } from '../../lib/http/message.ts';
import { type CacheFilterOptions, resolveOptions } from '../../lib/options.ts';
import { matchRoute } from '../../lib/routes/route.ts';
import { targetOf } from '../../lib/routes/table.ts';

const mount = (originalUrl: unknown, url: string | undefined) =>
  mountOf({ originalUrl, url } as unknown as AnyRequest);

describe('the mount point', () => {
  const TABLE: [statement: string, originalUrl: unknown, url: string | undefined, expected: string][] = [
    ['without mounting', '/a/b', '/a/b', ''],
    ['without a framework', undefined, '/a/b', ''],
    ['below one', '/files/a', '/a', '/files'],
    ['below several', '/api/v2/files/a?x=/a', '/a?x=/a', '/api/v2/files'],
    ['the mount point itself', '/files', '/', '/files'],
    ['the mount point itself with a query', '/files?x=1', '/?x=1', '/files'],
    ['the mount point itself with a query that ends like a path', '/files?x=/', '/?x=/', '/files'],
    ['the mount point with a slash', '/files/', '/', '/files'],
    ['a query that was changed on the way', '/files/a?x=1', '/a?y=2', '/files'],
    ['a path that was rewritten is kept apart from all others', '/old/a', '/new/b', '/old/a '],
    ['nothing at all', '/files', undefined, '/files'],
  ];
  for (const [statement, originalUrl, url, expected] of TABLE) {
    test(statement, () => assert.equal(mount(originalUrl, url), expected));
  }

  test('where the framework says it, it is as the framework says', () => {
    const req = { originalUrl: '/files/a', url: '/rewritten', baseUrl: '/files' } as unknown as AnyRequest;
    assert.equal(mountOf(req), '/files');
  });

  /** The keys that requests for these paths have, behind a real framework. */
  const keys = async (
    t: TestContext,
    app: (seen: (req: AnyRequest) => void) => (req: never, res: never) => void,
    paths: string[],
  ) => {
    const found: string[] = [];
    const config = resolveOptions({ cache: new MemoryCache() });
    const handler = app((req) => {
      const [path = '', query = ''] = (req.url ?? '').split('?');
      const match =
        matchRoute(config.routes, { method: 'GET', path, query }) ??
        assert.fail(`${req.url} matches nothing`);
      const { primary, variant = '' } = keyOf(config, match, mountOf(req), req.headers);
      found.push(primary + variant);
    });
    const server = createServer(handler as never).listen(0);
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    for (const path of paths) await fetch(`http://127.0.0.1:${port}${path}`);
    return found;
  };

  test('two mount points, and two parameters of one, never share a key (Express)', async (t) => {
    const paths = ['/a', '/a/', '/a?x', '/b', '/b/c', '/users/1', '/users/2', '/users/2?x', '/users/2/c'];
    const found = await keys(
      t,
      (seen) => {
        const app = express();
        app.use(['/a', '/b', '/users/:id'], (req, res) => {
          seen(req);
          res.end();
        });
        return app as never;
      },
      paths,
    );
    assert.deepEqual(found, [
      '/a/',
      '/a/',
      '/a/?x',
      '/b/',
      '/b/c',
      '/users/1/',
      '/users/2/',
      '/users/2/?x',
      '/users/2/c',
    ]);
  });

  test('two mount points never share a key (Connect)', async (t) => {
    const found = await keys(
      t,
      (seen) => {
        const app = connect();
        for (const path of ['/a', '/b']) {
          app.use(path, (req, res) => {
            seen(req);
            res.end();
          });
        }
        return app as never;
      },
      ['/a', '/b', '/b?x', '/b/c'],
    );
    assert.deepEqual(found, ['/a/', '/b/', '/b/?x', '/b/c']);
  });
});

interface Made {
  exchange: Exchange;
  res: ServerResponse;
}

function exchange(
  options: CacheFilterOptions = {},
  url = '/files/a',
  headers: IncomingHttpHeaders = {},
  socket: object = {},
): Made {
  const config = resolveOptions({
    cache: new MemoryCache(),
    routes: [{ path: '/files/:id', name: 'files' }],
    ...options,
  });
  const req = new IncomingMessage(Object.assign(new Socket(), socket));
  Object.assign(req, { url, method: 'GET', headers });
  const res = new ServerResponse(req);
  const match =
    matchRoute(config.routes, { method: 'GET', ...targetOf(url) }) ?? assert.fail(`${url} matches nothing`);
  return { exchange: new Exchange(config, req, res, () => undefined, match), res };
}

describe('the key', () => {
  test('is the path in one spelling; another spelling and the query tell variants apart', () => {
    assert.deepEqual(exchange({}, '/files/a').exchange.key, { primary: '/files/a' });
    assert.deepEqual(exchange({}, '/files/%61').exchange.key, { primary: '/files/a', variant: '/files/%61' });
    assert.deepEqual(exchange({}, '/FILES/a/?b').exchange.key, {
      primary: '/files/a',
      variant: '/FILES/a/?b',
    });
    assert.deepEqual(exchange({}, '/files/a?b=1').exchange.key, { primary: '/files/a', variant: '?b=1' });
    assert.deepEqual(exchange({}, '/files/a?').exchange.key, { primary: '/files/a' });
  });

  test('a namespace comes before it, the route’s own key included', () => {
    assert.equal(exchange({ namespace: 'ns' }).exchange.key.primary, 'ns:/files/a');
    const routes = [{ path: '/files/:id', key: ({ id }: { id: string }) => `file|${id}` }];
    assert.equal(exchange({ routes }).exchange.key.primary, 'file|a');
    assert.equal(exchange({ routes, namespace: 'ns' }).exchange.key.primary, 'ns:file|a');
    assert.deepEqual(
      exchange({ routes }, '/FILES/%61/').exchange.key,
      { primary: 'file|a' },
      'in any spelling',
    );
  });

  test('the mount point is part of it, unless the route makes its own', () => {
    const config = resolveOptions({ cache: new MemoryCache() });
    const match = matchRoute(config.routes, { method: 'GET', path: '/a', query: '' }) ?? assert.fail();
    assert.deepEqual(keyOf(config, match, '/mnt', {}), { primary: '/mnt/a' });
    assert.deepEqual(keyOf(config, { ...match, key: 'own' }, '/mnt', {}), { primary: 'own' });
  });

  test('a tag names namespace, route and id', () => {
    assert.equal(exchange().exchange.tag, ':files:a');
    assert.equal(tagOf({ namespace: 'ns' }, 'files', 'a'), 'ns:files:a');
  });
});

describe('credentials', () => {
  const has = (headers: IncomingHttpHeaders, options: CacheFilterOptions = {}, socket = {}) =>
    exchange(options, '/files/a', headers, socket).exchange.credentials;

  test('are any of the headers that carry them, or a client certificate', () => {
    assert.equal(has({}), false);
    for (const name of ['authorization', 'cookie', 'proxy-authorization', 'x-auth-token', 'x-api-key']) {
      assert.equal(has({ [name]: 'x' }), true, name);
    }
    assert.equal(has({ accept: '*/*', 'x-request-id': '1' }), false);
    assert.equal(has({}, {}, { authorized: true, getPeerCertificate: () => ({ subject: {} }) }), true);
    assert.equal(has({}, {}, { authorized: true, getPeerCertificate: () => ({}) }), false);
    // Whether Node trusts it or not: applications check by themselves.
    assert.equal(has({}, {}, { authorized: false, getPeerCertificate: () => ({ subject: {} }) }), true);
  });

  test('are a name in the target', () => {
    const names = (url: string) => exchange({}, url).exchange.credentials;
    for (const user of ['alice', 'alice:pw', ':pw', 'a%40b:']) {
      assert.equal(names(`http://${user}@localhost/files/a`), true, user);
    }
    assert.equal(names('http://localhost/files/a@b'), false);
    assert.equal(names('/files/http:%2F%2Falice@b'), false);
  });

  test('are those headers that the application names', () => {
    assert.equal(has({ authorization: 'x' }, { credentialHeaders: ['X-Session'] }), false);
    assert.equal(has({ 'x-session': 'x' }, { credentialHeaders: ['X-Session'] }), true);
  });

  test('are not looked at where authorize says who may have what', () => {
    assert.equal(has({ cookie: 'x' }, { authorize: 'anyone' }), false);
    assert.equal(has({ cookie: 'x' }, { authorize: () => true }), false);
  });
});

describe('a request target', () => {
  test('has a path and a query, in origin form and in absolute form', () => {
    for (const [target, path, query] of [
      ['/a/b', '/a/b', ''],
      ['/a/b?c=/d?e', '/a/b', 'c=/d?e'],
      ['/a?', '/a', ''],
      ['http://host:80/a?b', '/a', 'b'],
      ['HTTPS://host/a', '/a', ''],
      ['http://host?b', '', 'b'],
      ['/http://host/a', '/http://host/a', ''],
      ['*', '*', ''],
      ['', '', ''],
    ] as const) {
      assert.deepEqual(targetOf(target), { path, query }, target);
    }
  });
});

describe('a request with a body', () => {
  const has = (headers: IncomingHttpHeaders) => hasBody({ headers } as unknown as AnyRequest);

  test('is known by its length or its coding', () => {
    assert.equal(has({}), false);
    assert.equal(has({ 'content-length': '0' }), false);
    assert.equal(has({ 'content-length': '1' }), true);
    assert.equal(has({ 'transfer-encoding': 'chunked' }), true);
  });

  test('in HTTP/2, by its stream', () => {
    for (const endAfterHeaders of [true, false]) {
      const req = { headers: {}, stream: { endAfterHeaders } } as unknown as AnyRequest;
      assert.equal(hasBody(req), !endAfterHeaders);
    }
  });
});

describe('an exchange', () => {
  test('hands hooks all that is known of the request', () => {
    const { exchange: made } = exchange({ namespace: 'ns' }, '/files/%61?b');
    const { req, signal, ...rest } = made.context;
    assert.equal(req, made.req);
    assert.equal(signal.aborted, false);
    assert.deepEqual(rest, { id: 'a', key: 'ns:/files/a', route: 'files', params: { id: 'a' } });
    const hex = 'ab'.repeat(32);
    const routes = [{ path: () => ({ id: 'a', digest: `sha256:${hex}` }) }];
    assert.deepEqual(exchange({ routes }).exchange.context.digest, { algorithm: 'sha256', hex });
  });

  test('its signal is aborted when the client leaves', () => {
    const { exchange: made, res } = exchange();
    const { signal } = made;
    assert.equal(signal.aborted, false);
    (res as EventEmitter).emit('close');
    assert.equal(signal.aborted, true);
  });

  test('its signal is aborted from the start where the client has left before anybody asked for it', () => {
    const { exchange: made, res } = exchange();
    res.destroy();
    assert.equal(made.signal.aborted, true);
  });

  test('ends for whoever says so, with the reason', () => {
    const { exchange: made } = exchange();
    made.stop(new Error('the filter is closing'));
    assert.equal(made.signal.aborted, true);
    assert.equal((made.signal.reason as Error).message, 'the filter is closing');
  });

  test('may share with a client that carries credentials only what is for everybody', () => {
    const head = { status: 200, headers: [['Cache-Control', 'max-age=60']] as [string, string][] };
    const open = { status: 200, headers: [['Cache-Control', 'public']] as [string, string][] };
    const { exchange: plain } = exchange();
    const { exchange: signed } = exchange({}, '/files/a', { cookie: 'a=1' });
    assert.deepEqual([plain.mayShare(head), plain.mayShare(open)], [true, true]);
    assert.deepEqual([signed.mayShare(head), signed.mayShare(open)], [false, true]);
  });

  test('keeps what the client asked, whatever becomes of the request', () => {
    const { exchange: made } = exchange({}, '/files/a', { range: 'bytes=0-1' });
    made.keepAsked();
    delete made.req.headers.range;
    assert.deepEqual(made.asked, { method: 'GET', headers: { range: 'bytes=0-1' } });
  });

  test('tells what the filter did, by the response', () => {
    const { exchange: made, res } = exchange({}, '/files/a?b');
    assert.deepEqual(getCacheInfo(res), { status: 'miss', route: 'files', id: 'a', key: '/files/a' });
    made.info.status = 'hit';
    assert.equal(getCacheInfo(res)?.status, 'hit');
    assert.equal(getCacheInfo({}), undefined);
  });

  test('says in Cache-Status what it did, after what others said', () => {
    const { exchange: made, res } = exchange();
    assert.deepEqual(made.statusField({ hit: true }), [['Cache-Status', 'cache-filter; hit']]);
    assert.deepEqual(made.statusField({ hit: true }, 'origin; hit'), [
      ['Cache-Status', 'origin; hit, cache-filter; hit'],
    ]);
    res.setHeader('Cache-Status', ['a; hit', 'b; hit']);
    made.mark({ fwd: 'bypass', detail: 'closed' });
    assert.match(
      String(res.getHeader('Cache-Status')),
      /^a; hit, ?b; hit, cache-filter; fwd=bypass; detail=closed$/,
    );
  });

  test('says it under another name, with the key, or not at all', () => {
    const field = (cacheStatus: CacheFilterOptions['cacheStatus']) =>
      exchange(cacheStatus === undefined ? {} : { cacheStatus }).exchange.statusField({ hit: true });
    assert.deepEqual(field({ name: 'edge', key: true }), [['Cache-Status', 'edge; hit; key="/files/a"']]);
    assert.deepEqual(field(false), []);
    const { exchange: made, res } = exchange({ cacheStatus: false });
    made.mark({ fwd: 'bypass' });
    assert.equal(res.hasHeader('Cache-Status'), false);
  });

  test('says nothing on a response that has begun', () => {
    const { exchange: made, res } = exchange();
    res.writeHead(200);
    made.mark({ fwd: 'bypass' });
    assert.equal(res.hasHeader('Cache-Status'), false);
  });
});
