/** What paths of a package registry mean, and what is learnt from the descriptions of packages. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HookError, npm, OptionError } from '../../lib/index.ts';
import { readPackument } from '../../lib/presets/npm/packument.ts';
import { npmPath, packumentPath, tarballPath } from '../../lib/presets/npm/paths.ts';
import { meant, origin, TRAVERSALS } from './preset.ts';

const UPSTREAM = 'https://packages.example/npm';
const OPTIONS = { upstream: UPSTREAM, publicUrl: 'http://localhost:4873/' };
const RULES = {
  publicUrl: 'http://localhost:4873',
  host: 'packages.example',
  prefix: '/npm',
  tarballHosts: new Set(['cdn.example']),
};

const BYTES = Buffer.from('a tarball');
const SHA512 = `sha512-${createHash('sha512').update(BYTES).digest('base64')}`;
const SHA1 = createHash('sha1').update(BYTES).digest('hex');

type Preset = ReturnType<typeof npm>;
type DigestContext = Parameters<NonNullable<Preset['digest']>>[0];

function packument(name: string, dist: object, version = '1.0.0'): Buffer {
  return Buffer.from(JSON.stringify({ name, versions: { [version]: { name, version, dist } } }));
}

/** What the hook answers for a tarball; `fetched`: what it was told when it asked. */
function digestOf(preset: Preset, name: string, file: string, fetched?: Buffer, paths: string[] = []) {
  const context = {
    route: 'npm-tarball',
    params: { name, file },
    fetch: async (path: string) => {
      paths.push(path);
      return { status: fetched === undefined ? 404 : 200, headers: {}, body: fetched ?? Buffer.alloc(0) };
    },
  } as unknown as DigestContext;
  return preset.digest?.(context);
}

function rewrite(preset: Preset, name: string, body: Buffer) {
  const route = preset.routes.find((each) => each.name === 'npm-packument');
  assert.ok(route?.rewrite);
  return route.rewrite({ id: name, params: { name } } as never, body) as Buffer | undefined;
}

describe('paths of npm()', () => {
  const preset = npm(OPTIONS);

  test('a package has one id, however its name is spelled', () => {
    for (const path of [
      '/@scope/name',
      '/@scope%2fname',
      '/@scope%2Fname',
      '/%40scope%2fname',
      '/%40scope/name',
      '/@sc%6fpe/name',
    ]) {
      assert.equal(meant(preset, path)?.id, '@scope/name', path);
      assert.equal(origin(preset, path)?.url, `${UPSTREAM}/@scope%2fname`, path);
    }
    assert.equal(meant(preset, '/express')?.route, 'npm-packument');
    assert.equal(meant(preset, '/express/latest')?.id, 'express@latest');
    assert.equal(origin(preset, '/express/5.0.0-beta.1')?.url, `${UPSTREAM}/express/5.0.0-beta.1`);
  });

  test('a tarball has one as well', () => {
    const scoped = { route: 'npm-tarball', id: '@scope/name/-/name-1.0.0.tgz' };
    for (const path of [
      '/@scope/name/-/name-1.0.0.tgz',
      '/@scope%2fname/-/name-1.0.0.tgz',
      '/@scope/name/-/name-1%2E0.0.tgz',
    ]) {
      const { route, id } = meant(preset, path) ?? {};
      assert.deepEqual({ route, id }, scoped, path);
      assert.equal(origin(preset, path)?.url, `${UPSTREAM}/@scope/name/-/name-1.0.0.tgz`);
    }
    assert.equal(meant(preset, '/@s/n/-/@s/n-1.0.0.tgz')?.id, '@s/n/-/@s/n-1.0.0.tgz');
    assert.equal(meant(preset, '/-/-/--0.0.1.tgz')?.id, '-/-/--0.0.1.tgz');
  });

  test('an id leads back to its path', () => {
    const ids = [
      'express',
      '@scope/name',
      'express@latest',
      '@scope/name@1.0.0',
      '@s/n/-/n-1.0.0.tgz',
      'a/-/a-1.tgz',
    ];
    for (const id of ids) assert.equal(meant(preset, preset.urlFor(id))?.id, id);
  });

  test('what is about the moment is handed on', () => {
    for (const path of ['/-/ping', '/-/v1/search', '/-/npm/v1/keys']) {
      assert.equal(meant(preset, path)?.route, 'npm-relayed');
      assert.equal(origin(preset, `${path}?text=a%20b`)?.url, `${UPSTREAM}${path}?text=a%20b`);
    }
    const relayed = preset.routes.find(({ name }) => name === 'npm-relayed');
    assert.equal(relayed?.store, false);
  });

  const STRANGERS = [
    '/',
    '//',
    '/-/npm/v1/security/audits/quick',
    '/-/whoami',
    '/-/user/org.couchdb.user:me',
    '/@scope',
    '/@scope/',
    '/@/name',
    '/.hidden',
    '/_all_docs',
    '/__proto__',
    '/@__proto__/name',
    '/@scope/__proto__',
    '/express?write=true',
    '/express/-/express-1.0.0.tgz?token=1',
    '/express/-/express-1.0.0.zip',
    '/express/-/',
    '/express/-/a/b.tgz',
    '/express/-/.tgz',
    '/express/-rev/1-a',
    '/express/1.0.0/2',
    '/express%2f..%2f@scope/name',
    '/express%2fname',
    '/@scope%252fname',
    '/@scope%2fname%2fmore',
    '/a b',
    `/${'a'.repeat(215)}`,
  ];
  for (const path of STRANGERS) {
    test(`${path.slice(0, 60)} is nothing of ours`, () => assert.equal(meant(preset, path), undefined));
  }

  test('no spelling of a path leads out of its package', () => {
    for (const part of TRAVERSALS) {
      for (const path of [
        `/${part}`,
        `/@${part}/name`,
        `/@scope/${part}`,
        `/@scope%2f${part}`,
        `/name/-/${part}`,
        `/name/-/${part}/x.tgz`,
        `/${part}/-/x.tgz`,
      ]) {
        assert.equal(npmPath(path), undefined, path);
      }
    }
  });

  test('whatever is taken comes back the same from the path that the upstream is asked for', () => {
    const letters = fc.constantFrom(
      ...'aZ09._~!()*-@/%+'.split(''),
      '%2f',
      '%40',
      '/-/',
      '.tgz',
      '__proto__',
      '..',
    );
    let taken = 0;
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 12 }), (parts) => {
        const found = npmPath(`/${parts.join('')}`);
        if (found === undefined || found.kind === 'relayed') return;
        taken++;
        const asked =
          found.kind === 'tarball'
            ? tarballPath(found.name, found.file)
            : packumentPath(found.name, found.version);
        assert.deepEqual(npmPath(asked), found);
        const url = new URL(`https://packages.example/npm${asked}`);
        assert.equal(url.pathname, `/npm${asked}`);
      }),
      { numRuns: 2000 },
    );
    assert.ok(taken > 50, `${taken} paths were taken`);
  });

  test('names that every object has are names like others', async () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty']) {
      assert.equal(meant(preset, `/${name}`)?.id, name);
      await assert.rejects(async () => digestOf(preset, name, `${name}-1.0.0.tgz`), HookError);
    }
  });
});

