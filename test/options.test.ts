import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MemoryCache } from '../lib/cache/memory-cache.ts';
import { nearest, show } from '../lib/checks.ts';
import { CREDENTIAL_HEADERS, resolveOptions } from '../lib/options.ts';

const GIB = 2 ** 30;
const directory = './cache';

const resolve = (options: object) => resolveOptions({ directory, ...options });

describe('defaults', () => {
  test('every option but the directory has one', () => {
    const { routes, dropHeaders, upstream, ...rest } = resolve({});
    assert.deepEqual(rest, {
      store: { directory },
      cache: undefined,
      minEntryBytes: 0,
      maxEntryBytes: 5 * GIB,
      minUses: 1,
      keyHost: false,
      namespace: '',
      bypass: undefined,
      metadata: undefined,
      authorize: undefined,
      shouldStore: undefined,
      digest: undefined,
      onServed: undefined,
      hookTimeoutMs: 30_000,
      credentialHeaders: ['authorization', 'cookie', 'proxy-authorization', 'x-auth-token', 'x-api-key'],
      integrity: 'length',
      origin: undefined,
      forwardHeaders: ['accept', 'accept-language'],
      forwardMethods: [],
      urlFor: undefined,
      mountPath: '',
      prefetch: { concurrency: 2, retries: 3 },
      background: { maxFills: 16, maxBytesPerSecond: undefined },
      coldRange: 'fill',
      provisionalRanges: 'serve',
      cacheStatus: { name: 'cache-filter', key: false },
      collapseTimeoutMs: 30_000,
      maxFills: 64,
      stallTimeoutMs: 60_000,
      maxFillMs: undefined,
      sendTimeoutMs: 120_000,
      storeTimeoutMs: 30_000,
      clientAbort: 'finish',
      closeTimeoutMs: 25_000,
    });
    assert.deepEqual([...dropHeaders], []);
    assert.equal(upstream.retries, 2);
    assert.deepEqual(
      routes.map(({ name, freshness }) => [name, freshness]),
      [['all', 'response']],
    );
  });

  test('a body may be half of the budget', () => {
    assert.equal(resolve({ maxBytes: 1001 }).maxEntryBytes, 500);
    assert.equal(resolve({ maxBytes: 1001, maxEntryBytes: 900 }).maxEntryBytes, 900);
  });

  test('a cache that is given has the limit, unless the filter is given one', () => {
    const cache = new MemoryCache();
    assert.equal(resolveOptions({ cache }).maxEntryBytes, Number.MAX_SAFE_INTEGER);
    assert.equal(resolveOptions({ cache }).routes[0]?.maxEntryBytes, Number.MAX_SAFE_INTEGER);
    assert.equal(resolveOptions({ cache, maxEntryBytes: 900 }).maxEntryBytes, 900);
  });

  test('routes have the freshness of the filter, unless they say otherwise', () => {
    const routes = [{ path: '/a' }, { path: '/b', freshness: 'immutable' }];
    const found = resolve({ routes, freshness: { ttlMs: 5 } }).routes.map(({ freshness }) => freshness);
    assert.deepEqual(found, [{ ttlMs: 5 }, 'immutable']);
    assert.equal(resolve({ freshness: 'immutable' }).routes[0]?.freshness, 'immutable');
  });

  test('undefined is the same as absent', () => {
    const { routes: _, ...absent } = resolve({});
    const { routes: __, ...undefinedEach } = resolve(
      Object.fromEntries(
        Object.keys(absent)
          .filter((name) => name !== 'store')
          .map((name) => [name, undefined]),
      ),
    );
    assert.deepEqual(undefinedEach, absent);
    assert.equal(resolve({ routes: undefined }).routes[0]?.name, 'all');
  });
});

