/** What went wrong in the registry that this one is like: each fault by the number of its statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackendError } from '../../../lib/errors.ts';
import { layout, places } from '../../../lib/storage/layout.ts';
import { OCI_MANIFEST } from '../../../lib/storage/manifest.ts';
import { APPENDING, IN_PARTS, onEach, pathsOf, sha } from '../backends.ts';
import { DAY, HOUR, imageOf, MINUTE, World } from './world.ts';

const NS = 'ns';
const LIMIT = { manifestMaxAgeMs: 30 * DAY };

describe('a fault of the seed that this one has not:', () => {
  onEach({ ...APPENDING, ...IN_PARTS }, (make) => {
    test('an upload that takes longer than its expiry, but goes on, stays whole (41)', async (t) => {
      const world = World.in(make, t);
      const id = await world.storage.startUpload(NS);
      for (const piece of ['one ', 'two ', 'three ', 'four']) {
        await world.storage.uploadChunk(NS, id, Buffer.from(piece));
        world.pass(50 * MINUTE);
        const { removed, kept } = await world.prune();
        assert.deepEqual([removed.uploads, kept.uploads], [0, 1]);
      }
      await world.storage.storeUpload(NS, id, sha('one two three four'));
      assert.equal(String(await world.storage.getBlob(NS, sha('one two three four'))), 'one two three four');
    });
  });

  onEach(APPENDING, (make) => {
    test('images that exist as OCI manifests, in lists, or as artifacts keep what they consist of (45)', async (t) => {
      const world = World.in(make, t);
      const single = await world.image(NS, 'single', 'a', ['one']);
      const children = [await world.image(NS, 'many', undefined, ['two'])];
      children.push(await world.image(NS, 'many', undefined, ['three']));
      const nested = await world.index(NS, 'many', undefined, children);
      await world.index(NS, 'many', 'a', [nested], { annotations: { a: 'b' } });
      const text = Buffer.from(`{"mediaType":"application/x-other","blobs":[{"digest":"${sha('four')}"}]}`);
      await world.blob(NS, 'four', 'other');
      await world.storage.putManifest(NS, 'other', 'a', text);
      world.pass(2 * HOUR);
      await world.blob(NS, 'lonely');
      world.pass(2 * HOUR);
      const before = await pathsOf(world.backend);
      const { removed } = await world.prune(LIMIT);
      assert.deepEqual([removed.blobs, removed.manifests, removed.tags], [1, 0, 0]);
      const lonely = `ns/blobs/${sha('lonely')}/data`;
      const rest = before.filter((path) => path !== lonely);
      assert.deepEqual(await pathsOf(world.backend), rest);
      assert.ok(await world.has(NS, single.digest));
    });

    test('what any repository needs stays, not only what the last one does (46)', async (t) => {
      const world = World.in(make, t);
      const names = ['a', 'a/b', 'm', 'z'];
      const images = [];
      for (const name of names) images.push(await world.image(NS, name, 'tag', [`layer of ${name}`]));
      world.pass(2 * HOUR);
      assert.equal((await world.prune(LIMIT)).removed.objects, 0);
      for (const { layers } of images) for (const digest of layers) assert.ok(await world.has(NS, digest));
    });

    test('a namespace without repositories is pruned like another (47)', async (t) => {
      const world = World.in(make, t);
      await world.image('a', 'repository', 'tag', ['a layer']);
      const old = await world.blob('b', 'a layer');
      world.pass(2 * HOUR);
      const young = await world.blob('b', 'young');
      const { namespaces } = await world.prune(LIMIT);
      assert.deepEqual([await world.has('b', old), await world.has('b', young)], [false, true]);
      assert.deepEqual([namespaces['a']?.removed.blobs, namespaces['b']?.removed.blobs], [0, 1]);
    });

    test('a manifest whose content is missing is reported, and passed (48)', async (t) => {
      const world = World.in(make, t);
      const broken = await world.image(NS, 'repository', 'broken', ['one']);
      const whole = await world.image(NS, 'repository', 'whole', ['two']);
      await world.storage.deleteBlob(NS, broken.digest);
      await world.blob(NS, 'lonely');
      world.pass(2 * HOUR);
      const { problems, removed } = await world.storage.prune(LIMIT);
      assert.deepEqual(
        problems.map(({ namespace, what, error }) => [namespace, what, error instanceof BackendError]),
        [[NS, layout.data(NS, broken.digest), true]],
      );
      assert.equal(removed.tags, 0);
      assert.equal(await world.has(NS, sha('lonely')), false);
      for (const digest of whole.layers) assert.ok(await world.has(NS, digest));
    });

    test('two namespaces with the same content have nothing to do with each other (49)', async (t) => {
      const world = World.in(make, t);
      for (const namespace of ['a', 'b']) await world.image(namespace, 'repository', 'tag', ['a layer']);
      world.pass(31 * DAY);
      await world.image('b', 'repository', 'tag', ['a layer']);
      const { namespaces } = await world.prune(LIMIT);
      assert.deepEqual(await pathsOf(world.backend, 'a'), []);
      assert.equal(namespaces['a']?.removed.blobs, 3);
      assert.equal(namespaces['b']?.removed.objects, 0);
      assert.ok(await world.hasManifest('b', 'repository', 'tag'));
      for (const digest of imageOf(['a layer']).layers) assert.ok(await world.has('b', digest));
    });

    test('and a fault in one of them leaves the others as they are (49)', async (t) => {
      const world = World.in(make, t);
      const image = await world.image('a', 'repository', 'tag', ['one']);
      for (const namespace of ['a', 'b']) await world.blob(namespace, 'lonely');
      world.pass(2 * HOUR);
      const { get } = world.backend;
      world.backend.get = async (path) => {
        if (path === layout.data('a', image.digest)) throw new BackendError('the disk is gone');
        return get(path);
      };
      const { problems, namespaces } = await world.storage.prune(LIMIT);
      assert.deepEqual(
        problems.map(({ what }) => what),
        [layout.data('a', image.digest)],
      );
      assert.deepEqual([namespaces['a']?.swept, namespaces['b']?.swept], [false, true]);
      assert.deepEqual(
        [await world.has('a', sha('lonely')), await world.has('b', sha('lonely'))],
        [true, false],
      );
      for (const digest of image.layers) assert.ok(await world.has('a', digest));
    });
  });

  test('what somebody takes back, or pushes anew, while it is aside is kept, and counted so', async () => {
    const world = new World();
    const lonely = await world.blob(NS, 'lonely', 'repository');
    await world.image(NS, 'repository', 'tag', ['one']);
    const other = await world.image(NS, 'repository', 'other', ['two']);
    world.pass(40 * DAY);
    const { backend } = world;
    const [tag, removing] = [layout.manifest(NS, 'repository', 'tag'), layout.removing(NS, lonely)];
    const { move, delete: remove } = backend;
    backend.move = async (from, to) => {
      // Between reading the tag and moving it aside another process, which no lock keeps out, has pushed it.
      if (from === tag) await backend.put(tag, Buffer.from(JSON.stringify({ [OCI_MANIFEST]: other.digest })));
      await move(from, to);
    };
    backend.delete = async (path) => {
      if (path === removing) await move(removing, layout.data(NS, lonely));
      return remove(path);
    };
    const { removed, kept } = await world.storage.prune(LIMIT);
    assert.equal((await world.storage.getManifest(NS, 'repository', 'tag'))?.digest, other.digest);
    assert.deepEqual([removed.tags, kept.tags], [1, 1]);
    assert.deepEqual([removed.blobs, kept.blobs], [0, 6]);
    assert.ok(await world.has(NS, lonely));
  });

  test('a dry run leaves what is aside where it is', async () => {
    const world = new World();
    await world.image(NS, 'repository', 'tag', ['one']);
    const [from, to] = [
      layout.manifest(NS, 'repository', 'tag'),
      places.manifest(NS, 'repository', 'tag').aside,
    ];
    await world.backend.move(from, to);
    const before = await pathsOf(world.backend);
    await world.prune({ ...LIMIT, dryRun: true });
    assert.deepEqual(await pathsOf(world.backend), before);
  });

  test('a manifest that nobody can read any more keeps all that it could need', async () => {
    const world = new World();
    const needed = await world.blob(NS, 'needed');
    const bytes = Buffer.from(`{"mediaType":"${OCI_MANIFEST}","layers":{"first":"${needed}"}}`);
    await world.storage.putBlob(NS, sha(bytes), bytes);
    const document = Buffer.from(JSON.stringify({ [OCI_MANIFEST]: sha(bytes) }));
    await world.backend.put(layout.manifest(NS, 'repository', 'tag'), document);
    const other = await world.blob(NS, 'other');
    await world.backend.put(layout.manifest(NS, 'repository', 'damaged'), Buffer.from(`{"x": "${other}`));
    await world.blob(NS, 'lonely');
    world.pass(2 * HOUR);
    const { problems, removed } = await world.storage.prune(LIMIT);
    assert.deepEqual(
      problems.map(({ error }) => error.name),
      ['ManifestError', 'ManifestError', 'ManifestError'],
    );
    assert.equal(removed.blobs, 1);
    assert.deepEqual([await world.has(NS, needed), await world.has(NS, other)], [true, true]);
  });
});