describe('what a packument says', () => {
  test('URLs of the upstream become ours, and no others', () => {
    const urls = [
      `${UPSTREAM}/name/-/name-1.0.0.tgz`,
      'http://packages.example/npm/name/-/name-1.0.1.tgz',
      'https://cdn.example/any/where/name-2.0.0.tgz?sig=1',
      'https://elsewhere.example/name/-/name-3.0.0.tgz',
      `${UPSTREAM}/other/-/other-1.0.0.tgz`,
      'https://packages.example/outside/name/-/name-4.0.0.tgz',
      `${UPSTREAM}/name/-/name-5.0.0.tgz?token=1`,
      'https://user:secret@packages.example/npm/name/-/name-6.0.0.tgz',
      'file:///etc/passwd.tgz',
      'name/-/name-7.0.0.tgz',
      `${UPSTREAM}/name/-/../../x/-/x.tgz`,
      42,
    ];
    const versions = Object.fromEntries(urls.map((tarball, i) => [`${i}.0.0`, { dist: { tarball } }]));
    const found = readPackument(Buffer.from(JSON.stringify({ name: 'name', versions })), 'name', RULES);
    const after = JSON.parse(String(found?.body)) as {
      versions: Record<string, { dist: { tarball: unknown } }>;
    };
    assert.deepEqual(
      Object.values(after.versions).map(({ dist }) => dist.tarball),
      [
        'http://localhost:4873/name/-/name-1.0.0.tgz',
        'http://localhost:4873/name/-/name-1.0.1.tgz',
        'http://localhost:4873/name/-/name-2.0.0.tgz',
        ...urls.slice(3),
      ],
    );
    assert.equal(
      found?.tarballs.get('name-2.0.0.tgz')?.url,
      'https://cdn.example/any/where/name-2.0.0.tgz?sig=1',
    );
    assert.equal(found?.tarballs.get('name-1.0.0.tgz')?.url, undefined);
  });

  const tarball = `${UPSTREAM}/name/-/name-1.0.0.tgz`;
  const DIGESTS: [statement: string, dist: object, digest: string | undefined][] = [
    ['integrity', { integrity: SHA512 }, SHA512],
    [
      'the strongest of several',
      { integrity: `sha1-${Buffer.from(SHA1, 'hex').toString('base64')} ${SHA512}` },
      SHA512,
    ],
    ['integrity before shasum', { integrity: SHA512, shasum: 'f'.repeat(40) }, SHA512],
    ['options of it are none of the hash', { integrity: `${SHA512}?a=b` }, SHA512],
    ['shasum where nothing better is said', { shasum: SHA1 }, `sha1:${SHA1}`],
    [
      'not which of two it is',
      { integrity: `${SHA512} sha512-${Buffer.alloc(64).toString('base64')}` },
      undefined,
    ],
    ['not by MD5', { integrity: `md5-${Buffer.alloc(16).toString('base64')}` }, undefined],
    ['nothing malformed', { integrity: 'sha512-AAAA', shasum: 'xyz' }, undefined],
    ['nothing of another type', { integrity: { toString: 1 }, shasum: [SHA1] }, undefined],
    ['nothing at all', {}, undefined],
  ];
  for (const [statement, dist, digest] of DIGESTS) {
    test(`a tarball's digest: ${statement}`, () => {
      const found = readPackument(packument('name', { tarball, ...dist }), 'name', RULES);
      assert.equal(found?.tarballs.get('name-1.0.0.tgz')?.digest, digest);
    });
  }

  test('two versions that say different things of one file say nothing', () => {
    const versions = {
      '1.0.0': { dist: { tarball, integrity: SHA512 } },
      '1.0.1': { dist: { tarball, shasum: SHA1 } },
    };
    const found = readPackument(Buffer.from(JSON.stringify({ versions })), 'name', RULES);
    assert.equal(found?.tarballs.get('name-1.0.0.tgz')?.digest, undefined);
  });

  test('hostile documents change nothing but themselves', () => {
    const dist = `{"tarball":"${tarball}","integrity":"${SHA512}","__proto__":{"polluted":1}}`;
    const document = `{"__proto__":{"versions":{}},"versions":{"__proto__":{"dist":${dist}},"constructor":{"dist":${dist}}}}`;
    const found = readPackument(Buffer.from(document), 'name', RULES);
    assert.equal(found?.tarballs.get('name-1.0.0.tgz')?.digest, SHA512);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    assert.match(String(found?.body), /"versions":\{"__proto__":\{"dist"/);
  });

  test('what is no packument is none', () => {
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '"a"',
      '42',
      '\0',
      '<html>',
      `${'['.repeat(200_000)}`,
      '{"a":'.repeat(200_000),
    ])
      assert.equal(readPackument(Buffer.from(text), 'name', RULES), undefined, text.slice(0, 20));
    for (const text of [
      '{}',
      '{"versions":[]}',
      '{"versions":{"1":null,"2":[],"3":{"dist":"x"}}}',
      '{"error":"not found"}',
    ]) {
      const found = readPackument(Buffer.from(text), 'name', RULES);
      assert.deepEqual([found?.body, found?.tarballs.size], [undefined, 0], text);
    }
    const deep = `{"versions":{"1":{"dist":{"tarball":"${tarball}"},"deep":${'['.repeat(100_000)}${']'.repeat(100_000)}}}}`;
    readPackument(Buffer.from(deep), 'name', RULES);
  });

  test('no text makes it throw', () => {
    fc.assert(
      fc.property(fc.json(), fc.anything(), (text, versions) => {
        readPackument(Buffer.from(text), 'name', RULES);
        let document: string | undefined;
        try {
          document = JSON.stringify({ versions: { 1: versions, 2: { dist: versions } } });
        } catch {
          return; // a bigint
        }
        readPackument(Buffer.from(document), 'name', RULES);
      }),
    );
  });

  test('a packument of 20 MB is read', () => {
    const versions: Record<string, object> = {};
    for (let i = 0; i < 20_000; i++)
      versions[`1.0.${i}`] = {
        readme: 'x'.repeat(900),
        dist: { tarball: `${UPSTREAM}/name/-/name-1.0.${i}.tgz`, shasum: SHA1 },
      };
    const bytes = Buffer.from(JSON.stringify({ name: 'name', versions }));
    assert.ok(bytes.byteLength > 20e6);
    assert.equal(readPackument(bytes, 'name', RULES)?.tarballs.size, 20_000);
  });
});

