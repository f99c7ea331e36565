import { bytesOf, collect, everything, listed, MISSING, text } from './steps.ts';
import type { BackendSuite } from './suite.ts';

/** One object in the place of another, or of none. */
export function moves(suite: BackendSuite): void {
  const { assert } = suite;

  suite.state('what is moved is at its new place, and not at the old one', async (backend) => {
    await backend.put('a/b', Buffer.from('b'));
    await backend.move('a/b', 'new/folder/c');
    assert.equal(text(await backend.get('new/folder/c')), 'b');
    assert.equal(await backend.get('a/b'), undefined);
    await backend.move('new/folder/c', 'new/folder/d');
    assert.deepEqual(await everything(backend), ['new/folder/d 1']);
  });

  suite.state('a move takes the place of what was there; who reads that goes on', async (backend) => {
    const [one, two] = [bytesOf(2 ** 20, 1), bytesOf(100, 2)];
    await backend.put('to', one);
    await backend.put('from', two);
    const stream = await backend.stream('to');
    await backend.move('from', 'to');
    assert.ok(stream && (await collect(stream.bytes)).equals(one), 'what is read on');
    assert.ok((await backend.get('to'))?.equals(two), 'what is there now');
    assert.deepEqual(await listed(backend), ['to 100']);
  });

  suite.state('who reads what is moved goes on', async (backend) => {
    const bytes = bytesOf(2 ** 20);
    await backend.put('from', bytes);
    const stream = await backend.stream('from');
    await backend.move('from', 'to');
    assert.ok(stream && (await collect(stream.bytes)).equals(bytes));
  });

  suite.state('where there is no such object, nothing is moved', async (backend) => {
    await backend.put('to', Buffer.from('to'));
    await backend.put('folder/a', Buffer.from('a'));
    for (const from of ['none', 'none/at/all', 'folder', 'to/below', 'folder/none'])
      for (const to of ['to', 'new', 'new/folder/a'])
        await suite.rejects(backend.move(from, to), MISSING, `${from} to ${to}`);
    assert.deepEqual(await listed(backend), ['folder/', 'to 2']);
    assert.deepEqual(await everything(backend), ['folder/a 1', 'to 2']);
    assert.equal(text(await backend.get('to')), 'to');
  });

  suite.state('moved to where it is, an object stays', async (backend) => {
    await backend.put('a/b', Buffer.from('b'));
    await backend.move('a/b', 'a/b');
    assert.equal(text(await backend.get('a/b')), 'b');
  });

  suite.state('of several who move the same object one does, and the others are told', async (backend) => {
    await backend.put('from', Buffer.from('moved'));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5 }, (_, i) => backend.move('from', `to/${i}`)),
    );
    const failed = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason.reason] : [],
    );
    assert.deepEqual(failed, ['missing', 'missing', 'missing', 'missing']);
    assert.equal((await everything(backend)).length, 1);
  });
}
