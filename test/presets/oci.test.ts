/** What paths of a container registry mean to a mirror of it, and whom it asks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { OptionError, oci } from '../../lib/index.ts';
import { ANY_MANIFEST, manifestTypes } from '../../lib/presets/oci/manifest-types.ts';
import { ociPath, ociPathOf } from '../../lib/presets/oci/paths.ts';
import { meant, origin, TRAVERSALS } from './preset.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const LONG = `sha512:${'0123456789abcdef'.repeat(8)}`;
const UPSTREAM = 'https://images.example';

describe('paths of oci()', () => {
  const preset = oci({ upstream: UPSTREAM });

  const MEANINGS: [path: string, route: string, id: string, digest?: string][] = [
    ['/v2/', 'oci-ping', '/v2/'],
    ['/v2', 'oci-ping', '/v2/'],
    [`/v2/app/blobs/${DIGEST}`, 'oci-blob', `images.example/app/blobs/${DIGEST}`, DIGEST],
    [`/v2/team/app/blobs/${LONG}`, 'oci-blob', `images.example/team/app/blobs/${LONG}`, LONG],
    [`/v2/app/blobs/sha256%3A${DIGEST.slice(7)}`, 'oci-blob', `images.example/app/blobs/${DIGEST}`, DIGEST],
    [`/v2/app/manifests/${DIGEST}`, 'oci-manifest', `images.example/app/manifests/${DIGEST}`, DIGEST],
    ['/v2/app/manifests/v1.0_a-b', 'oci-tag', 'images.example/app/manifests/v1.0_a-b'],
    ['/v2/a.b__c--d/e/manifests/latest', 'oci-tag', 'images.example/a.b__c--d/e/manifests/latest'],
    ['/v2/blobs/manifests/tags/list', 'oci-list', 'images.example/blobs/manifests/tags/list'],
    ['/v2/app/tags/list?n=3&last=v1', 'oci-list', 'images.example/app/tags/list'],
    [`/v2/app/referrers/${DIGEST}`, 'oci-list', `images.example/app/referrers/${DIGEST}`],
  ];
  for (const [path, route, id, digest] of MEANINGS) {
    test(path, () => {
      const found = meant(preset, path);
      assert.deepEqual([found?.route, found?.id, found?.digest], [route, id, digest]);
    });
  }

  const STRANGERS = [
    '/',
    '/v1/',
    '/v2/app',
    '/v2/_catalog',
    '/v2/app/tags',
    '/v2//blobs/x',
    `/v2/blobs/${DIGEST}`,
    `/v2/App/blobs/${DIGEST}`,
    `/v2/a..b/blobs/${DIGEST}`,
    `/v2/a___b/blobs/${DIGEST}`,
    `/v2/-a/blobs/${DIGEST}`,
    `/v2/a/-/blobs/${DIGEST}`,
    `/v2/a%2fb/blobs/${DIGEST}`,
    `/v2/%61/blobs/${DIGEST}`,
    `/v2/app/blobs/${DIGEST.toUpperCase()}`,
    `/v2/app/blobs/${DIGEST}0`,
    '/v2/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e',
    '/v2/app/blobs/latest',
    '/v2/app/blobs/uploads/',
    '/v2/app/blobs/uploads/1-2-3',
    '/v2/app/manifests/-latest',
    `/v2/app/manifests/${'a'.repeat(129)}`,
    `/v2/${'a'.repeat(256)}/manifests/latest`,
    '/v2/__proto__/manifests/latest',
    '/v2/app/referrers/latest',
    '/v2/app/manifests/latest/',
    `/v2/app/manifests/sha256:${'0'.repeat(63)}`,
  ];
  for (const path of STRANGERS) {
    test(`${path.slice(0, 70)} is nothing of ours`, () => {
      assert.equal(meant(preset, path), undefined);
      assert.equal(origin(preset, path), undefined);
    });
  }

  test('no spelling of a path leads out of its repository', () => {
    for (const part of TRAVERSALS) {
      for (const path of [
        `/v2/${part}/blobs/${DIGEST}`,
        `/v2/a/${part}/manifests/latest`,
        `/v2/app/manifests/${part}`,
        `/v2/app/blobs/${part}`,
        `/${part}/v2/`,
      ])
        assert.equal(ociPath(path), undefined, path);
    }
  });

  test('a name that could be taken in many ways takes no time', () => {
    assert.equal(ociPath(`/v2/${'a-'.repeat(127)}/manifests/latest`), undefined);
    assert.equal(ociPath(`/v2/${'a/'.repeat(50_000)}/manifests/latest`), undefined);
  });

  test('whatever is taken is asked of the upstream as it was meant', () => {
    const part = fc.constantFrom(
      'a',
      'b9',
      '/',
      '-',
      '.',
      '_',
      '__',
      'A',
      '%',
      'blobs',
      'manifests',
      'tags',
      'list',
      DIGEST,
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 10 }), (parts) => {
        const found = ociPath(`/v2/${parts.join('')}`);
        if (found === undefined || found.kind === 'ping') return;
        assert.deepEqual(ociPath(ociPathOf(found)), found);
      }),
      { numRuns: 2000 },
    );
  });

  test('nothing purges, and pushes are nothing of ours', () => {
    assert.deepEqual(
      preset.routes.map(({ purge }) => purge),
      preset.routes.map(() => []),
    );
  });
});

describe('whom oci() asks', () => {
  test('the ping is answered without asking anybody', () => {
    const { status, headers, body } = origin(oci({ upstream: UPSTREAM }), '/v2/') ?? {};
    assert.deepEqual([status, body], [200, '{}']);
    assert.equal(headers?.['Docker-Distribution-API-Version'], 'registry/2.0');
  });

  const upstreams = {
    'docker.example': { url: 'https://one.example', library: true, headers: { Authorization: 'Bearer one' } },
    'ghcr.example:5000': 'https://two.example/prefix/',
  };

  test('?ns= says which of them, and nothing else does', () => {
    const preset = oci({ upstreams, default: 'docker.example' });
    const tag = '/v2/team/app/manifests/v1';
    assert.equal(origin(preset, tag)?.url, 'https://one.example/v2/team/app/manifests/v1');
    assert.equal(
      origin(preset, `${tag}?ns=docker.example`)?.url,
      'https://one.example/v2/team/app/manifests/v1',
    );
    const two = origin(preset, `${tag}?ns=ghcr.example:5000`);
    assert.equal(two?.url, 'https://two.example/prefix/v2/team/app/manifests/v1');
    assert.equal(two?.headers?.['Authorization'], undefined);
    assert.notEqual(meant(preset, tag)?.key, meant(preset, `${tag}?ns=ghcr.example:5000`)?.key);
    assert.equal(meant(preset, tag)?.key, meant(preset, `${tag}?ns=docker.example`)?.key);
  });

  test('an id leads back to its path', () => {
    const preset = oci({ upstreams });
    for (const path of ['team/app/manifests/v1', `app/blobs/${DIGEST}`, `app/manifests/${DIGEST}`]) {
      const id = `ghcr.example:5000/${path}`;
      assert.equal(meant(preset, preset.urlFor(id))?.id, id);
    }
  });

  test('a registry that is not configured is never dialled', () => {
    const preset = oci({ upstreams, default: 'docker.example' });
    const strangers = [
      'internal.example',
      '169.254.169.254',
      '__proto__',
      'constructor',
      '',
      'docker.example&ns=ghcr.example:5000',
    ];
    for (const ns of strangers) {
      for (const path of ['/v2/app/manifests/v1', `/v2/app/blobs/${DIGEST}`, '/v2/app/tags/list']) {
        const answer = origin(preset, `${path}?ns=${ns}`);
        assert.deepEqual([answer?.status, answer?.url], [404, undefined], ns);
        assert.equal(JSON.parse(answer?.body ?? '').errors[0].code, 'NAME_UNKNOWN');
        assert.notEqual(meant(preset, `${path}?ns=${ns}`)?.key, meant(preset, path)?.key);
      }
    }
    assert.equal(origin(oci({ upstreams }), '/v2/app/manifests/v1')?.status, 404);
    assert.equal(origin(oci({ upstream: UPSTREAM }), '/v2/app/manifests/v1?ns=docker.example')?.status, 404);
    assert.equal(
      origin(oci({ upstream: UPSTREAM }), '/v2/app/manifests/v1?ns=images.example')?.url,
      `${UPSTREAM}/v2/app/manifests/v1`,
    );
  });

  test('a short name is one below library/ only where that is said', () => {
    const preset = oci({ upstreams, default: 'docker.example' });
    assert.equal(
      origin(preset, '/v2/alpine/manifests/3')?.url,
      'https://one.example/v2/library/alpine/manifests/3',
    );
    assert.equal(
      meant(preset, '/v2/alpine/manifests/3')?.key,
      meant(preset, '/v2/library/alpine/manifests/3')?.key,
    );
    assert.equal(
      origin(preset, '/v2/alpine/manifests/3?ns=ghcr.example:5000')?.url,
      'https://two.example/prefix/v2/alpine/manifests/3',
    );
  });

  test('the same blob in two repositories is two entries: who may read one may not read the other', () => {
    const preset = oci({ upstream: UPSTREAM });
    assert.notEqual(meant(preset, `/v2/a/blobs/${DIGEST}`)?.key, meant(preset, `/v2/b/blobs/${DIGEST}`)?.key);
  });

  test('lists are asked for with their own parameters, and no others', () => {
    const preset = oci({ upstream: UPSTREAM });
    const url = origin(preset, '/v2/app/tags/list?x=1&last=a%26b&n=5&ns=images.example')?.url;
    assert.equal(url, `${UPSTREAM}/v2/app/tags/list?n=5&last=a%26b`);
    const blob = origin(preset, `/v2/app/blobs/${DIGEST}?x=1`)?.url;
    assert.equal(blob, `${UPSTREAM}/v2/app/blobs/${DIGEST}`);
  });

  test('a manifest by digest is asked for whatever it is, one by tag as the client can take it', () => {
    const preset = oci({ upstream: UPSTREAM });
    const accept = { accept: 'application/vnd.oci.image.manifest.v1+json;q=0.5, text/html;q=0' };
    assert.equal(origin(preset, `/v2/a/manifests/${DIGEST}`, accept)?.headers?.['Accept'], ANY_MANIFEST);
    assert.equal(
      origin(preset, '/v2/a/manifests/v1', accept)?.headers?.['Accept'],
      'application/vnd.oci.image.manifest.v1+json',
    );
    for (const any of [{}, { accept: '*/*' }, { accept: 'text/html, */*;q=0.1' }])
      assert.equal(origin(preset, '/v2/a/manifests/v1', any as never)?.headers?.['Accept'], ANY_MANIFEST);
  });
});

describe('manifestTypes', () => {
  test('clients that take the same things say the same', () => {
    assert.equal(manifestTypes('b/c;q=0.1,  A/B ; q=0.9,a/b'), 'a/b, b/c');
    assert.equal(manifestTypes(undefined), '');
    assert.equal(manifestTypes('*/*;q=0.0, nonsense, /, a/b;q=0'), '');
    assert.equal(
      manifestTypes(Array.from({ length: 100 }, (_, i) => `a/${i}`).join(',')).split(', ').length,
      32,
    );
  });

  test('whatever it is given it makes a field of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const types = manifestTypes(text);
        assert.match(types, /^[\w!#$&^.+/*, -]*$/);
        assert.equal(manifestTypes(types), types);
      }),
    );
  });
});

describe('options of oci()', () => {
  const REFUSED: [statement: string, options: object, message: RegExp][] = [
    ['no upstream', {}, /upstream, or upstreams: one of them/],
    ['both', { upstream: UPSTREAM, upstreams: {} }, /one of them/],
    ['no upstreams', { upstreams: {} }, /upstreams must be an object/],
    ['a name with a slash', { upstreams: { 'a/b': UPSTREAM } }, /upstreams must be an object/],
    [
      'a default that is none of them',
      { upstreams: { a: UPSTREAM }, default: 'b' },
      /default must be one of \["a"\]/,
    ],
    ['a place that is none', { upstreams: { a: 42 } }, /upstreams\['a'\] must be an http/],
    ['library that is no flag', { upstream: { url: UPSTREAM, library: 'yes' } }, /library of upstream/],
    ['a slip of the pen', { upstream: UPSTREAM, tagTtl: 1 }, /did you mean tagTtlMs/],
  ];
  for (const [statement, options, message] of REFUSED) {
    test(`${statement} is refused`, () => {
      assert.throws(
        () => oci(options as never),
        (error) => error instanceof OptionError && message.test(error.message),
      );
    });
  }
});
