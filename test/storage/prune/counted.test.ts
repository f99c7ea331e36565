/** What a prune says of itself: a dry run says what the real one does, and nobody waits for one that has much to do. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { StorageBackend } from '../../../lib/storage/backends/backend.ts';
import { FilesystemBackend } from '../../../lib/storage/backends/filesystem.ts';
import { MemoryBackend } from '../../../lib/storage/backends/memory.ts';
import { layout } from '../../../lib/storage/layout.ts';
import { parseManifest } from '../../../lib/storage/manifest.ts';
import type { PruneOptions, Tally } from '../../../lib/storage/prune.ts';
import { temporaryDirectory } from '../../support/directory.ts';
import { pathsOf, sha } from '../backends.ts';
import { DAY, HOUR, type Image, subject, World } from './world.ts';

const NAMESPACES = ['a', 'b'];
const REPOSITORIES = ['one', 'one/two', 'three'];

/** What a random store is made of. Whatever of it has no sense in a store as it is at that moment is left out. */
const action = fc.record({
  what: fc.constantFrom(
    ...([
      'image',
      'image',
      'index',
      'referrer',
      'blob',
      'link',
      'upload',
      'delete',
      'lose',
      'crash',
    ] as const),
  ),
  namespace: fc.constantFrom(...NAMESPACES),
  repository: fc.constantFrom(...REPOSITORIES),
  tag: fc.option(fc.constantFrom('1', '2', '3', 'latest'), { nil: undefined }),
  n: fc.nat(5),
  pass: fc.constantFrom(0, HOUR / 2, 2 * HOUR, DAY),
});

const options = fc.record(
  {
    manifestMaxAgeMs: fc.constantFrom(0, HOUR, 2 * DAY),
    keepTags: fc.constantFrom(1, 2),
    usedWithinMs: fc.constantFrom(HOUR, DAY),
    uploadMaxAgeMs: fc.constantFrom(HOUR, DAY),
  },
  { requiredKeys: [] },
);

async function act(
  world: World,
  images: Image[],
  each: typeof action extends fc.Arbitrary<infer T> ? T : never,
) {
  const { what, namespace, repository, tag, n, pass } = each;
  const some = images[n % Math.max(1, images.length)];
  if (what === 'image') images.push(await world.image(namespace, repository, tag, [`${n}`, `${n + 1}`]));
  // Of images that are not there, or in another namespace: what is missing is a problem, and no more.
  else if (what === 'index') images.push(await world.index(namespace, repository, tag, images.slice(n)));
  else if (what === 'referrer' && some !== undefined)
    images.push(await world.image(namespace, repository, tag, [`${n}`], subject(some)));
  else if (what === 'blob') await world.blob(namespace, `${n}`);
  else if (what === 'link') await world.blob(namespace, `${n}`, repository);
  else if (what === 'upload') {
    const id = await world.storage.startUpload(namespace, { repository });
    await world.storage.uploadChunk(namespace, id, Buffer.from(`${n}`));
  } else if (what === 'delete') await world.storage.deleteManifest(namespace, repository, tag ?? 'latest');
  else if (what === 'lose') await world.storage.deleteBlob(namespace, some?.digest ?? sha(`${n}`));
  else if (what === 'crash') {
    const digest = some?.digest ?? sha(`${n}`);
    await world.backend
      .move(layout.data(namespace, digest), layout.removing(namespace, digest))
      .catch(() => 0);
  }
  if (tag !== undefined && n % 2 === 0) await world.storage.getManifest(namespace, repository, tag);
  world.pass(pass);
}

async function sizes(backend: StorageBackend): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const path of await pathsOf(backend))
    if (!path.endsWith('/')) found.set(path, (await backend.size(path)) ?? 0);
  return found;
}

const size = (found: ReadonlyMap<string, number>) => [...found.values()].reduce((sum, each) => sum + each, 0);
const pair = ({ objects, bytes }: Tally) => [objects, bytes];