describe('what is given', () => {
  test('is taken over', () => {
    const hooks = {
      bypass: () => false,
      metadata: () => ({}),
      authorize: () => true,
      shouldStore: () => true,
      digest: () => undefined,
      onServed: () => undefined,
    };
    const given = {
      minEntryBytes: 1,
      maxEntryBytes: 5,
      minUses: 3,
      keyHost: true,
      hookTimeoutMs: 9,
      namespace: 'ns',
      integrity: 'end',
      coldRange: 'bypass',
      provisionalRanges: 'wait',
      collapseTimeoutMs: 0,
      maxFills: 1,
      stallTimeoutMs: 0,
      maxFillMs: 7,
      sendTimeoutMs: 0,
      clientAbort: { finishFrom: 0.5 },
      closeTimeoutMs: 2 ** 31 - 1,
      ...hooks,
    };
    const found = resolve(given) as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(given)) assert.equal(found[name], value, name);
    assert.equal(resolve({ authorize: 'anyone' }).authorize, 'anyone');
  });

  test('a cache takes the place of the directory', () => {
    const cache = new MemoryCache();
    const config = resolveOptions({ cache });
    assert.equal(config.cache, cache);
    assert.equal(config.store.directory, '');
  });

  test('header names are compared in lower case', () => {
    const config = resolve({ credentialHeaders: ['X-Key'], dropHeaders: ['X-Trace', 'ETag'] });
    assert.deepEqual(config.credentialHeaders, ['x-key']);
    assert.deepEqual([...config.dropHeaders], ['x-trace', 'etag']);
    assert.deepEqual(resolve({ credentialHeaders: [] }).credentialHeaders, []);
    assert.ok(CREDENTIAL_HEADERS.includes('Authorization'), 'to be extended by the application');
  });

  test('Cache-Status may have another name, the key, or be off', () => {
    for (const [given, expected] of [
      [true, { name: 'cache-filter', key: false }],
      [false, undefined],
      [{}, { name: 'cache-filter', key: false }],
      [{ name: 'edge' }, { name: 'edge', key: false }],
      [{ key: true }, { name: 'cache-filter', key: true }],
      [
        { name: undefined, key: undefined },
        { name: 'cache-filter', key: false },
      ],
    ] as const) {
      assert.deepEqual(resolve({ cacheStatus: given }).cacheStatus, expected, JSON.stringify(given));
    }
  });

  test('is not touched, and what comes out can not be changed', () => {
    const routes = Object.freeze([Object.freeze({ path: '/files/:id' })]);
    const given = Object.freeze({
      directory,
      routes,
      credentialHeaders: Object.freeze(['X-Key']),
      cacheStatus: Object.freeze({ name: 'edge' }),
      freshness: Object.freeze({ ttlMs: 5 }),
    });
    const before = structuredClone(given);
    const config = resolveOptions(given);
    assert.deepEqual(given, before);
    assert.ok(Object.isFrozen(config));
    assert.throws(() => {
      (config as { minEntryBytes: number }).minEntryBytes = 1;
    }, TypeError);
  });
});

const BYTES = 'must be a whole number of bytes, got';
const MS = 'must be a number of milliseconds from 0 to 2147483647, got';

