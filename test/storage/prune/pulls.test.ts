/** What was pushed while a prune runs can be pulled at every moment after that, and so it can where that prune died in the middle (50). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StorageBackend } from '../../../lib/storage/backends/backend.ts';
import { prune } from '../../../lib/storage/prune.ts';
import { Storage } from '../../../lib/storage/storage.ts';
import { sha } from '../backends.ts';
import { interleave, type Schedule } from './steps.ts';
import { CONFIG, DAY, HOUR, type Image, imageOf, World } from './world.ts';

const NS = 'ns';

/** So many orders are tried of each case, with up to so many steps of the prune between the push and the pull. */
const RUNS = 40;
const MOST_MORE = 7;

const R = 'repository';

const one = imageOf(['one', 'two']);
const other = imageOf(['two', 'three']);

async function push(storage: Storage, image: Image, texts: readonly string[]): Promise<void> {
  for (const text of [CONFIG, ...texts]) {
    const digest = sha(text);
    if ((await storage.linkedBlobSize(NS, R, digest)) !== undefined) continue;
    await storage.putBlob(NS, digest, Buffer.from(text));
    await storage.linkBlob(NS, R, digest);
  }
  await storage.putManifest(NS, R, 'tag', image.bytes);
}

/** As another process does, which has told nobody of anything yet. */
async function assertPulled(backend: StorageBackend, image: Image): Promise<void> {
  const storage = new Storage(backend);
  assert.deepEqual(await storage.listTags(NS, R), ['tag']);
  for (const reference of ['tag', image.digest])
    assert.equal((await storage.getManifest(NS, R, reference))?.digest, image.digest, reference);
  for (const digest of image.layers) {
    assert.ok(await storage.getBlob(NS, digest), `the content of ${digest}`);
    assert.ok(await storage.linkedBlobSize(NS, R, digest), `the size of ${digest}`);
    assert.ok(await storage.streamBlob(NS, digest), `the stream of ${digest}`);
  }
}

interface Breaks {
  /** Steps of the prune before the push. */
  before: number;
  /** Between the push and the pull. */
  after: number;
}

/** The prune stands still while it is pulled: as it would where it had died. Resolves to how many steps it took. */
async function run(
  start: (world: World) => Promise<unknown>,
  [image, texts]: [Image, string[]],
  { before, after }: Breaks,
): Promise<number> {
  const world = new World();
  await start(world);
  world.pass(40 * DAY);
  const limits = { uploadMaxAgeMs: HOUR, manifestMaxAgeMs: 30 * DAY, trackUse: false };
  let isPushed = false;
  const schedule: Schedule = (n) => {
    if (n < before) return 0;
    return isPushed && after-- > 0 ? 0 : 1;
  };
  const [steps] = await interleave(
    world.backend,
    [
      (backend) => prune({ ...limits, backend }),
      async (backend) => {
        await push(new Storage(backend), image, texts);
        isPushed = true;
        await assertPulled(backend, image);
      },
    ],
    schedule,
  );
  return steps;
}

async function runAll(start: (world: World) => Promise<unknown>, image: [Image, string[]]): Promise<void> {
  const steps = await run(start, image, { before: Number.POSITIVE_INFINITY, after: 0 });
  const stride = Math.max(1, Math.ceil((steps * MOST_MORE) / RUNS));
  for (let i = 0; i < steps * MOST_MORE; i += stride) {
    const breaks = { before: Math.floor(i / MOST_MORE), after: i % MOST_MORE };
    await run(start, image, breaks).catch((error: unknown) => {
      throw new Error(JSON.stringify(breaks), { cause: error });
    });
  }
}

describe('while a prune stands still', () => {
  test('another image under a tag that was to go is pulled', () =>
    runAll((world) => world.image(NS, R, 'tag', ['one', 'two']), [other, ['two', 'three']]));

  test('an image whose tag was to go is pulled', () =>
    runAll((world) => world.image(NS, R, 'tag', ['one', 'two']), [one, ['one', 'two']]));

  test('an image of layers that nothing needed is pulled', () =>
    runAll(
      async (world) => {
        for (const text of [CONFIG, 'one', 'two']) await world.blob(NS, text, R);
      },
      [one, ['one', 'two']],
    ));
});
