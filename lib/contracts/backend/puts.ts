import { BACKEND_ERROR, bytesOf, collect, everything, listed, piecewise, settled, text } from './steps.ts';
import type { BackendSuite } from './suite.ts';

const MIB = 2 ** 20;
const SIZES = [0, 1, 70_000, MIB, 3 * MIB + 5];

/** What is put is there whole, or not at all. */
export function puts(suite: BackendSuite): void {
  const { assert } = suite;

  suite.state('what is put comes back as it was', async (backend) => {
    for (const size of SIZES) {
      const bytes = bytesOf(size, size);
      assert.equal(await backend.put(`at/once/${size}`, bytes), size, 'the answer of put');
      assert.ok((await backend.get(`at/once/${size}`))?.equals(bytes), `${size} bytes`);
      for (const piece of [1_000, 65_537, 2 * MIB]) {
        assert.equal(await backend.put(`by/${piece}/${size}`, piecewise(bytes, piece)), size);
        assert.ok((await backend.get(`by/${piece}/${size}`))?.equals(bytes), `${size} bytes by ${piece}`);
        assert.equal(await backend.size(`by/${piece}/${size}`), size);
      }
    }
    await backend.put('empty', piecewise(Buffer.alloc(0), 1));
    assert.equal((await backend.get('empty'))?.byteLength, 0);
  });

  suite.state('a source may use its memory again for each piece', async (backend) => {
    const bytes = bytesOf(1_500_000);
    for (const length of [10_000, 700_000]) {
      await backend.put('a', once(bytes, length));
      assert.ok((await backend.get('a'))?.equals(bytes), `pieces of ${length}`);
    }
  });

  suite.state('a put takes the place of what was there, longer or shorter', async (backend) => {
    for (const size of [100, 10, 0, 1_000]) {
      await backend.put('a/b', bytesOf(size, size));
      assert.ok((await backend.get('a/b'))?.equals(bytesOf(size, size)), `${size} bytes`);
      assert.deepEqual(await listed(backend, 'a'), [`b ${size}`]);
    }
  });

  for (const before of [0, 10, MIB, 3 * MIB]) {
    suite.state(
      `a source that fails after ${before} bytes: put rejects with that, and nothing has changed`,
      async (backend) => {
        await backend.put('a/old', Buffer.from('old'));
        const failure = new Error('the source failed');
        for (const path of ['a/old', 'a/new', 'other/new']) {
          const error = await settled(
            backend.put(path, failing(before, failure)).catch((reason: unknown) => reason),
            'put',
          );
          assert.ok(error === failure, `put of ${path} gave ${error}`);
        }
        assert.deepEqual(await everything(backend), ['a/old 3']);
        assert.equal(text(await backend.get('a/old')), 'old');
        assert.equal(await backend.get('a/new'), undefined);
        await backend.put('a/new', Buffer.from('new'));
        assert.equal(text(await backend.get('a/new')), 'new');
      },
    );
  }

  suite.state('while it is being put, an object is not there, or what it was', async (backend) => {
    await backend.put('a/old', Buffer.from('old'));
    const bytes = bytesOf(2 * MIB);
    let looks = 0;
    for (const path of ['a/old', 'a/new']) {
      const was = text(await backend.get(path));
      const looking = async function* () {
        for await (const piece of piecewise(bytes, 500_000)) {
          yield piece;
          looks++;
          assert.equal(text(await backend.get(path)), was, path);
          assert.equal(await backend.size(path), was?.length, path);
          assert.deepEqual(await listed(backend, 'a'), was === undefined ? [`old ${2 * MIB}`] : ['old 3']);
          assert.deepEqual(await listed(backend), ['a/']);
        }
      };
      await backend.put(path, looking());
      assert.ok((await backend.get(path))?.equals(bytes), path);
    }
    assert.equal(looks, 10);
  });

  suite.state('who reads the one before goes on doing so', async (backend) => {
    const [one, two] = [bytesOf(3 * MIB, 1), bytesOf(3 * MIB, 2)];
    await backend.put('a', one);
    const [begun, late] = [await backend.stream('a'), await backend.stream('a')];
    const pieces = begun?.bytes[Symbol.asyncIterator]();
    const first = await pieces?.next();
    await backend.put('a', two);
    assert.ok((await backend.get('a'))?.equals(two), 'what is there now');
    await backend.delete('a');
    const rest = await collect({ [Symbol.asyncIterator]: () => pieces ?? (assert.ok(false) as never) });
    assert.ok(Buffer.concat([first?.value ?? Buffer.alloc(0), rest]).equals(one), 'what is read on');
    assert.ok(late && (await collect(late.bytes)).equals(one), 'what is read from its beginning');
  });

  suite.state('a source is asked for one piece at a time, and told when nobody goes on', async (backend) => {
    let [asked, most, pieces, ended] = [0, 0, 0, false];
    const source = (length: number) => ({
      [Symbol.asyncIterator]: () => ({
        async next() {
          most = Math.max(most, ++asked);
          await new Promise((resolve) => setImmediate(resolve));
          asked--;
          return pieces++ < length
            ? { done: false as const, value: bytesOf(100_000) }
            : { done: true as const, value: undefined };
        },
        async return() {
          ended = true;
          return { done: true as const, value: undefined };
        },
      }),
    });
    await backend.put('a', source(50));
    assert.deepEqual([most, pieces], [1, 51], 'asked at once, and in all');
    pieces = 0;
    await suite.rejects(settled(backend.put('a/b', source(50)), 'put'), BACKEND_ERROR);
    assert.ok(pieces === 0 || pieces > 50 || ended, `nobody told it after ${pieces} pieces`);
  });

  suite.state(
    'a source is not read ahead of what is stored',
    async (backend, { unfinished }) => {
      let [pulled, ahead] = [0, 0];
      const source = async function* () {
        for (; pulled < 48 * MIB; pulled += MIB) {
          ahead = Math.max(ahead, pulled - (await unfinished()));
          yield bytesOf(MIB, pulled);
        }
      };
      assert.equal(await settled(backend.put('a', source()), 'put'), 48 * MIB);
      assert.ok(ahead <= 8 * MIB, `${ahead} bytes were in memory`);
    },
    'unfinished',
  );

  suite.state('puts at the same time: the last to end is there, whole', async (backend) => {
    const all = Array.from({ length: 8 }, (_, i) => bytesOf(200_000, i));
    await Promise.all(all.map((bytes) => backend.put('new/folder/same', piecewise(bytes, 30_000))));
    const found = await backend.get('new/folder/same');
    assert.ok(
      all.some((bytes) => found?.equals(bytes)),
      'none of them',
    );
    await Promise.all(all.map((bytes, i) => backend.put(`many/${i % 2}/${i}`, bytes)));
    for (const [i, bytes] of all.entries())
      assert.ok((await backend.get(`many/${i % 2}/${i}`))?.equals(bytes), `${i}`);
  });

  suite.state('an object and a folder are not at the same path', async (backend) => {
    await backend.put('a', Buffer.from('a'));
    await backend.put('folder/b', Buffer.from('b'));
    await suite.rejects(backend.put('a/below', Buffer.from('x')), BACKEND_ERROR, 'below an object');
    await suite.rejects(backend.put('a/far/below', Buffer.from('x')), BACKEND_ERROR, 'far below an object');
    await suite.rejects(backend.put('folder', Buffer.from('x')), BACKEND_ERROR, 'in place of a folder');
    await suite.rejects(backend.move('folder/b', 'a/b'), BACKEND_ERROR, 'moved below an object');
    await suite.rejects(backend.move('a', 'folder'), BACKEND_ERROR, 'moved in place of a folder');
    await suite.rejects(
      backend.concatenate([{ path: 'a', size: 1 }], 'folder'),
      BACKEND_ERROR,
      'concatenated',
    );
    if (backend.append !== undefined) {
      await suite.rejects(backend.append('folder', 0), BACKEND_ERROR, 'appended to a folder');
      await suite.rejects(backend.append('a/below', 0), BACKEND_ERROR, 'appended below an object');
    }
    assert.deepEqual(await everything(backend), ['a 1', 'folder/b 1']);
    for (const path of ['folder', 'a/below', 'a/b/c']) {
      assert.equal(await backend.size(path), undefined, path);
      assert.equal(await backend.get(path), undefined, path);
      assert.equal(await backend.stream(path), undefined, path);
    }
    assert.equal(await backend.delete('a/below'), false);
  });
}

/** The bytes, each piece in the same memory. */
async function* once(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  const memory = Buffer.alloc(length);
  for (let at = 0; at < bytes.byteLength; at += length) {
    const piece = bytes.copy(memory, 0, at, at + length);
    yield memory.subarray(0, piece);
    memory.fill(0);
  }
}

async function* failing(after: number, failure: Error): AsyncGenerator<Buffer> {
  yield* piecewise(bytesOf(after), 300_000);
  throw failure;
}
