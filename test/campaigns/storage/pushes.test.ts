/** Pushes that go on while a prune runs: in whatever order their steps come, what somebody was told that it is there is there afterwards (50). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MissingReferenceError } from '../../../lib/errors.ts';
import type { StorageBackend } from '../../../lib/storage/backends/backend.ts';
import { parseManifest } from '../../../lib/storage/manifest.ts';
import { prune } from '../../../lib/storage/prune.ts';
import { Storage } from '../../../lib/storage/storage.ts';
import { pathsOf, sha } from '../../storage/backends.ts';
import { interleave, type Schedule } from '../../storage/prune/steps.ts';
import { CONFIG, DAY, HOUR, type Image, imageOf, indexOf, World } from '../../storage/prune/world.ts';
import { Seeded } from '../../support/seeded.ts';

const NS = 'ns';
const R = 'repository';

/** As clients do it: what they are told is there they do not send. What they were not told of may be missing, and then they send it all. */
class Client {
  readonly #storage: Storage;

  constructor(backend: StorageBackend) {
    this.#storage = new Storage(backend);
  }

  async blob(text: string, { repository = R, isUpload = false } = {}): Promise<void> {
    const digest = sha(text);
    if ((await this.#storage.linkedBlobSize(NS, repository, digest)) !== undefined) return;
    if (await this.#storage.linkBlob(NS, repository, digest)) return;
    if (isUpload) {
      const id = await this.#storage.startUpload(NS, { repository });
      await this.#storage.uploadChunk(NS, id, Buffer.from(text));
      await this.#storage.storeUpload(NS, id, digest);
    } else {
      await this.#storage.putBlob(NS, digest, Buffer.from(text));
      await this.#storage.linkBlob(NS, repository, digest);
    }
  }

  async image(image: Image, texts: readonly string[], reference = image.digest): Promise<void> {
    for (const text of [CONFIG, ...texts]) await this.blob(text);
    await this.#storage.putManifest(NS, R, reference, image.bytes);
  }

  /** Its children are not asked for as blobs, so it may be told that one is missing. */
  async index(index: Image, reference: string, sendAll: () => Promise<void>): Promise<void> {
    try {
      await this.#storage.putManifest(NS, R, reference, index.bytes);
    } catch (error) {
      assert.ok(error instanceof MissingReferenceError, String(error));
      await sendAll();
      await this.#storage.putManifest(NS, R, reference, index.bytes);
    }
  }

  async upload(text: string): Promise<void> {
    const id = await this.#storage.startUpload(NS, { repository: R });
    await this.#storage.uploadChunk(NS, id, Buffer.from(text));
    await this.#storage.storeUpload(NS, id, sha(text));
    assert.notEqual(await this.#storage.blobSize(NS, sha(text)), undefined);
  }
}

interface Case {
  /** Of which everything is too old when the prune begins. */
  before(world: World): Promise<unknown>;
  push(client: Client): Promise<void>;
  /** What must be there: references of manifests and digests of blobs. */
  manifests: Record<string, string>;
  blobs?: string[];
}

const one = imageOf(['one', 'two']);
const other = imageOf(['two', 'three']);
const index = indexOf([one, other]);
const outer = indexOf([index]);

const CASES: Record<string, Case> = {
  'a new image with layers that nothing needs any more': {
    before: async (world) => {
      for (const text of [CONFIG, 'one', 'two']) await world.blob(NS, text, R);
    },
    push: (client) => client.image(one, ['one', 'two'], 'tag'),
    manifests: { tag: one.digest },
  },
  'an image whose tag is to go': {
    before: (world) => world.image(NS, R, 'tag', ['one', 'two']),
    push: (client) => client.image(one, ['one', 'two'], 'tag'),
    manifests: { tag: one.digest },
  },
  'another image under a tag that is to go': {
    before: (world) => world.image(NS, R, 'tag', ['one', 'two']),
    push: (client) => client.image(other, ['two', 'three'], 'tag'),
    manifests: { tag: other.digest },
  },
  'an image that is to go, by its digest': {
    before: (world) => world.image(NS, R, undefined, ['one', 'two']),
    push: (client) => client.image(one, ['one', 'two']),
    manifests: {},
    blobs: one.layers,
  },
  'an index of images that are to go': {
    before: async (world) => {
      await world.image(NS, R, undefined, ['one', 'two']);
      await world.image(NS, R, undefined, ['two', 'three']);
    },
    push: (client) =>
      client.index(index, 'tag', async () => {
        await client.image(one, ['one', 'two']);
        await client.image(other, ['two', 'three']);
      }),
    manifests: { tag: index.digest },
  },
  'an index of indexes that are to go': {
    before: async (world) => {
      const images = [await world.image(NS, R, undefined, ['one', 'two'])];
      images.push(await world.image(NS, R, undefined, ['two', 'three']));
      await world.index(NS, R, undefined, images);
    },
    push: (client) =>
      client.index(outer, 'tag', async () => {
        await client.image(one, ['one', 'two']);
        await client.image(other, ['two', 'three']);
        await client.index(index, index.digest, () => assert.fail('its images were just sent'));
      }),
    manifests: { tag: outer.digest },
  },
  'an upload of what is to go': {
    before: (world) => world.blob(NS, 'one', R),
    push: (client) => client.upload('one'),
    manifests: {},
    blobs: [sha('one')],
  },
  'the same upload into a repository that has nothing else': {
    before: (world) => world.blob(NS, 'one'),
    push: (client) => client.blob('one', { repository: 'another/one', isUpload: true }),
    manifests: {},
    blobs: [sha('one')],
  },
};

/** Runs one order of steps, and looks at what is there then, and after another prune. */
async function run(
  { before, push, manifests, blobs = [] }: Case,
  schedule: Schedule,
): Promise<[number, number]> {
  const world = new World();
  await before(world);
  world.pass(40 * DAY);
  const limits = {
    backend: world.backend,
    uploadMaxAgeMs: HOUR,
    manifestMaxAgeMs: 30 * DAY,
    trackUse: false,
  };
  const steps = await interleave(
    world.backend,
    [
      async (backend) => assert.deepEqual((await prune({ ...limits, backend })).problems, []),
      (backend) => push(new Client(backend)),
    ],
    schedule,
  );
  for (let round = 1; round <= 2; round++) {
    for (const [reference, digest] of Object.entries(manifests)) {
      const found = await world.storage.getManifest(NS, R, reference);
      assert.equal(found?.digest, digest, `${reference} in round ${round}`);
      await assertWhole(world, digest);
    }
    for (const digest of blobs) assert.ok(await world.has(NS, digest), `${digest} in round ${round}`);
    assert.deepEqual((await prune(limits)).problems, []);
  }
  return steps;
}

async function assertWhole(world: World, digest: string): Promise<void> {
  const manifest = await world.storage.getManifest(NS, R, digest);
  assert.ok(manifest, `the manifest ${digest}`);
  for (const each of parseManifest(manifest.bytes).references) {
    if (each.kind === 'manifest') await assertWhole(world, each.digest);
    else {
      assert.ok(await world.has(NS, each.digest), `${each.kind} ${each.digest}`);
      assert.notEqual(await world.backend.size(`ns/repos/${R}/_blobs/${each.digest}`), undefined, 'its link');
    }
  }
}

describe('while a prune runs', () => {
  for (const [name, each] of Object.entries(CASES)) {
    test(`${name}: pushed at once between steps of the prune, and the other way round`, async () => {
      const [prunes, pushes] = await run(each, () => 0);
      for (let at = 0; at <= prunes; at += 3) await run(each, (n) => (n < at ? 0 : 1));
      for (let at = 0; at <= pushes; at++) await run(each, (n) => (n < at ? 1 : 0));
    });

    test(`${name}: step by step, with two breaks each`, async () => {
      const [prunes, pushes] = await run(each, () => 0);
      const stride = Math.max(1, Math.ceil((prunes * pushes) / 40));
      for (let i = 0; i < prunes * pushes; i += stride) {
        const [first, second] = [i % prunes, Math.floor(i / prunes)];
        await run(each, (n) => (n < first ? 0 : n < first + second ? 1 : n < first + second + 4 ? 0 : 1));
      }
    });

    test(`${name}: in ten random orders`, async () => {
      for (let seed = 0; seed < 10; seed++) {
        const random = new Seeded(seed);
        const pace = random.next();
        await run(each, () => (random.next() < pace ? 0 : 1)).catch((error: unknown) => {
          throw new Error(`seed ${seed}`, { cause: error });
        });
      }
    });
  }

  test('another prune runs: nothing that is needed goes, and in the end everything else does', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const random = new Seeded(seed);
      const world = new World();
      await world.image(NS, R, 'tag', ['one', 'two']);
      world.pass(40 * DAY);
      const { digest } = await world.image(NS, R, 'young', ['two', 'three']);
      await world.blob(NS, 'lonely', R);
      world.pass(2 * HOUR);
      const limits = { uploadMaxAgeMs: HOUR, manifestMaxAgeMs: 30 * DAY, trackUse: false };
      const work = (backend: StorageBackend) => prune({ ...limits, backend });
      await interleave(world.backend, [work, work], () => (random.next() < 0.5 ? 0 : 1));
      // What one of them takes for the leftover of a run that died, it puts back: that goes the next time.
      assert.ok((await world.storage.listTags(NS, R))?.includes('young'), `seed ${seed}`);
      await assertWhole(world, digest);
      assert.ok(await world.hasManifest(NS, R, 'young'));
      world.pass(2 * DAY);
      await prune({ ...limits, backend: world.backend, manifestMaxAgeMs: DAY });
      assert.deepEqual(await pathsOf(world.backend, NS), []);
    }
  });
});