const REFUSED: [options: unknown, option: string, message: string][] = [
  [
    undefined,
    'options',
    "cacheFilter takes an object of options, got undefined; write cacheFilter({ directory: './cache' })",
  ],
  [null, 'options', 'cacheFilter takes an object of options, got null'],
  ['./cache', 'options', 'cacheFilter takes an object of options, got "./cache"'],
  [
    {},
    'directory',
    "directory is required: where the files are kept, for example directory: './.cache/files'",
  ],
  [{ maxBytes: 1 }, 'directory', 'directory is required'],
  [{ directory: '' }, 'directory', 'directory must be a path, got ""'],
  [{ directory: 7 }, 'directory', 'directory must be a path, got 7'],
  [{ directory: null }, 'directory', 'directory must be a path, got null'],
  [{ directory: 'a\0b' }, 'directory', 'directory must be a path, got "a\\u0000b"'],
  [
    { directory, cache: new MemoryCache() },
    'cache',
    'directory and cache exclude each other; give one of them',
  ],
  [
    { cache: {} },
    'cache',
    'cache must be a Cache (FileCache, MemoryCache or your own); it lacks open, claim, invalidate, info, list, pin, prune, clean, verify, fills, stats, close, queue.add, queue.list, queue.remove',
  ],
  [{ cache: null }, 'cache', 'it lacks open,'],
  [{ cache: { ...new MemoryCache(), open() {} } }, 'cache', 'it lacks claim,'],
  [
    { directory, maxBytes: '100GB' },
    'maxBytes',
    `maxBytes ${BYTES} "100GB"; write for example 100 * 2 ** 30`,
  ],
  [{ directory, maxBytes: -1 }, 'maxBytes', `maxBytes ${BYTES} -1`],
  [{ directory, maxBytes: 1.5 }, 'maxBytes', `maxBytes ${BYTES} 1.5`],
  [{ directory, maxBytes: Number.NaN }, 'maxBytes', `maxBytes ${BYTES}`],
  [{ directory, maxBytes: Number.POSITIVE_INFINITY }, 'maxBytes', `maxBytes ${BYTES}`],
  [{ directory, maxBytes: 2 ** 53 }, 'maxBytes', `maxBytes ${BYTES}`],
  [{ directory, maxBytes: 10n }, 'maxBytes', `maxBytes ${BYTES} 10n`],
  [{ directory, minEntryBytes: '1' }, 'minEntryBytes', `minEntryBytes ${BYTES} "1"`],
  [{ directory, maxEntryBytes: true }, 'maxEntryBytes', `maxEntryBytes ${BYTES} true`],
  [{ directory, routes: '/files/:id' }, 'routes', 'routes must be an array'],
  [{ directory, routes: [{}] }, 'routes', 'routes[0] path must be a pattern'],
  [
    { directory, freshness: 'never' },
    'freshness',
    "freshness must be 'response', 'immutable' or { ttlMs: a number of milliseconds above 0 }, got \"never\"",
  ],
  [{ directory, freshness: { ttlMs: '1h' } }, 'freshness', 'got {"ttlMs":"1h"}'],
  [{ directory, namespace: 7 }, 'namespace', 'namespace must be a string, got 7'],
  [{ directory, bypass: true }, 'bypass', 'bypass must be a function, got true'],
  [{ directory, metadata: {} }, 'metadata', 'metadata must be a function, got {}'],
  [
    { directory, authorize: 'everyone' },
    'authorize',
    'authorize must be a function or \'anyone\', got "everyone"',
  ],
  [{ directory, authorize: true }, 'authorize', "authorize must be a function or 'anyone', got true"],
  [
    { directory, credentialHeaders: 'Cookie' },
    'credentialHeaders',
    'credentialHeaders must be an array of header names, got "Cookie"',
  ],
  [{ directory, credentialHeaders: ['a b'] }, 'credentialHeaders', 'got ["a b"]'],
  [{ directory, dropHeaders: [''] }, 'dropHeaders', 'dropHeaders must be an array of header names, got [""]'],
  [{ directory, dropHeaders: [7] }, 'dropHeaders', 'got [7]'],
  [
    { directory, integrity: 'none' },
    'integrity',
    "integrity must be one of 'length', 'digest', 'end', got \"none\"",
  ],
  [
    { directory, provisionalRanges: false },
    'provisionalRanges',
    "provisionalRanges must be one of 'serve', 'wait', got false",
  ],
  [{ directory, coldRange: true }, 'coldRange', "coldRange must be one of 'fill', 'bypass', got true"],
  [
    { directory, cacheStatus: 'edge' },
    'cacheStatus',
    'cacheStatus must be true, false or { name, key }, got "edge"',
  ],
  [{ directory, cacheStatus: null }, 'cacheStatus', 'got null'],
  [
    { directory, cacheStatus: { name: '' } },
    'cacheStatus',
    'cacheStatus takes { name: string, key: boolean }, got {"name":""}',
  ],
  [{ directory, cacheStatus: { key: 'yes' } }, 'cacheStatus', 'got {"key":"yes"}'],
  [{ directory, cacheStatus: { ttl: true } }, 'cacheStatus', 'got {"ttl":true}'],
  [{ directory, maxFills: 0 }, 'maxFills', 'maxFills must be a whole number from 1 on, got 0'],
  [{ directory, stallTimeoutMs: '1m' }, 'stallTimeoutMs', `stallTimeoutMs ${MS} "1m"`],
  [{ directory, maxFillMs: Infinity }, 'maxFillMs', `maxFillMs ${MS}`],
  [{ directory, sendTimeoutMs: -1 }, 'sendTimeoutMs', `sendTimeoutMs ${MS} -1`],
  [
    { directory, clientAbort: 'continue' },
    'clientAbort',
    "clientAbort must be 'finish', 'discard', { finishFrom: a number from 0 to 1 } or a function, got \"continue\"",
  ],
  [{ directory, clientAbort: { finishFrom: 50 } }, 'clientAbort', 'got {"finishFrom":50}'],
  [
    { directory, clientAbort: { finishFrom: 0.5, from: 1 } },
    'clientAbort',
    'got {"finishFrom":0.5,"from":1}',
  ],
  [{ directory, clientAbort: null }, 'clientAbort', 'got null'],
  [{ directory, collapseTimeoutMs: '30s' }, 'collapseTimeoutMs', `collapseTimeoutMs ${MS} "30s"`],
  [{ directory, collapseTimeoutMs: -1 }, 'collapseTimeoutMs', `collapseTimeoutMs ${MS} -1`],
  [{ directory, closeTimeoutMs: 2 ** 31 }, 'closeTimeoutMs', `closeTimeoutMs ${MS} 2147483648`],
  [{ directory, closeTimeoutMs: Number.NaN }, 'closeTimeoutMs', `closeTimeoutMs ${MS}`],
  [{ directory, maxbytes: 1 }, 'maxbytes', 'unknown option "maxbytes"; did you mean maxBytes?'],
  [{ directory, maxByte: 1 }, 'maxByte', 'unknown option "maxByte"; did you mean maxBytes?'],
  [{ directory, route: [] }, 'route', 'unknown option "route"; did you mean routes?'],
  [{ directroy: './cache' }, 'directroy', 'unknown option "directroy"; did you mean directory?'],
  [{ directory, authorise: 'anyone' }, 'authorise', 'unknown option "authorise"; did you mean authorize?'],
  [{ directory, constructor: 1 }, 'constructor', 'unknown option "constructor"'],
  [{ directory, zzz: undefined }, 'zzz', 'unknown option "zzz"'],
];

