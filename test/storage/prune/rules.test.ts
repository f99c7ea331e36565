/** What goes and what stays, by the numbers of the statements. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OptionError } from '../../../lib/errors.ts';
import { layout, places } from '../../../lib/storage/layout.ts';
import { OCI_MANIFEST } from '../../../lib/storage/manifest.ts';
import { type PrunePlace, prune } from '../../../lib/storage/prune.ts';
import { deferred } from '../../support/deferred.ts';
import { APPENDING, all, IN_PARTS, onEach, pathsOf, sha } from '../backends.ts';
import { DAY, HOUR, MINUTE, subject, World } from './world.ts';

const NS = 'ns';
const LIMIT = { manifestMaxAgeMs: 30 * DAY };
const R = 'repository';

describe('uploads', () => {
  onEach({ ...APPENDING, ...IN_PARTS }, (make) => {
    test('go after an hour, also where nothing else does (37, 38), and leave no folder (34)', async (t) => {
      const world = World.in(make, t);
      const old = await world.storage.startUpload(NS);
      await world.storage.uploadChunk(NS, old, Buffer.from('bytes'));
      world.pass(HOUR + MINUTE);
      const young = await world.storage.startUpload(NS);
      const { removed, kept } = await world.prune();
      assert.deepEqual([removed.uploads, removed.objects, kept.uploads], [1, 2, 1]);
      assert.deepEqual(await pathsOf(world.backend, `${NS}/uploads`), [`${NS}/uploads/${young}/metadata`]);
      world.pass(2 * HOUR);
      await world.prune();
      assert.deepEqual(await pathsOf(world.backend, NS), []);
    });

    test('go after what is said for this once, and what is written to stays', async (t) => {
      const world = World.in(make, t);
      const id = await world.storage.startUpload(NS);
      const [begun, more] = [deferred(), deferred()];
      const bytes = (async function* () {
        yield Buffer.from('one');
        begun.resolve();
        await more.promise;
        yield Buffer.from('two');
      })();
      const chunk = world.storage.uploadChunk(NS, id, bytes);
      await begun.promise;
      const storage = world.storage;
      world.pass(10 * MINUTE);
      const { kept } = await storage.prune({ uploadMaxAgeMs: 5 * MINUTE });
      assert.equal(kept.uploads, 1);
      more.resolve();
      assert.deepEqual(await chunk, { start: 0, end: 6 });
      world.pass(10 * MINUTE);
      assert.equal((await storage.prune({ uploadMaxAgeMs: 5 * MINUTE })).removed.uploads, 1);
    });
  });

  test('whose parts were moved lately are young; of one that is gone the parts go too', async () => {
    const world = new World();
    const [id, digest] = [await world.storage.startUpload(NS), sha('x')];
    const record = { algorithm: 'sha256', startedAt: 0, chunks: [{ size: 1 }], completing: digest };
    await world.backend.put(layout.uploadRecord(NS, id), Buffer.from(JSON.stringify(record)));
    world.pass(2 * HOUR);
    const part = `${layout.completing(NS, digest, id)}/1`;
    await world.backend.put(part, Buffer.from('x'));
    assert.deepEqual((await world.prune()).kept, {
      ...NONE,
      objects: 2,
      bytes: 1 + (await sizeOf(world, id)),
      uploads: 1,
    });
    world.pass(2 * HOUR);
    assert.equal((await world.prune()).removed.objects, 2);
    assert.deepEqual(await pathsOf(world.backend, NS), []);
  });
});

const NONE = { objects: 0, bytes: 0, uploads: 0, tags: 0, manifests: 0, blobs: 0 };

async function sizeOf(world: World, id: string): Promise<number> {
  return (await world.backend.size(layout.uploadRecord(NS, id))) ?? 0;
}

describe('tags', () => {
  onEach(APPENDING, (make) => {
    test('go by the age of their last push; pulling does not renew it (42), and all that was theirs goes with them', async (t) => {
      const world = World.in(make, t);
      for (const tag of ['pulled', 'pushed']) await world.image(NS, R, tag, [tag]);
      world.pass(20 * DAY);
      await world.storage.getManifest(NS, R, 'pulled');
      await world.image(NS, R, 'pushed', ['pushed']);
      world.pass(20 * DAY);
      const { removed, kept } = await world.prune(LIMIT);
      assert.deepEqual([removed.tags, removed.manifests, removed.blobs], [1, 1, 2]);
      assert.deepEqual([kept.tags, kept.manifests, kept.blobs], [1, 1, 3]);
      assert.deepEqual(await world.storage.listTags(NS, R), ['pushed']);
      world.pass(20 * DAY);
      await world.prune(LIMIT);
      assert.deepEqual(await pathsOf(world.backend, NS), []);
    });

    test('stay for ever where there is no limit; what nothing refers to goes all the same', async (t) => {
      const world = World.in(make, t);
      const [image, untagged] = [
        await world.image(NS, R, 'tag', ['one']),
        await world.image(NS, R, undefined, ['two']),
      ];
      const lonely = await world.blob(NS, 'lonely', R);
      world.pass(1_000 * DAY);
      const { removed } = await world.prune();
      assert.deepEqual([removed.blobs, removed.manifests, removed.tags], [1, 0, 0]);
      for (const digest of [...image.layers, ...untagged.layers]) assert.ok(await world.has(NS, digest));
      assert.equal(await world.backend.size(layout.link(NS, R, lonely)), undefined);
    });

    test('the newest stay, so many of each repository, or those that were pulled lately', async (t) => {
      const world = World.in(make, t, { trackUse: true });
      for (const tag of ['1', '2', '3', '4']) {
        for (const repository of ['a', 'b']) await world.image(NS, repository, tag, [tag]);
        world.pass(DAY);
      }
      await world.storage.getManifest(NS, 'a', '1');
      world.pass(2 * HOUR);
      await world.prune({ keepTags: 2, usedWithinMs: DAY });
      assert.deepEqual(await world.storage.listTags(NS, 'a'), ['1', '3', '4']);
      assert.deepEqual(await world.storage.listTags(NS, 'b'), ['3', '4']);
      const used = (await pathsOf(world.backend, NS)).filter((path) => path.includes('_used'));
      assert.deepEqual(used, [layout.used(NS, 'a', '1')]);
      world.pass(2 * DAY);
      await world.prune({ keepTags: 1, usedWithinMs: DAY, manifestMaxAgeMs: 5 * DAY });
      assert.deepEqual(await world.storage.listTags(NS, 'a'), ['3', '4']);
      await world.prune({ keepTags: 1, usedWithinMs: DAY });
      assert.deepEqual(await world.storage.listTags(NS, 'a'), ['4']);
      const rest = (await pathsOf(world.backend, NS)).filter((path) => path.includes('_used'));
      assert.deepEqual(rest, []);
    });
  });
});

describe('manifests without a tag', () => {
  const world = () => new World();

  test('go once they are older than what is kept', async () => {
    const there = world();
    const { digest } = await there.image(NS, R, undefined, ['one']);
    there.pass(20 * DAY);
    await there.image(NS, R, 'tag', ['two']);
    await there.prune(LIMIT);
    assert.ok(await there.hasManifest(NS, R, digest));
    await there.prune({ keepTags: 5 });
    assert.equal(await there.hasManifest(NS, R, digest), false);
    assert.equal(await there.has(NS, digest), false);
  });

  test('stay while an index of the repository needs them, to any depth, and go with it', async () => {
    const there = world();
    const images = [
      await there.image(NS, R, undefined, ['one']),
      await there.image(NS, R, undefined, ['two']),
    ];
    let index = await there.index(NS, R, undefined, images);
    for (const depth of ['1', '2', '3'])
      index = await there.index(NS, R, undefined, [index], { annotations: { depth } });
    await there.index(NS, R, 'tag', [index]);
    there.pass(20 * DAY);
    const { removed } = await there.prune({ keepTags: 1 });
    assert.equal(removed.objects, 0);
    await there.storage.deleteManifest(NS, R, 'tag');
    const after = await there.prune({ keepTags: 1 });
    assert.deepEqual([after.removed.manifests, after.removed.blobs], [7, 10]);
    assert.deepEqual(await pathsOf(there.backend, NS), []);
  });

  test('stay with their subject, whether they are noted as its referrers or only say so, and go with it', async () => {
    const there = world();
    const image = await there.image(NS, R, 'tag', ['one']);
    const signature = await there.image(NS, R, undefined, ['signature'], subject(image));
    const about = await there.image(NS, R, undefined, ['about it'], subject(signature));
    await there.backend.delete(layout.referrer(NS, R, signature.digest, about.digest));
    const lost = await there.image(NS, R, undefined, ['lost'], subject({ ...image, digest: sha('gone') }));
    there.pass(2 * DAY);
    const { removed } = await there.prune({ keepTags: 1 });
    assert.deepEqual([removed.manifests, removed.blobs], [1, 2]);
    assert.equal(await there.hasManifest(NS, R, lost.digest), false);
    for (const { digest } of [signature, about]) assert.ok(await there.hasManifest(NS, R, digest));
    assert.equal((await all(there.storage.referrers(NS, R, image.digest))).length, 1);
    await there.storage.deleteManifest(NS, R, 'tag');
    await there.prune({ keepTags: 1 });
    assert.deepEqual(await pathsOf(there.backend, NS), []);
  });

  test('that are about another one keep it while they stay', async () => {
    const there = world();
    const image = await there.image(NS, R, undefined, ['one']);
    await there.image(NS, R, 'signature', ['signature'], subject(image));
    there.pass(2 * DAY);
    assert.equal((await there.prune({ keepTags: 1 })).removed.objects, 0);
  });

  test('are read as what they were pushed as, where they do not say it of themselves', async () => {
    const there = world();
    const layer = await there.blob(NS, 'a layer', R);
    const other = Buffer.from(JSON.stringify({ layers: [{ digest: layer }], config: 'none', manifests: [] }));
    await there.storage.putManifest(NS, R, 'other', other, { mediaType: 'application/x-other' });
    const untyped = Buffer.from('{"schemaVersion":2}');
    await there.storage.putManifest(NS, R, 'untyped', untyped, { mediaType: OCI_MANIFEST });
    there.pass(2 * HOUR);
    await there.prune();
    assert.ok(await there.has(NS, layer));
  });

  test('in a list of anything: what is too large for a manifest is not read, what is no manifest is no problem', async () => {
    const there = world();
    const parts = [];
    for (const text of ['a layer', `"${sha('x')}"`, 'y'.repeat(5 * 2 ** 20)]) {
      const digest = await there.blob(NS, text, R);
      parts.push({ bytes: Buffer.from('{"mediaType":"application/x-layer"}'), digest, layers: [] });
    }
    const reads: string[] = [];
    const storage = there.storage;
    const index = {
      manifests: parts.map(({ digest }) => ({ digest, size: 1 })),
      mediaType: 'application/x-cache',
    };
    const bytes = Buffer.from(JSON.stringify(index));
    await there.storage.putBlob(NS, sha(bytes), bytes);
    const document = Buffer.from(`{"application/x-cache":"${sha(bytes)}"}`);
    await there.backend.put(layout.manifest(NS, R, 'cache'), document);
    there.pass(2 * HOUR);
    const { get } = there.backend;
    there.backend.get = async (path) => {
      reads.push(path);
      return get.call(there.backend, path);
    };
    assert.deepEqual((await storage.prune(LIMIT)).problems, []);
    for (const { digest } of parts) assert.ok(await there.has(NS, digest));
    assert.equal(reads.includes(layout.data(NS, parts[2]?.digest ?? '')), false);
  });
});

describe('blobs', () => {
  test('that nothing needs go an hour after somebody was last told of them (44); needed ones stay', async () => {
    const world = new World();
    const image = await world.image(NS, R, 'tag', ['needed']);
    const [told, silent] = [await world.blob(NS, 'told'), await world.blob(NS, 'silent')];
    world.pass(50 * MINUTE);
    assert.equal(await world.storage.blobSize(NS, told), 4);
    world.pass(50 * MINUTE);
    const { removed, kept } = await world.prune();
    assert.deepEqual([await world.has(NS, told), await world.has(NS, silent)], [true, false]);
    assert.deepEqual([removed.blobs, kept.blobs], [1, 4]);
    for (const digest of image.layers) assert.ok(await world.has(NS, digest));
  });

  test('of a namespace without repositories are somebody’s own, unless there is a limit', async () => {
    const world = new World();
    const digest = await world.blob(NS, 'mine');
    world.pass(1_000 * DAY);
    assert.deepEqual((await world.prune()).namespaces[NS]?.swept, false);
    assert.ok(await world.has(NS, digest));
    await world.prune(LIMIT);
    assert.deepEqual(await pathsOf(world.backend, NS), []);
  });

  test('links to them stay as long as they are needed, or somebody was told of the blob', async () => {
    const world = new World();
    const image = await world.image(NS, R, 'tag', ['one']);
    const [told, unused] = [await world.blob(NS, 'told', R), await world.blob(NS, 'unused', R)];
    await world.image(NS, 'other', 'tag', ['unused']);
    world.pass(2 * HOUR);
    await world.storage.linkedBlobSize(NS, R, told);
    await world.prune(LIMIT);
    for (const digest of [...image.layers, told])
      assert.notEqual(await world.storage.linkedBlobSize(NS, R, digest), undefined);
    assert.equal(await world.storage.linkedBlobSize(NS, R, unused), undefined);
    assert.notEqual(await world.storage.linkedBlobSize(NS, 'other', unused), undefined);
  });

  test('that a run had taken away when it died come back where they are needed, and go where not', async () => {
    const world = new World();
    const image = await world.image(NS, R, 'tag', ['needed']);
    const all = [image.digest, ...image.layers, await world.blob(NS, 'lonely'), await world.blob(NS, 'told')];
    world.pass(2 * HOUR);
    await world.storage.blobSize(NS, sha('told'));
    for (const digest of all) await world.backend.move(layout.data(NS, digest), layout.removing(NS, digest));
    await world.backend.put(layout.data(NS, image.digest), image.bytes);
    const dry = await world.prune({ ...LIMIT, dryRun: true });
    const real = await world.prune(LIMIT);
    assert.deepEqual(real, dry);
    assert.deepEqual([real.removed.blobs, real.removed.objects, real.kept.blobs], [1, 2, 4]);
    for (const digest of all) assert.equal(await world.has(NS, digest), digest !== sha('lonely'));
    assert.deepEqual(
      (await pathsOf(world.backend)).filter((path) => path.includes('removing')),
      [],
    );
  });

  test('tags and manifests likewise', async () => {
    const world = new World();
    const { digest } = await world.image(NS, R, 'tag', ['one']);
    await world.image(NS, R, 'again', ['two']);
    for (const reference of ['tag', digest])
      await world.backend.move(layout.manifest(NS, R, reference), places.manifest(NS, R, reference).aside);
    await world.backend.put(places.manifest(NS, R, 'again').aside, Buffer.from('{}'));
    world.pass(31 * DAY);
    assert.deepEqual((await world.prune({ ...LIMIT, dryRun: true })).kept.tags, 1);
    assert.deepEqual((await world.prune(LIMIT)).kept.tags, 1);
    assert.deepEqual(await world.storage.listTags(NS, R), ['tag']);
    assert.ok(await world.hasManifest(NS, R, digest));
  });

  test('a tag that could not be put back, as somebody was pushing it, is held by its own path', async () => {
    const world = new World();
    const tags = ['one', 'two'];
    for (const tag of tags) {
      await world.image(NS, R, tag, [tag]);
      const { path, aside } = places.manifest(NS, R, tag);
      await world.backend.move(path, aside);
    }
    world.pass(31 * DAY);
    const held: string[] = [];
    const hold = async (path: string, work: () => Promise<void>) => {
      held.push(path);
      const isBusy = held.length <= tags.length;
      if (!isBusy) await work();
      return !isBusy;
    };
    const place = { backend: world.backend, uploadMaxAgeMs: DAY, trackUse: false, hold };
    const { problems, removed } = await prune(place, { keepTags: 1 });
    assert.deepEqual([problems, removed.tags], [[], 1]);
    assert.equal(held.length, tags.length + 1);
    assert.deepEqual(
      held.filter((path) => !tags.some((tag) => path === layout.manifest(NS, R, tag))),
      [],
    );
    assert.equal((await world.storage.listTags(NS, R))?.length, 1);
  });
});

describe('pruning', () => {
  const place = (world: World, more: Partial<PrunePlace> = {}): PrunePlace => ({
    backend: world.backend,
    uploadMaxAgeMs: HOUR,
    trackUse: false,
    ...more,
  });

  test('removes what is older than the limit, not what is just as old (39), by one look at the clock (37)', async () => {
    const world = new World();
    await world.storage.startUpload(NS);
    await world.image(NS, R, 'tag', ['one']);
    const { list } = world.backend;
    world.backend.list = async function* (path) {
      for await (const info of list.call(world.backend, path)) yield { ...info, modifiedAt: 1_000 };
    };
    let looks = 0;
    const at = (now: number) => () => {
      looks++;
      return now;
    };
    const limits = { uploadMaxAgeMs: 500, manifestMaxAgeMs: 500 };
    const equal = await prune(place(world, { now: at(1_500) }), { ...limits, dryRun: true });
    assert.deepEqual(equal.removed, NONE);
    const older = await prune(place(world, { now: at(1_501) }), { ...limits, dryRun: true });
    assert.deepEqual([older.kept, older.removed.uploads, older.removed.tags], [NONE, 1, 1]);
    assert.equal(looks, 2);
  });

  test('refuses options that it does not know, or can not follow', async () => {
    const world = new World();
    const wrong = (options: object, option: string) =>
      assert.rejects(
        world.storage.prune(options),
        (error) => error instanceof OptionError && error.option === option,
        option,
      );
    await wrong({ dry: true }, 'dry');
    await wrong({ dryRun: 'yes' }, 'dryRun');
    await wrong({ uploadMaxAgeMs: -1 }, 'uploadMaxAgeMs');
    await wrong({ manifestMaxAgeMs: Number.NaN }, 'manifestMaxAgeMs');
    await wrong({ keepTags: 0 }, 'keepTags');
    await wrong({ usedWithinMs: 1 }, 'usedWithinMs');
    await wrong({ namespaces: NS }, 'namespaces');
    await wrong({ onProgress: 1 }, 'onProgress');
    await assert.rejects(world.storage.prune({ namespaces: ['../x'] }), { code: 'ERR_CACHE_FILTER_NAME' });
  });

  test('is of the namespaces that are named, tells how far it is, and ends when it is to', async () => {
    const world = new World();
    for (const namespace of ['a', 'b']) await world.image(namespace, R, 'tag', ['one']);
    world.pass(31 * DAY);
    const events: string[] = [];
    const { namespaces } = await world.prune({
      ...LIMIT,
      namespaces: ['b', 'b', 'nowhere'],
      onProgress: ({ namespace, stage, done }) => events.push(`${namespace} ${stage} ${done}`),
    });
    assert.deepEqual(Object.keys(namespaces), ['b', 'nowhere']);
    assert.deepEqual(
      events.filter((event) => event.startsWith('b')),
      ['b uploads 0', 'b repositories 7', 'b blobs 3'],
    );
    assert.ok(await world.hasManifest('a', R, 'tag'));
    const why = new Error('enough');
    await assert.rejects(world.storage.prune({ ...LIMIT, signal: AbortSignal.abort(why) }), why);
    assert.ok(await world.hasManifest('a', R, 'tag'));
  });

  test('leaves alone what it does not know', async () => {
    const world = new World();
    const paths = [
      '_storage/x',
      'ns/other',
      'ns/uploads/x',
      'ns/uploads/y/z',
      'ns/blobs/x',
      'ns/repos/UPPER/_manifests/tag',
    ];
    for (const path of paths) await world.backend.put(path, Buffer.from('x'));
    world.pass(1_000 * DAY);
    await world.prune(LIMIT);
    for (const path of paths) assert.notEqual(await world.backend.size(path), undefined, path);
  });
});