describe('hooks of npm()', () => {
  const tarball = `${UPSTREAM}/name/-/name-1.0.0.tgz`;

  test('a tarball is checked against the packument that was seen', async () => {
    const preset = npm(OPTIONS);
    const body = rewrite(preset, 'name', packument('name', { tarball, integrity: SHA512 }));
    assert.match(String(body), /http:\/\/localhost:4873\/name\/-\/name-1\.0\.0\.tgz/);
    const asked: string[] = [];
    assert.equal(await digestOf(preset, 'name', 'name-1.0.0.tgz', undefined, asked), SHA512);
    assert.deepEqual(asked, []);
  });

  test('or against one that is fetched for it, once', async () => {
    const preset = npm(OPTIONS);
    const asked: string[] = [];
    const bytes = packument('@scope/name', {
      tarball: `${UPSTREAM}/@scope/name/-/name-1.0.0.tgz`,
      shasum: SHA1,
    });
    for (let i = 0; i < 2; i++)
      assert.equal(await digestOf(preset, '@scope/name', 'name-1.0.0.tgz', bytes, asked), `sha1:${SHA1}`);
    assert.deepEqual(asked, ['/@scope%2fname']);
  });

  test('one that no packument mentions is refused, and so is one without a digest', async () => {
    const preset = npm(OPTIONS);
    const bytes = packument('name', { tarball });
    await assert.rejects(async () => digestOf(preset, 'name', 'name-1.0.0.tgz', bytes), HookError);
    await assert.rejects(async () => digestOf(preset, 'name', 'name-9.0.0.tgz', bytes), HookError);
    await assert.rejects(async () => digestOf(preset, 'name', 'name-1.0.0.tgz'), HookError);
  });

  test('a tarball of another host is fetched there, without our credentials', () => {
    const upstream = { url: UPSTREAM, headers: { Authorization: 'Bearer ours' } };
    const preset = npm({ ...OPTIONS, upstream, tarballHosts: ['cdn.example'] });
    const path = '/name/-/name-1.0.0.tgz';
    assert.deepEqual(origin(preset, path)?.headers, { Authorization: 'Bearer ours' });
    rewrite(
      preset,
      'name',
      packument('name', { tarball: 'https://cdn.example/x/name-1.0.0.tgz', integrity: SHA512 }),
    );
    assert.deepEqual(origin(preset, path), { url: 'https://cdn.example/x/name-1.0.0.tgz' });
  });

  test('a packument that is none goes by as it is, and is not kept until it is one again', () => {
    const preset = npm(OPTIONS);
    const stored = () => preset.shouldStore?.({ route: 'npm-packument', id: 'name' } as never);
    assert.equal(stored(), true);
    assert.equal(rewrite(preset, 'name', Buffer.from('{"versions":')), undefined);
    assert.equal(stored(), false);
    rewrite(preset, 'name', packument('name', { tarball }));
    assert.equal(stored(), true);
  });

  test('mirrors with other URLs do not share what has been rewritten, but tarballs', () => {
    const [one, two] = [npm(OPTIONS), npm({ ...OPTIONS, publicUrl: 'https://mirror.example/npm' })];
    assert.notEqual(meant(one, '/name')?.key, meant(two, '/name')?.key);
    assert.equal(meant(one, '/name/-/name-1.0.0.tgz')?.key, meant(two, '/name/-/name-1.0.0.tgz')?.key);
  });
});