describe('a dry run', () => {
  test('counts what the real run removes and keeps, whatever there is, and touches nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 25 }), options, async (actions, limits) => {
        const world = new World(new MemoryBackend(), { trackUse: true, requireReferences: false });
        const images: Image[] = [];
        // That writes which format it has.
        await world.storage.blobSize('a', sha(''));
        for (const each of actions) await act(world, images, each);
        const before = await sizes(world.backend);
        const dry = await world.storage.prune({ ...limits, dryRun: true });
        assert.deepEqual(await sizes(world.backend), before);
        const real = await world.storage.prune(limits);
        assert.deepEqual(comparable(real), comparable(dry));
        const after = await sizes(world.backend);
        for (const found of [before, after]) found.delete(layout.format);
        assert.deepEqual(pair(real.removed), [before.size - after.size, size(before) - size(after)]);
        assert.deepEqual(pair(real.kept), [after.size, size(after)]);
        await assertWhole(world, before);
        assert.equal(
          (await world.storage.prune(limits)).removed.objects,
          0,
          'a second run finds nothing more',
        );
      }),
      { numRuns: 15 },
    );
  });
});

/** Problems come in any order. */
function comparable(report: Awaited<ReturnType<World['prune']>>): object {
  const said = report.problems.map(({ namespace, what, error }) => `${namespace} ${what} ${error.message}`);
  return { ...report, problems: said.sort() };
}

/** What is left of repositories still consists of everything that it consisted of before. */
async function assertWhole(world: World, before: ReadonlyMap<string, number>): Promise<void> {
  for await (const namespace of world.storage.namespaces()) {
    for await (const repository of world.storage.repositories(namespace)) {
      for await (const { name } of world.backend.list(layout.manifests(namespace, repository))) {
        const manifest = await world.storage.getManifest(namespace, repository, name);
        for (const { digest } of manifest === undefined ? [] : parseManifest(manifest.bytes).references) {
          const wasThere =
            before.has(layout.data(namespace, digest)) || before.has(layout.removing(namespace, digest));
          assert.equal(await world.has(namespace, digest), wasThere, `${digest} of ${name} in ${repository}`);
        }
      }
    }
  }
}

describe('ten thousand', () => {
  /** Counts how often everybody else had a turn meanwhile. */
  async function turnsOf(work: () => Promise<unknown>): Promise<number> {
    let [turns, isOver] = [0, false];
    const count = (): void => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    await work();
    isOver = true;
    return turns;
  }

  async function addUploads(backend: StorageBackend, count: number): Promise<void> {
    for (let n = 0; n < count; n++)
      await backend.put(layout.uploadRecord('ns', n.toString(16).padStart(32, '0')), Buffer.from('{}'));
  }

  const limit: PruneOptions = { uploadMaxAgeMs: HOUR };

  test('uploads are removed in slices: everybody else has a turn after every few dozen', async () => {
    const world = new World();
    await addUploads(world.backend, 10_000);
    world.pass(2 * HOUR);
    const events: number[] = [];
    const onProgress = ({ stage, done }: { stage: string; done: number }) => {
      if (stage === 'uploads') events.push(done);
    };
    const turns = await turnsOf(async () => {
      assert.equal((await world.prune({ ...limit, onProgress })).removed.uploads, 10_000);
    });
    assert.ok(turns >= 10_000 / 64, `${turns} turns`);
    assert.deepEqual([events[0], events.at(-1)], [64, 10_000]);
    assert.deepEqual(await pathsOf(world.backend, 'ns'), []);
  });

  test('tags, layers and links too', async () => {
    const world = new World();
    const layers = Array.from({ length: 2_000 }, (_, n) => `layer ${n}`);
    await world.image('ns', 'many/layers', 'tag', layers);
    const { digest } = await world.image('ns', 'many/tags', 'tag', ['one']);
    const document = Buffer.from(JSON.stringify({ 'application/x-manifest': digest }));
    for (let n = 0; n < 2_000; n++)
      await world.backend.put(layout.manifest('ns', 'many/tags', `t${n}`), document);
    world.pass(2 * DAY);
    let report = { removed: { tags: 0, blobs: 0 } };
    const turns = await turnsOf(async () => {
      report = await world.prune({ manifestMaxAgeMs: DAY });
    });
    assert.deepEqual([report.removed.tags, report.removed.blobs], [2_002, 2_004]);
    assert.ok(turns >= 8_000 / 64, `${turns} turns`);
  });

  test('uploads in files', async (t) => {
    const backend = new FilesystemBackend({ directory: temporaryDirectory(t), durability: 'none' });
    const world = new World(backend);
    await addUploads(world.backend, 1_000);
    world.pass(2 * HOUR);
    assert.equal((await world.prune(limit)).removed.uploads, 1_000);
    assert.deepEqual(await pathsOf(world.backend, 'ns'), []);
  });
});
