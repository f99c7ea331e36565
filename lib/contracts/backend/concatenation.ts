import type { Part, StorageBackend } from '../../storage/backends/backend.ts';
import { BACKEND_ERROR, bytesOf, collect, DAMAGED, everything, hashOf, listed, text } from './steps.ts';
import type { BackendSuite } from './suite.ts';

const MIB = 2 ** 20;

/** One object of several. */
export function concatenation(suite: BackendSuite): void {
  const { assert } = suite;

  const parts = async (backend: StorageBackend, ...sizes: number[]): Promise<Required<Part>[]> => {
    const made: Required<Part>[] = [];
    for (const [i, size] of sizes.entries()) {
      const bytes = bytesOf(size, i);
      await backend.put(`parts/${i + 1}`, bytes);
      made.push({ path: `parts/${i + 1}`, size, md5: hashOf('md5', bytes) });
    }
    return made;
  };

  const whole = (...sizes: number[]): Buffer => Buffer.concat(sizes.map((size, i) => bytesOf(size, i)));

  suite.state('several become one, in their order, and are gone then', async (backend) => {
    for (const sizes of [[5], [3, 2 * MIB, 0, 1], [0, 0], [700_000, 700_001, 700_002]]) {
      await backend.concatenate(await parts(backend, ...sizes), 'new/folder/whole');
      assert.ok((await backend.get('new/folder/whole'))?.equals(whole(...sizes)), `${sizes}`);
      assert.deepEqual(await everything(backend), [`new/folder/whole ${whole(...sizes).byteLength}`]);
      assert.deepEqual(await listed(backend, 'parts'), []);
    }
  });

  suite.state('more than ten parts keep their order', async (backend) => {
    const sizes = Array.from({ length: 25 }, (_, i) => i + 1);
    await backend.concatenate(await parts(backend, ...sizes), 'whole');
    assert.ok((await backend.get('whole'))?.equals(whole(...sizes)));
  });

  suite.state('none become an empty object', async (backend) => {
    await backend.concatenate([], 'a/empty');
    assert.equal(await backend.size('a/empty'), 0);
    assert.equal((await backend.get('a/empty'))?.byteLength, 0);
  });

  suite.state('an MD5 that is not given is not checked', async (backend) => {
    const made = await parts(backend, 10, 20);
    await backend.concatenate(
      made.map(({ path, size }) => ({ path, size })),
      'whole',
    );
    assert.ok((await backend.get('whole'))?.equals(whole(10, 20)));
  });

  suite.state('a part that is missing, or not what was said of it: nothing has changed', async (backend) => {
    const [one, two, three] = (await parts(backend, 10, MIB, 10)) as [Part, Part, Part];
    await backend.put('there', Buffer.from('there'));
    const before = await everything(backend);
    for (const [why, wrong] of [
      ['too short', { ...two, size: MIB + 1 }],
      ['too long', { ...two, size: MIB - 1 }],
      ['another MD5', { ...two, md5: hashOf('md5', bytesOf(1)) }],
      ['missing', { ...two, path: 'parts/none' }],
      ['a folder', { ...two, path: 'parts', size: 0 }],
    ] as const)
      for (const to of ['there', 'new', 'new/folder/whole'])
        for (const list of [[one, wrong, three], [one, two, three, wrong], [wrong]])
          await suite.rejects(backend.concatenate(list, to), DAMAGED, `${why}, to ${to}`);
    assert.deepEqual(await everything(backend), before);
    assert.equal(text(await backend.get('there')), 'there');
    await backend.concatenate([one, two, three], 'there');
    assert.ok((await backend.get('there'))?.equals(whole(10, MIB, 10)), 'with the right ones');
  });

  suite.state('one that becomes the whole itself is not gone then', async (backend) => {
    const made = await parts(backend, 10, 20);
    await backend.concatenate(made, 'parts/1');
    assert.ok((await backend.get('parts/1'))?.equals(whole(10, 20)));
    assert.deepEqual(await everything(backend), ['parts/1 30']);
  });

  suite.state('who reads what was there before goes on', async (backend) => {
    const before = bytesOf(MIB, 99);
    await backend.put('whole', before);
    const stream = await backend.stream('whole');
    await backend.concatenate(await parts(backend, 10, 20), 'whole');
    assert.ok(stream && (await collect(stream.bytes)).equals(before));
  });

  suite.state(
    'an object where a folder should be is in the way of the whole: the parts stay',
    async (backend) => {
      const made = await parts(backend, 10, 20);
      await backend.put('a', Buffer.from('a'));
      const before = await everything(backend);
      await suite.rejects(backend.concatenate(made, 'a/whole'), BACKEND_ERROR);
      assert.deepEqual(await everything(backend), before);
    },
  );
}