describe('options of npm()', () => {
  const REFUSED: [statement: string, options: object, message: RegExp][] = [
    ['no upstream', { publicUrl: OPTIONS.publicUrl }, /upstream must be an http: or https: URL/],
    ['no public URL', { upstream: UPSTREAM }, /publicUrl must be an http/],
    ['another protocol', { ...OPTIONS, upstream: 'ftp://packages.example' }, /upstream must be an http/],
    ['a user', { ...OPTIONS, upstream: 'https://a:b@packages.example' }, /upstream has a user in its URL/],
    ['a query', { ...OPTIONS, publicUrl: 'http://localhost/?a' }, /publicUrl must be a URL without query/],
    [
      'headers that are none',
      { ...OPTIONS, upstream: { url: UPSTREAM, headers: { 'a b': 'c' } } },
      /upstream has headers/,
    ],
    ['a time that is none', { ...OPTIONS, packumentTtlMs: '1m' }, /packumentTtlMs must be a whole number/],
    ['hosts that are URLs', { ...OPTIONS, tarballHosts: ['https://cdn.example'] }, /tarballHosts must be/],
    ['a slip of the pen', { ...OPTIONS, tarballHost: [] }, /did you mean tarballHosts/],
  ];
  for (const [statement, options, message] of REFUSED) {
    test(`${statement} is refused`, () => {
      assert.throws(
        () => npm(options as never),
        (error) => error instanceof OptionError && message.test(error.message),
      );
    });
  }
});
