import type { Cache, Invalidation, QueuedKey } from '../../cache/cache.ts';
import { begun, bytesOf, lead, put, settled, start, write } from './steps.ts';
import type { Suite } from './suite.ts';

async function queued(cache: Cache): Promise<QueuedKey[]> {
  const found: QueuedKey[] = [];
  for await (const each of cache.queue.list()) found.push(each);
  return found;
}

async function names(cache: Cache): Promise<string> {
  return (await queued(cache)).map(({ key: { primary, variant = '' } }) => primary + variant).join(' ');
}

/** Keys to be fetched ahead of time. */
export function queue(suite: Suite): void {
  const { assert } = suite;
  const key = { primary: '/a', variant: '?1' };

  suite.state('a key is queued once; the note stays with it', async (cache) => {
    const before = Date.now();
    assert.equal(await cache.queue.add(key, 'http://origin.example/a'), true);
    assert.equal(await cache.queue.add(key, 'another note'), false);
    assert.equal(await cache.queue.add({ primary: '/a' }), true, 'another variant');
    const [first, second, ...more] = await queued(cache);
    const queuedAt = first?.queuedAt ?? Number.NaN;
    assert.ok(queuedAt >= before && queuedAt <= Date.now(), `queued at ${queuedAt}`);
    assert.deepEqual(first, { key, note: 'http://origin.example/a', queuedAt });
    assert.deepEqual(second, { key: { primary: '/a' }, queuedAt: second?.queuedAt });
    assert.deepEqual(more, []);
  });

  suite.state('at once, one of many adds it', async (cache) => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => cache.queue.add(key)));
    assert.equal(answers.filter((added) => added).length, 1);
    assert.equal((await queued(cache)).length, 1);
  });

  suite.state('the queue is listed oldest first', async (cache) => {
    const expected: string[] = [];
    for (let i = 0; i < 30; i++) {
      const primary = `/${(i * 7) % 30}`;
      expected.push(primary);
      await cache.queue.add({ primary });
    }
    assert.equal(await names(cache), expected.join(' '));
  });

  suite.state('what is stored, or being fetched, is not queued', async (cache) => {
    await put(cache, { primary: '/stored' }, bytesOf(10));
    assert.equal(await cache.queue.add({ primary: '/stored' }), false);
    const leader = await lead(cache, { primary: '/claimed' });
    assert.equal(await cache.queue.add({ primary: '/claimed' }), false);
    const fill = await start(cache, { primary: '/filling' });
    assert.equal(await cache.queue.add({ primary: '/filling' }), false);
    assert.deepEqual(await queued(cache), []);
    await leader.abandon();
    await fill.abort(new Error('enough'));
    assert.equal(await cache.queue.add({ primary: '/claimed' }), true, 'no longer fetched');
    await cache.invalidate({ key: '/stored' });
    assert.equal(await cache.queue.add({ primary: '/stored' }), true, 'no longer stored');
  });

  suite.state('a commit takes its key out, and a fill that fails does not', async (cache) => {
    for (const primary of ['/a', '/b']) await cache.queue.add({ primary });
    const fill = await start(cache, { primary: '/a' });
    await write(fill, bytesOf(10));
    assert.equal(await names(cache), '/a /b', 'not before the commit');
    await fill.abort(new Error('the source stopped'));
    assert.equal(await names(cache), '/a /b');
    const again = await begun(await lead(cache, { primary: '/a' }));
    await write(again, bytesOf(10));
    await settled(again.commit({ length: 10 }), 'commit');
    assert.equal(await names(cache), '/b');
  });

  const takes = (what: Invalidation, rest: string): void => {
    for (const by of ['removing', 'invalidating'] as const) {
      suite.state(`${by} ${JSON.stringify(what)} takes out of the queue what it means`, async (cache) => {
        for (const primary of ['/a', '/ab', '/c']) await cache.queue.add({ primary });
        await cache.queue.add({ primary: '/a', variant: '?1' });
        const before = (await queued(cache)).length;
        const answer = by === 'removing' ? await cache.queue.remove(what) : await cache.invalidate(what);
        assert.equal(await names(cache), rest);
        const count = before - (await queued(cache)).length;
        assert.equal(answer, by === 'removing' ? count : 0, 'what it says');
        assert.equal(await cache.queue.remove(what), 0, 'again');
      });
    }
  };
  takes({ key: '/a' }, '/ab /c');
  takes({ key: '/' }, '/a /ab /c /a?1');
  takes({ prefix: '/a' }, '/c');
  takes({ tag: 'any' }, '/a /ab /c /a?1');
  takes({ all: true }, '');

  suite.state('an entry is not removed with its place in the queue', async (cache) => {
    await put(cache, { primary: '/a' }, bytesOf(10));
    assert.equal(await cache.queue.remove({ all: true }), 0);
    assert.equal((await cache.stats()).entries, 1);
  });

  suite.state('a note of 16 KiB is kept, and a longer one refused by name', async (cache) => {
    const longest = 'é'.repeat(8 * 1024);
    assert.equal(await cache.queue.add({ primary: '/a' }, longest), true);
    assert.equal((await queued(cache))[0]?.note, longest);
    for (const note of [`${longest}x`, 7]) {
      const refused = cache.queue.add({ primary: '/b' }, note as string);
      assert.equal(await suite.code(refused), 'ERR_CACHE_FILTER_OPTION', typeof note);
    }
    assert.equal(await names(cache), '/a');
  });

  suite.state('who goes through the queue may take out of it meanwhile', async (cache) => {
    for (const primary of ['/a', '/b', '/c']) await cache.queue.add({ primary });
    const seen: string[] = [];
    for await (const { key } of cache.queue.list()) {
      seen.push(key.primary);
      await cache.queue.remove({ key: '/a' });
      await cache.queue.remove({ key: '/b' });
    }
    assert.equal(seen.join(' '), '/a /c', 'what has gone is not listed any more');
  });

  suite.state('after close, nothing is queued', async (cache) => {
    await cache.close();
    assert.equal(await cache.queue.add(key), false);
  });
}
