import { bytesOf, collect, settled, text } from './steps.ts';
import type { BackendSuite } from './suite.ts';

const BYTES = bytesOf(2 ** 20 + 77);

/** All of an object, or a part of it, as fast as it is wanted. */
export function reads(suite: BackendSuite): void {
  const { assert } = suite;

  suite.state('of what is not there, nothing is known', async (backend) => {
    await backend.put('a/b', Buffer.from('b'));
    for (const path of ['none', 'a/none', 'none/b', 'a']) {
      assert.equal(await backend.size(path), undefined, path);
      assert.equal(await backend.get(path), undefined, path);
      assert.equal(await backend.stream(path), undefined, path);
      assert.equal(await backend.stream(path, { start: 0, end: 1 }), undefined, path);
    }
  });

  suite.state('a stream gives the whole object, and its size', async (backend) => {
    for (const size of [0, 1, BYTES.byteLength]) {
      await backend.put('a', BYTES.subarray(0, size));
      const stream = await backend.stream('a');
      assert.equal(stream?.size, size);
      assert.ok(stream && (await collect(stream.bytes)).equals(BYTES.subarray(0, size)), `${size} bytes`);
    }
  });

  suite.state('a stream gives a range, and the size of the whole', async (backend) => {
    await backend.put('a', BYTES);
    const end = BYTES.byteLength;
    for (const range of [
      { start: 0, end: 1 },
      { start: 0, end },
      { start: 5, end: 5 },
      { start: end, end },
      { start: end - 1, end },
      { start: 262_143, end: 262_145 },
      { start: 262_144, end: 786_432 },
      { start: 77, end: end - 77 },
    ]) {
      const said = `${range.start} to ${range.end}`;
      const stream = await backend.stream('a', range);
      assert.equal(stream?.size, end, said);
      const bytes = stream && (await collect(stream.bytes));
      assert.ok(bytes?.equals(BYTES.subarray(range.start, range.end)), said);
    }
  });

  suite.state('a stream may be left at any time, and before its first piece', async (backend) => {
    await backend.put('a', BYTES);
    for (let i = 0; i < 50; i++) {
      for await (const piece of (await backend.stream('a'))?.bytes ?? []) {
        assert.ok(piece.byteLength > 0);
        break;
      }
      const unread = (await backend.stream('a'))?.bytes[Symbol.asyncIterator]();
      await settled(Promise.resolve(unread?.return?.()), 'leaving it');
      assert.equal((await unread?.next())?.done, true, 'after it was left');
    }
    assert.equal(await backend.delete('a'), true);
    assert.equal(await backend.get('a'), undefined);
  });

  suite.state(
    'a stream that can be poured gives the same, and waits for each piece to be taken',
    async (backend) => {
      await backend.put('a', BYTES);
      for (const range of [undefined, { start: 77, end: 600_000 }, { start: 5, end: 6 }]) {
        const stream = await backend.stream('a', range);
        const copies: Buffer[] = [];
        let taking = false;
        const take = async (piece: Uint8Array) => {
          assert.ok(!taking, 'one at a time');
          taking = true;
          await new Promise((resolve) => setImmediate(resolve));
          copies.push(Buffer.from(piece));
          taking = false;
        };
        if (stream?.pour === undefined) for await (const piece of stream?.bytes ?? none()) await take(piece);
        else await settled(stream.pour(take), 'pouring it');
        assert.ok(
          Buffer.concat(copies).equals(BYTES.subarray(range?.start ?? 0, range?.end ?? BYTES.byteLength)),
        );
        const another = await backend.stream('a', range);
        const enough = new Error('enough');
        const refused = another?.pour?.(() => Promise.reject(enough)).catch((error: unknown) => error);
        if (refused !== undefined) assert.equal(await refused, enough);
        else await another?.bytes[Symbol.asyncIterator]().return?.();
      }
      assert.equal(await backend.delete('a'), true);
    },
  );

  suite.state('many read at the same time', async (backend) => {
    await backend.put('a', BYTES);
    const all = await Promise.all(
      Array.from({ length: 20 }, async (_, i) =>
        collect((await backend.stream('a', { start: i, end: 900_000 + i }))?.bytes ?? none()),
      ),
    );
    for (const [i, bytes] of all.entries()) assert.ok(bytes.equals(BYTES.subarray(i, 900_000 + i)), `${i}`);
  });

  suite.state('what was given out is not the object: changing it changes nothing', async (backend) => {
    const bytes = Buffer.from('as it is');
    await backend.put('a', bytes);
    bytes.fill(0);
    (await backend.get('a'))?.fill(0);
    for await (const piece of (await backend.stream('a'))?.bytes ?? []) piece.fill(0);
    assert.equal(text(await backend.get('a')), 'as it is');
  });
}

async function* none(): AsyncGenerator<Uint8Array> {}
