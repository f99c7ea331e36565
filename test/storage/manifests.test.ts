/** Manifests and tags, statement by statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { layout, places } from '../../lib/storage/layout.ts';
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../lib/storage/manifest.ts';
import { Storage, type StorageBackend, type StorageOptions } from '../../lib/storage/storage.ts';
import { APPENDING, all, IN_PARTS, onEach, pathsOf, sha } from './backends.ts';
import { DAY, imageOf, World } from './prune/world.ts';

const NS = 'ns';
const CONFIG = Buffer.from('{}');
const LAYER = Buffer.from('layer');

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function image(mediaType = OCI_MANIFEST, more: object = {}): Buffer {
  const config = { mediaType: 'application/vnd.x.config', digest: sha(CONFIG), size: CONFIG.length };
  const layers = [{ mediaType: 'application/vnd.x.layer', digest: sha(LAYER), size: LAYER.length }];
  return json({ schemaVersion: 2, mediaType, config, layers, ...more });
}

async function withContent(storage: Storage, ...repositories: string[]): Promise<Storage> {
  for (const bytes of [CONFIG, LAYER]) {
    await storage.putBlob(NS, sha(bytes), bytes);
    for (const repository of repositories) await storage.linkBlob(NS, repository, sha(bytes));
  }
  return storage;
}

describe('a manifest', () => {
  onEach({ ...APPENDING, ...IN_PARTS }, (make) => {
    test('is kept byte for byte, under its digest and its tag (5, 35)', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend), 'a/b');
      const bytes = Buffer.concat([Buffer.from(' \n'), image()]);
      const put = await storage.putManifest(NS, 'a/b', 'v1', bytes, { mediaType: OCI_MANIFEST });
      assert.deepEqual(put, { digest: sha(bytes), mediaType: OCI_MANIFEST, tags: ['v1'] });
      for (const reference of ['v1', sha(bytes)])
        assert.deepEqual(await storage.getManifest(NS, 'a/b', reference), {
          digest: sha(bytes),
          mediaType: OCI_MANIFEST,
          bytes,
        });
      assert.equal(await storage.getManifest(NS, 'a/b', 'v2'), undefined);
      assert.equal(await storage.getManifest(NS, 'a', 'v1'), undefined);
      const document = String(await backend.get('ns/repos/a/b/_manifests/v1'));
      assert.deepEqual(JSON.parse(document), { [OCI_MANIFEST]: sha(bytes) });
    });

    test('by its digest must have it, and may be given tags', async (t) => {
      const storage = await withContent(new Storage(make(t)), 'r');
      await assert.rejects(storage.putManifest(NS, 'r', sha('x'), image()), {
        code: 'ERR_CACHE_FILTER_DIGEST',
      });
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const digest = sha(image(), algorithm);
        const { tags } = await storage.putManifest(NS, 'r', digest, image(), { tags: ['a', 'b', 'a'] });
        assert.deepEqual(tags, ['a', 'b']);
        assert.equal((await storage.getManifest(NS, 'r', 'b'))?.digest, digest);
      }
      assert.deepEqual(await storage.listTags(NS, 'r'), ['a', 'b']);
    });

    test('tags are listed in ASCII order, without what was pushed by digest (36, ours)', async (t) => {
      const storage = await withContent(new Storage(make(t)), 'r');
      assert.equal(await storage.listTags(NS, 'none'), undefined);
      assert.deepEqual(await storage.listTags(NS, 'r'), [], 'a repository with blobs only');
      await storage.putManifest(NS, 'r', sha(image()), image());
      assert.deepEqual(await storage.listTags(NS, 'r'), []);
      for (const tag of ['b', '_', 'B', '10', 'a', '9']) await storage.putManifest(NS, 'r', tag, image());
      assert.deepEqual(await storage.listTags(NS, 'r'), ['10', '9', 'B', '_', 'a', 'b']);
    });

    test('and tags that a prune had moved aside when it died are there', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend), 'r');
      const digest = sha(image());
      await storage.putManifest(NS, 'r', 'v1', image());
      for (const each of ['v1', digest])
        await backend.move(layout.manifest(NS, 'r', each), places.manifest(NS, 'r', each).aside);
      assert.deepEqual(await storage.listTags(NS, 'r'), ['v1']);
      for (const each of ['v1', digest]) assert.ok(await storage.getManifest(NS, 'r', each), each);
      assert.equal(await storage.deleteManifest(NS, 'r', digest), true);
      assert.deepEqual(await storage.listTags(NS, 'r'), []);
    });

    test('a repository within another one keeps its own tags', async (t) => {
      const storage = await withContent(new Storage(make(t)), 'a', 'a/manifests', 'a/b');
      for (const repository of ['a', 'a/manifests', 'a/b'])
        await storage.putManifest(NS, repository, 'b', image());
      for (const repository of ['a', 'a/manifests', 'a/b'])
        assert.deepEqual(await storage.listTags(NS, repository), ['b']);
      await storage.deleteManifest(NS, 'a', sha(image()));
      assert.equal((await storage.getManifest(NS, 'a/manifests', 'b'))?.digest, sha(image()));
    });

    test('must find what it refers to in its repository, unless that is not wanted', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend), 'other');
      await assert.rejects(storage.putManifest(NS, 'r', 'v1', image()), {
        code: 'ERR_CACHE_FILTER_REFERENCE',
        digests: [sha(CONFIG), sha(LAYER)],
      });
      const index = json({
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [{ mediaType: OCI_MANIFEST, digest: sha(image()), size: 1 }],
      });
      await assert.rejects(storage.putManifest(NS, 'r', 'v1', index), { digests: [sha(image())] });
      assert.equal(await storage.listTags(NS, 'r'), undefined);
      await new Storage(backend, { requireReferences: false }).putManifest(NS, 'r', 'v1', index);
      const elsewhere = { mediaType: 'x/y', digest: sha('gone'), size: 4, urls: ['https://example.org/'] };
      await storage.putManifest(
        NS,
        'r',
        'v2',
        json({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [elsewhere] }),
      );
    });

    test('that is none, or too large, is refused', async (t) => {
      const storage = new Storage(make(t), { maxManifestBytes: 300 });
      for (const bytes of ['', 'no JSON', '[]', '{"config":{"digest":"../.."}}'])
        await assert.rejects(
          storage.putManifest(NS, 'r', 'v1', Buffer.from(bytes), { mediaType: OCI_MANIFEST }),
          {
            code: 'ERR_CACHE_FILTER_MANIFEST',
          },
        );
      await assert.rejects(storage.putManifest(NS, 'r', 'v1', Buffer.alloc(301, ' ')), {
        code: 'ERR_CACHE_FILTER_TOO_LARGE',
      });
      await assert.rejects(storage.putManifest(NS, 'r', 'v1', json({}), { mediaType: 'none' }), {
        code: 'ERR_CACHE_FILTER_NAME',
        what: 'media type',
      });
      assert.equal(await storage.listTags(NS, 'r'), undefined);
    });

    test('deleted by its tag, stays under its digest; by its digest, is gone with all its tags', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend), 'r');
      const other = image(OCI_MANIFEST, { annotations: { other: 'yes' } });
      for (const tag of ['a', 'b', 'c'])
        await storage.putManifest(NS, 'r', tag, tag === 'c' ? other : image());
      assert.equal(await storage.deleteManifest(NS, 'r', 'a'), true);
      assert.equal(await storage.deleteManifest(NS, 'r', 'a'), false);
      assert.equal((await storage.getManifest(NS, 'r', sha(image())))?.digest, sha(image()));
      assert.equal(await storage.deleteManifest(NS, 'r', sha(image())), true);
      assert.equal(await storage.deleteManifest(NS, 'r', sha(image())), false);
      assert.equal(await storage.getManifest(NS, 'r', sha(image())), undefined);
      assert.deepEqual(await storage.listTags(NS, 'r'), ['c']);
    });

    test('several media types under one tag, where that is wanted (57, 58)', async (t) => {
      const storage = await withContent(new Storage(make(t), { manyMediaTypes: true }), 'r');
      const images = [image(OCI_MANIFEST), image(DOCKER_MANIFEST)] as const;
      const list = json({ schemaVersion: 2, mediaType: DOCKER_LIST, manifests: [] });
      for (const bytes of [images[0], list, images[1]]) await storage.putManifest(NS, 'r', 'v1', bytes);
      const got = async (...accept: string[]) =>
        (await storage.getManifest(NS, 'r', 'v1', { accept }))?.mediaType;
      assert.equal(await got(OCI_MANIFEST, DOCKER_LIST), DOCKER_LIST, 'lists come first');
      assert.equal(await got(DOCKER_MANIFEST, OCI_MANIFEST), DOCKER_MANIFEST, 'then as the client wants');
      assert.equal(await got(OCI_INDEX), undefined);
      assert.equal(await got(), DOCKER_MANIFEST, 'the last, where nothing is said');
      await storage.deleteManifest(NS, 'r', sha(images[1]));
      assert.equal(await got(DOCKER_MANIFEST, OCI_MANIFEST), OCI_MANIFEST);
    });

    test('without that, the last one pushed takes the place of the one before', async (t) => {
      const storage = await withContent(new Storage(make(t)), 'r');
      for (const type of [OCI_MANIFEST, DOCKER_MANIFEST])
        await storage.putManifest(NS, 'r', 'v1', image(type));
      const found = await storage.getManifest(NS, 'r', 'v1', { accept: [OCI_MANIFEST] });
      assert.equal(found?.mediaType, DOCKER_MANIFEST);
    });

    test('of which hundreds of layers are missing names a hundred of them', async (t) => {
      const storage = await withContent(new Storage(make(t)), 'r');
      const layers = Array.from({ length: 300 }, (_, n) => ({ digest: sha(`layer ${n}`), size: 1 }));
      const error = await storage.putManifest(NS, 'r', 'v1', image(OCI_MANIFEST, { layers })).catch((e) => e);
      assert.equal(error.code, 'ERR_CACHE_FILTER_REFERENCE');
      assert.deepEqual(
        error.digests,
        layers.slice(0, 100).map(({ digest }) => digest),
      );
    });

    test('about another one is one of its referrers, whether that is there or not', async (t) => {
      const storage = await withContent(new Storage(make(t)), 'r', 's');
      const subject = { mediaType: OCI_MANIFEST, digest: sha('not there'), size: 9 };
      const signature = image(OCI_MANIFEST, {
        subject,
        artifactType: 'x/signature',
        annotations: { a: 'b' },
      });
      const sbom = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], subject });
      const put = await storage.putManifest(NS, 'r', sha(signature), signature);
      assert.equal(put.subject, subject.digest);
      await storage.putManifest(NS, 'r', 'sbom', sbom);
      const found = await all(storage.referrers(NS, 'r', subject.digest));
      const expected = [
        {
          mediaType: OCI_MANIFEST,
          digest: sha(signature),
          size: signature.length,
          annotations: { a: 'b' },
          artifactType: 'x/signature',
        },
        { mediaType: OCI_INDEX, digest: sha(sbom), size: sbom.length },
      ];
      assert.deepEqual(
        found,
        expected.sort((a, b) => (a.digest < b.digest ? -1 : 1)),
      );
      const filtered = await all(storage.referrers(NS, 'r', subject.digest, { artifactType: 'x/signature' }));
      assert.deepEqual(
        filtered.map(({ digest }) => digest),
        [sha(signature)],
      );
      assert.deepEqual(await all(storage.referrers(NS, 's', subject.digest)), []);
      await storage.deleteManifest(NS, 'r', sha(signature));
      assert.equal((await all(storage.referrers(NS, 'r', subject.digest))).length, 1);
    });

    test('a referrer whose entry in the list is damaged is listed by its manifest', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend), 'r');
      const subject = { mediaType: OCI_MANIFEST, digest: sha(image()), size: image().length };
      const bytes = image(OCI_MANIFEST, { subject, artifactType: 'x/signature' });
      await storage.putManifest(NS, 'r', sha(bytes), bytes);
      const whole = await all(storage.referrers(NS, 'r', subject.digest));
      assert.equal(whole.length, 1);
      for (const damage of ['', '{"mediaType"', 'null', '{}']) {
        await backend.put(layout.referrer(NS, 'r', subject.digest, sha(bytes)), Buffer.from(damage));
        assert.deepEqual(await all(storage.referrers(NS, 'r', subject.digest)), whole, damage);
      }
    });

    test('referrers that older clients put under a tag are found as well', async (t) => {
      const storage = await withContent(new Storage(make(t), { requireReferences: false }), 'r');
      const subject = { mediaType: OCI_MANIFEST, digest: sha('subject'), size: 7 };
      const signature = image(OCI_MANIFEST, { subject });
      const stranger = image(OCI_MANIFEST, { annotations: { about: 'nothing' } });
      await storage.putManifest(NS, 'r', sha(signature), signature);
      await storage.putManifest(NS, 'r', sha(stranger), stranger);
      const manifests = [signature, stranger, Buffer.from('missing')].map((bytes) => ({
        mediaType: OCI_MANIFEST,
        digest: sha(bytes),
        size: bytes.length,
      }));
      await storage.putManifest(
        NS,
        'r',
        subject.digest.replace(':', '-'),
        json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }),
      );
      const found = await all(storage.referrers(NS, 'r', subject.digest));
      assert.deepEqual(
        found.map(({ digest }) => digest),
        [sha(signature)],
      );
    });

    test('that it was pulled is noted where that is wanted', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend, { trackUse: true }), 'r');
      await storage.putManifest(NS, 'r', 'v1', image());
      assert.equal(
        (await pathsOf(backend, NS)).some((path) => path.includes('_used')),
        false,
      );
      await storage.getManifest(NS, 'r', 'v1');
      assert.ok((await pathsOf(backend, NS)).includes('ns/repos/r/_used/v1'));
      await storage.deleteManifest(NS, 'r', 'v1');
      assert.equal(
        (await pathsOf(backend, NS)).some((path) => path.includes('_used/v1')),
        false,
      );
    });

    test('under a tag that is none is not stored at all', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend), 'r');
      const before = await pathsOf(backend);
      for (const tag of ['../../x', 'a/b', '', 'sha256:x', '.x'])
        await assert.rejects(storage.putManifest(NS, 'r', sha(image()), image(), { tags: ['v1', tag] }), {
          code: 'ERR_CACHE_FILTER_NAME',
        });
      assert.deepEqual(await pathsOf(backend), before);
    });

    test('a document that is damaged is none', async (t) => {
      const backend = make(t);
      const storage = await withContent(new Storage(backend), 'r');
      await storage.putManifest(NS, 'r', 'v1', image());
      for (const text of ['', '{', '[]', '{}', '{"a":"b"}', '{"a/b":"../../x"}']) {
        await backend.put('ns/repos/r/_manifests/v1', Buffer.from(text));
        assert.equal(await storage.getManifest(NS, 'r', 'v1'), undefined);
      }
    });
  });
});

describe('a tag that two change at the same time', () => {
  onEach(APPENDING, (make) => {
    /** As many as there may be: several storages are kept apart by the locks of the backend alone. */
    const each = (backend: StorageBackend, count: number, options: StorageOptions = {}): Storage[] => {
      const shared = new Storage(backend, options);
      return Array.from({ length: count }, () =>
        backend.lock === undefined ? shared : new Storage(backend, options),
      );
    };
    const TYPES = [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST];

    test('keeps what each of them has pushed, where it keeps many media types', async (t) => {
      const backend = make(t);
      const options = { manyMediaTypes: true, requireReferences: false };
      const storages = each(backend, TYPES.length, options);
      await Promise.all(
        storages.map((storage, i) => storage.putManifest(NS, 'r', 'v1', image(TYPES[i] as string))),
      );
      for (const type of TYPES)
        assert.equal(
          (await storages[0]?.getManifest(NS, 'r', 'v1', { accept: [type] }))?.mediaType,
          type,
          'one of them has written over what another one had pushed',
        );
    });

    test('is what was pushed, though what it was before is deleted', async (t) => {
      const backend = make(t);
      const [one, other] = each(backend, 2) as [Storage, Storage];
      await withContent(one, 'r');
      const after = image(OCI_MANIFEST, { annotations: { a: 'b' } });
      await one.putManifest(NS, 'r', 'v1', image());
      // At the moment between seeing that the tag names it and removing the tag.
      const { delete: remove } = backend;
      let pushed: Promise<unknown> | undefined;
      backend.delete = async (path) => {
        if (path.endsWith('_used/v1')) {
          pushed ??= other.putManifest(NS, 'r', 'v1', after);
          await Promise.race([pushed, new Promise((resolve) => setTimeout(resolve, 200))]);
        }
        return remove.call(backend, path);
      };
      await one.deleteManifest(NS, 'r', sha(image()));
      await pushed;
      assert.equal((await one.getManifest(NS, 'r', 'v1'))?.digest, sha(after));
    });

    test('is what was pushed, though a prune puts back what it was before', async (t) => {
      const world = World.in(make, t);
      const { bytes, digest } = imageOf(['two']);
      await world.image(NS, 'r', 'v1', ['one']);
      await world.image(NS, 'r', 'v2', ['two']);
      world.pass(40 * DAY);
      const { backend, storage } = world;
      const path = layout.manifest(NS, 'r', 'v1');
      const { move } = backend;
      let pushed: Promise<unknown> | undefined;
      backend.move = async (from, to) => {
        // What it leads to is asked for when the tag is on its way, so it is put back; and another image is pushed right then.
        if (from === path) await storage.blobSize(NS, imageOf(['one']).digest);
        if (to === path) {
          pushed ??= storage.putManifest(NS, 'r', 'v1', bytes);
          await Promise.race([pushed, new Promise((resolve) => setTimeout(resolve, 200))]);
        }
        return move(from, to);
      };
      await storage.prune({ manifestMaxAgeMs: 30 * DAY });
      await pushed;
      assert.ok(pushed, 'nothing was put back');
      assert.equal((await storage.getManifest(NS, 'r', 'v1'))?.digest, digest);
    });
  });
});
