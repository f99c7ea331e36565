import { BACKEND_ERROR, bytesOf, DAMAGED, everything, settled, text } from './steps.ts';
import type { BackendSuite } from './suite.ts';

/** An object that grows. */
export function appends(suite: BackendSuite): void {
  const { assert } = suite;
  const state: BackendSuite['state'] = (statement, check) => suite.state(statement, check, 'append');

  state('what is appended is there as soon as it was written', async (backend, { append, other }) => {
    const appending = await append('a/b', 0);
    assert.equal(appending.offset, 0);
    assert.equal(await backend.size('a/b'), 0, 'before the first byte');
    await appending.write(Buffer.from('hello '));
    assert.equal(appending.offset, 6);
    assert.equal(await other.size('a/b'), 6);
    assert.equal(text(await other.get('a/b')), 'hello ');
    await appending.write(Buffer.alloc(0));
    await appending.write(Buffer.from('world'));
    assert.deepEqual(await everything(backend), ['a/b 11']);
    await appending.close({ durable: true });
    assert.equal(text(await backend.get('a/b')), 'hello world');
  });

  state('many writes, small and large, are all there in their order', async (backend, { append }) => {
    const bytes = bytesOf(5_000_000);
    const appending = await append('a', 0);
    let at = 0;
    for (const length of [1, 70_000, 3, 2 ** 20, 100, 3_000_000, 5_000_000]) {
      await settled(appending.write(bytes.subarray(at, at + length)), 'write');
      at = Math.min(at + length, bytes.byteLength);
      assert.equal(appending.offset, at);
      assert.equal(await backend.size('a'), at);
    }
    await appending.close();
    assert.ok((await backend.get('a'))?.equals(bytes));
  });

  state('an object is gone on with where it ends', async (backend, { append }) => {
    await backend.put('a', Buffer.from('put'));
    for (const [i, word] of [' and', ' appended', ' to'].entries()) {
      const size = (await backend.size('a')) ?? 0;
      const appending = await append('a', size);
      assert.equal(appending.offset, size, `${i}`);
      await appending.write(Buffer.from(word));
      await appending.close({ durable: i === 1 });
    }
    assert.equal(text(await backend.get('a')), 'put and appended to');
  });

  state('what comes after the offset is cut off', async (backend, { append }) => {
    await backend.put('a', Buffer.from('0123456789'));
    const appending = await append('a', 4);
    assert.equal(await backend.size('a'), 4, 'at once');
    await appending.write(Buffer.from('x'));
    await appending.close();
    assert.equal(text(await backend.get('a')), '0123x');
    await (await append('a', 0)).close();
    assert.equal(await backend.size('a'), 0);
  });

  state('an object that is shorter, or not there, is not gone on with', async (backend, { append }) => {
    await backend.put('a', Buffer.from('0123'));
    await suite.rejects(append('a', 5), DAMAGED, 'shorter');
    await suite.rejects(append('none', 1), DAMAGED, 'not there');
    await suite.rejects(append('none/at/all', 1), DAMAGED, 'nor its folder');
    for (const none of [-1, 0.5, Number.NaN])
      await suite.rejects(append('a', none), BACKEND_ERROR, `${none} is no offset`);
    assert.deepEqual(await everything(backend), ['a 4']);
    assert.equal(text(await backend.get('a')), '0123');
  });

  state('nothing appended makes an empty object', async (backend, { append }) => {
    await (await append('a/b', 0)).close({ durable: true });
    assert.equal(await backend.size('a/b'), 0);
    assert.equal((await backend.get('a/b'))?.byteLength, 0);
  });

  state('closed once more, nothing happens; nothing is written any more', async (backend, { append }) => {
    const appending = await append('a', 0);
    await appending.write(Buffer.from('a'));
    await appending.close();
    await appending.close({ durable: true });
    await suite.rejects(appending.write(Buffer.from('b')), BACKEND_ERROR);
    assert.equal(text(await backend.get('a')), 'a');
  });

  state(
    'what has been appended to is moved, replaced and deleted as any other',
    async (backend, { append }) => {
      const appending = await append('uploads/1/data', 0);
      await appending.write(Buffer.from('blob'));
      await appending.close({ durable: true });
      await backend.move('uploads/1/data', 'blobs/1/data');
      assert.deepEqual(await everything(backend), ['blobs/1/data 4']);
      await backend.put('blobs/1/data', Buffer.from('other'));
      assert.equal(text(await backend.get('blobs/1/data')), 'other');
      assert.equal(await backend.delete('blobs/1/data'), true);
      assert.deepEqual(await everything(backend), []);
    },
  );
}
