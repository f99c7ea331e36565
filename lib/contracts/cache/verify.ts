import type { Cache, Verified, VerifyOptions } from '../../cache/cache.ts';
import { bytesOf, opened, put, Reading, settled, start, stored, write } from './steps.ts';
import type { Suite } from './suite.ts';

const SIZES = [0, 1, 70_000, 2 ** 20, 3 * 2 ** 20 + 5];
const TOTAL = SIZES.reduce((sum, size) => sum + size);

/** Looking at all that is stored, and dropping what is not what was stored. */
export function verify(suite: Suite): void {
  const { assert } = suite;

  const filled = async (cache: Cache): Promise<void> => {
    for (const [i, size] of SIZES.entries()) await put(cache, { primary: `/${i}` }, bytesOf(size, i));
  };

  const all = async (cache: Cache, options?: VerifyOptions): Promise<Verified[]> => {
    const found: Verified[] = [];
    for await (const verified of cache.verify(options)) found.push(verified);
    return found;
  };

  const next = async (going: AsyncIterator<Verified>): Promise<Verified | undefined> => {
    const { value } = (await settled(going.next(), 'the next entry')) as IteratorResult<Verified, undefined>;
    return value;
  };

  suite.state('in an empty cache there is nothing to verify', async (cache) => {
    assert.deepEqual(await all(cache), []);
  });

  suite.state(
    'each entry is verified once, its variants too; the bytes add up to those there were',
    async (cache) => {
      await filled(cache);
      await put(cache, { primary: '/0', variant: 'v' }, bytesOf(10, 9));
      const before = await cache.stats();
      const found = await all(cache);
      assert.deepEqual(
        found.map(({ key, size, ok }) => `${key.primary} ${key.variant ?? ''} ${size} ${ok}`).sort(),
        ['/0 v 10 true', ...SIZES.map((size, i) => `/${i}  ${size} true`)].sort(),
      );
      let bytes = 0;
      for (const { size, bytes: soFar, totalBytes, why } of found) {
        bytes += size;
        assert.deepEqual([soFar, totalBytes, why], [bytes, TOTAL + 10, undefined]);
      }
      assert.equal(bytes, TOTAL + 10);
      assert.deepEqual(await cache.stats(), before, 'nothing has changed');
      for (const [i, size] of SIZES.entries())
        assert.ok((await stored(cache, { primary: `/${i}` }))?.equals(bytesOf(size, i)), `/${i}`);
    },
  );

  suite.state('being verified is no use of an entry', async (cache) => {
    await filled(cache);
    const known = async () => Promise.all(SIZES.map((_, i) => cache.info({ primary: `/${i}` })));
    const before = await known();
    await all(cache);
    assert.deepEqual(await known(), before);
  });

  suite.state('what goes meanwhile is passed over, and what comes too', async (cache) => {
    await filled(cache);
    const going = cache.verify()[Symbol.asyncIterator]();
    const first = await next(going);
    assert.equal(first?.totalBytes, TOTAL);
    const gone = SIZES.map((_, i) => `/${i}`).find((primary) => primary !== first?.key.primary) ?? '';
    await cache.invalidate({ key: gone });
    await put(cache, { primary: '/new' }, bytesOf(50_000));
    const seen = [first?.key.primary];
    let last = first;
    for (let one = await next(going); one !== undefined; one = await next(going)) {
      seen.push(one.key.primary);
      last = one;
    }
    assert.deepEqual(
      seen.sort(),
      SIZES.map((_, i) => `/${i}`).filter((primary) => primary !== gone),
    );
    assert.ok((last?.bytes ?? 0) <= TOTAL && last?.totalBytes === TOTAL, 'the sum stays as it was');
  });

  suite.state('meanwhile entries are read and replaced, and fills run', async (cache) => {
    await filled(cache);
    const fill = await start(cache, { primary: '/fill' }, { size: 10 });
    const entry = await opened(cache, { primary: '/4' });
    const going = cache.verify()[Symbol.asyncIterator]();
    await next(going);
    assert.ok((await Reading.of(entry).whole()).equals(bytesOf(SIZES[4] ?? 0, 4)));
    entry.release();
    for (const i of SIZES.keys())
      await put(cache, { primary: `/${i}` }, bytesOf(7, 99), { claim: { newerThan: Date.now() + 1000 } });
    await write(fill, bytesOf(10));
    await settled(fill.commit({}), 'commit');
    for (let one = await next(going); one !== undefined; one = await next(going)) assert.equal(one.ok, true);
    for (const i of SIZES.keys())
      assert.ok((await stored(cache, { primary: `/${i}` }))?.equals(bytesOf(7, 99)), `/${i} is the new one`);
    assert.equal((await cache.stats()).corrupt, 0);
  });

  suite.state('its signal ends it with its reason, and nothing is dropped', async (cache) => {
    await filled(cache);
    const reason = new Error('enough');
    const failure = (promise: Promise<unknown>) =>
      settled(
        promise.then(
          () => undefined,
          (error: unknown) => error,
        ),
        'the end of it',
      );
    assert.equal(await failure(all(cache, { signal: AbortSignal.abort(reason) })), reason);
    const controller = new AbortController();
    const going = cache.verify({ signal: controller.signal, maxBytesPerSecond: 1 })[Symbol.asyncIterator]();
    const begun = (async () => {
      while ((await going.next()).done !== true);
    })();
    controller.abort(reason);
    assert.equal(await failure(begun), reason, 'while it waits');
    assert.equal((await cache.stats()).entries, SIZES.length);
    assert.equal((await all(cache)).length, SIZES.length, 'and it can be begun again');
  });

  suite.state('who leaves in the middle leaves nothing behind', async (cache) => {
    await filled(cache);
    for await (const { ok } of cache.verify()) {
      assert.ok(ok);
      break;
    }
    assert.equal((await cache.prune({ toBytes: 0 })).entries, SIZES.length, 'nothing is held');
  });

  suite.state('options that it can not mean are refused by name', async (cache) => {
    for (const [options, message] of [
      [{ maxBytesPerSecond: 0 }, /maxBytesPerSecond must be .* got 0/],
      [{ maxBytesPerSecond: Number.NaN }, /maxBytesPerSecond must be /],
      [{ maxBytesPerSecond: '1' }, /maxBytesPerSecond must be .* got ["']1["']/],
      [{ signal: {} }, /signal must be an AbortSignal, got/],
    ] as [VerifyOptions, RegExp][]) {
      const failed = (async () => all(cache, options))();
      const error = await failed.then(
        () => undefined,
        (reason: unknown) => reason as { code?: unknown; message: string },
      );
      assert.equal(error?.code, 'ERR_CACHE_FILTER_OPTION', JSON.stringify(options));
      assert.ok(message.test(error?.message ?? ''), error?.message);
    }
  });

  suite.state(
    'a cache that is closed has nothing to verify, and closing it ends what goes on',
    async (cache) => {
      await filled(cache);
      const going = cache.verify({ maxBytesPerSecond: 1 })[Symbol.asyncIterator]();
      const rest = (async () => {
        while ((await going.next()).done !== true);
      })();
      // Enough for it to have come to where it waits.
      for (const j of SIZES.keys()) await stored(cache, { primary: `/${j}` });
      await cache.close();
      await settled(rest, 'the end of it');
      assert.deepEqual(await all(cache), []);
    },
  );

  suite.state('what is not what was stored is dropped, and said', async (cache, damage) => {
    if (damage === undefined) return;
    await filled(cache);
    for (const primary of ['/1', '/4']) await damage({ primary });
    const found = await all(cache);
    for (const { key, ok, why } of found) {
      const damaged = ['/1', '/4'].includes(key.primary);
      assert.deepEqual(
        [key.primary, ok, typeof why],
        [key.primary, !damaged, damaged ? 'string' : 'undefined'],
      );
    }
    assert.equal(found.length, SIZES.length);
    assert.equal(found.at(-1)?.bytes, TOTAL);
    const { entries, corrupt } = await cache.stats();
    assert.deepEqual([entries, corrupt], [SIZES.length - 2, 2], 'entries, corrupt');
    for (const primary of ['/1', '/4']) assert.equal(await cache.open({ primary }), undefined, primary);
    assert.ok(
      (await all(cache)).every(({ ok }) => ok),
      'the rest is right',
    );
  });
}
