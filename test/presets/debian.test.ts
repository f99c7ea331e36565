/** What paths of a package archive mean to a mirror of it, and what is learnt from its indexes. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { debian, OptionError } from '../../lib/index.ts';
import { KnownFiles } from '../../lib/presets/debian/known-files.ts';
import { readPackages } from '../../lib/presets/debian/packages.ts';
import { debianPath, debianPathOf } from '../../lib/presets/debian/paths.ts';
import { meant, origin, TRAVERSALS } from './preset.ts';

const UPSTREAM = 'http://packages.example/debian';
const VIM = 'pool/main/v/vim/vim_9.0.1378-2+deb12u2_amd64.deb';
const SHA256 = 'ab'.repeat(32);
const INDEX = `Package: vim
Version: 2:9.0.1378-2
Filename: ${VIM}
Size: 1
SHA256: ${SHA256}
Description: an editor
 Filename: pool/not/this/one.deb
 SHA256: ${'00'.repeat(32)}

Package: nohash
Filename: pool/main/n/nohash/nohash.deb

Package: flat
SHA256: ${SHA256.toUpperCase()}
Filename: ./pool/f/flat.deb`;

type Preset = ReturnType<typeof debian>;
type DigestContext = Parameters<NonNullable<Preset['digest']>>[0];

function digestOf(preset: Preset, id: string, fetch?: (path: string) => Promise<unknown>) {
  return preset.digest?.({ route: 'debian-pool', id, fetch } as unknown as DigestContext);
}

async function see(preset: Preset, path: string, body: Buffer): Promise<unknown> {
  const { route: name, id } = meant(preset, path) ?? {};
  const route = preset.routes.find((each) => each.name === name);
  assert.ok(route?.rewrite, `${path} is not looked at`);
  return route.rewrite({ id } as never, body);
}

describe('paths of debian()', () => {
  const preset = debian({ upstream: UPSTREAM });
  const hex = createHash('sha256').update('a').digest('hex');

  const MEANINGS: [path: string, route: string, id: string, digest?: string][] = [
    [`/${VIM}`, 'debian-pool', VIM],
    [`/${VIM.replace('+', '%2b')}`, 'debian-pool', VIM],
    ['/dists/stable/InRelease', 'debian-dists', 'dists/stable/InRelease'],
    ['/dists/stable/Release.gpg', 'debian-dists', 'dists/stable/Release.gpg'],
    [
      '/dists/stable/main/binary-amd64/Packages.xz',
      'debian-dists',
      'dists/stable/main/binary-amd64/Packages.xz',
    ],
    [
      '/dists/stable/main/binary-amd64/Packages.gz',
      'debian-index',
      'dists/stable/main/binary-amd64/Packages.gz',
    ],
    [
      `/dists/a/main/binary-i386/by-hash/SHA256/${hex}`,
      'debian-index-by-hash',
      `dists/a/main/binary-i386/by-hash/SHA256/${hex}`,
      `sha256:${hex}`,
    ],
    [
      `/dists/a/main/i18n/by-hash/SHA256/${hex}`,
      'debian-by-hash',
      `dists/a/main/i18n/by-hash/SHA256/${hex}`,
      `sha256:${hex}`,
    ],
    [
      `/dists/a/by-hash/MD5Sum/${hex.slice(32)}`,
      'debian-by-hash',
      `dists/a/by-hash/MD5Sum/${hex.slice(32)}`,
      `md5:${hex.slice(32)}`,
    ],
  ];
  for (const [path, route, id, digest] of MEANINGS) {
    test(path.slice(0, 70), () => {
      const found = meant(preset, path);
      assert.deepEqual([found?.route, found?.id, found?.digest], [route, id, digest]);
      assert.equal(found?.key, `debian:${UPSTREAM}:${id}`);
    });
  }

  for (const path of [
    '/',
    '/pool',
    '/pool/',
    '/pool/main',
    '/dists/stable',
    '/project/trace/master',
    '/pool//main/x.deb',
    '/pool/main/x.deb/',
    '/Pool/main/x.deb',
    `/dists/a/by-hash/SHA256/${hex.slice(1)}`,
    `/dists/a/by-hash/SHA256/${hex.toUpperCase()}`,
    `/dists/a/by-hash/__proto__/${hex}`,
    `/dists/a/by-hash/SHA256/${hex}0`,
    `/pool/main/${'a'.repeat(1100)}`,
  ]) {
    test(`${path.slice(0, 70)} is nothing of ours`, () => {
      assert.equal(meant(preset, path), undefined);
      assert.equal(origin(preset, path), undefined);
    });
  }

  test('no spelling of a path leads out of the archive', () => {
    for (const part of TRAVERSALS) {
      for (const path of [
        `/pool/${part}/x/y`,
        `/pool/main/x/${part}`,
        `/dists/${part}/x`,
        `/${part}/pool/a/b`,
      ])
        assert.equal(debianPath(path), undefined, path);
    }
  });

  test('an id leads back to its path', () => {
    for (const id of [VIM, 'dists/stable/InRelease']) assert.equal(meant(preset, preset.urlFor(id))?.id, id);
  });

  test('the archive is asked in one spelling, without a query', () => {
    const asked = `${UPSTREAM}/${VIM.replace('+', '%2B')}`;
    assert.equal(origin(preset, `/${VIM}?a=b`)?.url, asked);
    assert.equal(origin(preset, `/${VIM.replace('+', '%2b').replace('_', '%5F')}`)?.url, asked);
  });

  test('whatever is taken comes back the same from the path that the upstream is asked for', () => {
    const part = fc.oneof(
      fc.constantFrom('pool', 'dists', '/', '%2e', '%2f', '+', '~', 'ü', '?'),
      fc.string({ maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.constantFrom('pool', 'dists'), fc.array(part, { maxLength: 9 }), (first, parts) => {
        const found = debianPath(`/${first}/a/${parts.join('')}`);
        if (found === undefined) return;
        const asked = debianPathOf(found.path);
        assert.deepEqual(debianPath(asked), found);
        assert.equal(new URL(`${UPSTREAM}${asked}`).pathname, `/debian${asked}`);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('what an index says', () => {
  async function read(index: Buffer): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    await readPackages(index, (path, sha256) => {
      found[path] = sha256.toString('hex');
    });
    return found;
  }
  const FILES = { [VIM]: SHA256, 'pool/f/flat.deb': SHA256 };

  test('plain, compressed, and with the line ends of another system', async () => {
    assert.deepEqual(await read(Buffer.from(INDEX)), FILES);
    assert.deepEqual(await read(gzipSync(INDEX)), FILES);
    assert.deepEqual(await read(Buffer.from(INDEX.replaceAll('\n', '\r\n'))), FILES);
  });

  test('nothing where it is none', async () => {
    for (const bytes of ['', '\xfd7zXZ\0', '<html>\nFilename: a\nSHA256: b\n', 'Origin: Debian\n'])
      assert.deepEqual(await read(Buffer.from(bytes, 'latin1')), {});
  });

  test('what is longer than any line is left out, wherever it is cut', async () => {
    const long = `Package: a\nFilename: ${'x'.repeat(700_000)}\nSHA256: ${SHA256}\n\n${INDEX}`;
    assert.deepEqual(await read(Buffer.from(long)), FILES);
  });

  test('lines that are cut by the pieces it is read in are put together', async () => {
    const many = Array.from(
      { length: 20_000 },
      (_, i) => `Package: p${i}\nFilename: pool/p${i}.deb\nSHA256: ${i.toString(16).padStart(64, '0')}\n`,
    );
    const found = await read(gzipSync(many.join('\n')));
    assert.equal(Object.keys(found).length, 20_000);
    assert.equal(found['pool/p19999.deb'], (19999).toString(16).padStart(64, '0'));
  });

  test('damaged bytes reject, and what was before the damage counts', async () => {
    const files = new KnownFiles();
    await files.learn(gzipSync(INDEX).subarray(0, -6));
    await assert.rejects(read(gzipSync(INDEX).subarray(0, -6)));
    assert.equal(files.digestOf(VIM), `sha256:${SHA256}`);
  });

  test('no bytes make it loop or take what is no digest', async () => {
    const line = fc.oneof(
      fc.constantFrom('Filename: a', `SHA256: ${SHA256}`, 'SHA256: x', '', '\r', ' '),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line), async (lines) => {
        for (const hash of Object.values(await read(Buffer.from(`Package: \n${lines.join('\n')}`))))
          assert.equal(hash.length, 64);
      }),
    );
  });

  test('so many are remembered, and no more', async () => {
    const files = new KnownFiles(100);
    for (let i = 0; i < 150; i++)
      await files.learn(Buffer.from(`Package: p\nFilename: pool/${i}\nSHA256: ${SHA256}\n`));
    assert.deepEqual([files.digestOf('pool/49'), files.digestOf('pool/50')], [undefined, `sha256:${SHA256}`]);
  });
});

describe('hooks of debian()', () => {
  const GZ = '/dists/stable/main/binary-amd64/Packages.gz';

  test('an index that goes by is seen, and left as it is', async () => {
    const preset = debian({ upstream: UPSTREAM });
    assert.equal(await digestOf(preset, VIM), undefined);
    assert.equal(await see(preset, GZ, gzipSync(INDEX)), undefined);
    assert.equal(await digestOf(preset, VIM), `sha256:${SHA256}`);
    assert.equal(await preset.digest?.({ route: 'debian-dists', id: VIM } as never), undefined);
  });

  test('by its hash it is believed when it has that hash', async () => {
    const preset = debian({ upstream: UPSTREAM });
    const index = Buffer.from(INDEX);
    const at = (digest: string) => `/dists/a/main/binary-amd64/by-hash/SHA256/${digest}`;
    await see(preset, at('0'.repeat(64)), index);
    assert.equal(await digestOf(preset, VIM), undefined);
    await see(preset, at(createHash('sha256').update(index).digest('hex')), index);
    assert.equal(await digestOf(preset, VIM), `sha256:${SHA256}`);
  });

  test('indexes that are named are fetched when they are needed, once for all', async () => {
    const preset = debian({ upstream: UPSTREAM, indexes: [GZ.slice(1)] });
    const asked: string[] = [];
    const fetch = async (path: string) => {
      asked.push(path);
      return { status: 200, headers: {}, body: gzipSync(INDEX) };
    };
    const ids = [VIM, 'pool/f/flat.deb', 'pool/main/u/unknown.deb'];
    const digests = await Promise.all(ids.map((id) => digestOf(preset, id, fetch)));
    assert.deepEqual(digests, [`sha256:${SHA256}`, `sha256:${SHA256}`, undefined]);
    assert.equal(await digestOf(preset, 'pool/main/o/other.deb', fetch), undefined);
    assert.deepEqual(asked, [GZ]);
  });

  test('an archive that gives no index is asked again by the next', async () => {
    const preset = debian({ upstream: UPSTREAM, indexes: [GZ.slice(1)] });
    let asked = 0;
    const fails = async () => {
      asked++;
      throw new Error('cut off');
    };
    assert.equal(await digestOf(preset, VIM, fails), undefined);
    assert.equal(await digestOf(preset, VIM, fails), undefined);
    assert.equal(asked, 2);
  });

  test('what can not be read as an index is refused as one', () => {
    for (const indexes of [
      'a',
      ['dists/stable/main/binary-amd64/Packages.xz'],
      ['../dists/x/Packages.gz'],
      [1],
    ])
      assert.throws(
        () => debian({ upstream: UPSTREAM, indexes: indexes as never }),
        (error) => error instanceof OptionError && error.option === 'indexes',
      );
    assert.throws(() => debian({ upstream: UPSTREAM, ttlMs: 1 } as never), /unknown option/);
  });
});