describe('what can not be used as given is refused', () => {
  for (const [options, option, message] of REFUSED) {
    test(message, () => {
      assert.throws(
        () => resolveOptions(options as never),
        (error: Error & { code?: string; option?: string }) => {
          assert.deepEqual(
            [error.name, error.code, error.option],
            ['OptionError', 'ERR_CACHE_FILTER_OPTION', option],
          );
          assert.ok(error.message.startsWith('ERR_CACHE_FILTER_OPTION: '), error.message);
          assert.ok(error.message.includes(message), error.message);
          return true;
        },
      );
    });
  }
});

describe('the nearest name', () => {
  const known = ['maxBytes', 'minEntryBytes', 'maxEntryBytes', 'routes', 'cache'];

  test('is the one with the fewest slips', () => {
    for (const [written, meant] of [
      ['maxBytes', 'maxBytes'],
      ['MAXBYTES', 'maxBytes'],
      ['maxEntrybyte', 'maxEntryBytes'],
      ['minEntriesBytes', 'minEntryBytes'],
      ['rotues', 'routes'],
      ['cahce', 'cache'],
    ] as const) {
      assert.equal(nearest(written, known), meant, written);
    }
  });

  test('is none where it would be guesswork', () => {
    for (const written of ['', 'q', 'ttl', 'timeout', 'somethingElse'])
      assert.equal(nearest(written, known), undefined, written);
  });

  test('any name is nearest to itself, and to itself with one letter wrong', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...known),
        fc.nat(),
        fc.constantFrom('q', '_', '7'),
        (name, position, letter) => {
          const slip = position % name.length;
          assert.equal(nearest(name, known), name);
          assert.equal(nearest(name.slice(0, slip) + letter + name.slice(slip + 1), known), name);
        },
      ),
    );
  });
});

describe('a value in a message', () => {
  test('is written as one would write it, and is never long', () => {
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    for (const [value, text] of [
      ['a', '"a"'],
      [undefined, 'undefined'],
      [1n, '1n'],
      [Symbol('s'), 'Symbol(s)'],
      [[1, 'b'], '[1,"b"]'],
      [function named() {}, 'function named'],
      [(() => () => {})(), 'function (anonymous)'],
      [cyclic, '[object Object]'],
      ['x'.repeat(200), `"${'x'.repeat(76)}...`],
    ] as const) {
      assert.equal(show(value), text);
    }
  });
});
