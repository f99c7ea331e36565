import type { Fill, Proof } from '../../cache/cache.ts';
import { bytesOf, hashOf, lead, Reading, settled, start, stored, write } from './steps.ts';
import type { Suite } from './suite.ts';

const KEY = { primary: '/integrity' };

/** No body that failed its verification ever looks whole. */
export function integrity(suite: Suite): void {
  const { assert } = suite;
  const bytes = bytesOf(300_000);

  /** The commit is refused, nothing is stored, readers fail before they have all, and the key is free again. */
  const refused = (
    statement: string,
    declared: { size?: number; algorithms?: ('md5' | 'sha512')[] },
    proof: Proof,
  ): void => {
    suite.state(statement, async (cache) => {
      const fill = await start(cache, KEY, declared);
      const reader = fill.reader();
      const reading = Reading.of(reader);
      await write(fill, bytes.subarray(0, 100_000), bytes.subarray(100_000));
      assert.equal(await suite.code(settled(fill.commit(proof), 'commit')), 'ERR_CACHE_FILTER_INTEGRITY');
      const failure = await reading.failure();
      assert.equal(
        (failure as { code?: unknown } | undefined)?.code,
        'ERR_CACHE_FILTER_INTEGRITY',
        'what the reader sees',
      );
      assert.ok(
        declared.size === undefined || reading.length < declared.size,
        `the reader got ${reading.length} bytes`,
      );
      assert.equal(await reader.ended, 'failed');
      reader.release();
      assert.equal(await stored(cache, KEY), undefined);
      const next = await lead(cache, KEY);
      await next.abandon();
      const { entries, bytes: charged, fills, invalid } = await cache.stats();
      assert.deepEqual([entries, charged, fills], [0, invalid.bytes, 0], 'entries, bytes, fills');
    });
  };

  const sha256 = { algorithm: 'sha256', hex: hashOf('sha256', bytes) } as const;
  const md5 = { algorithm: 'md5', hex: hashOf('md5', bytes) } as const;
  const wrong = {
    sha256: { ...sha256, hex: hashOf('sha256', bytesOf(1)) },
    md5: { ...md5, hex: hashOf('md5', bytesOf(1)) },
  };

  refused('a body shorter than its length is refused', { size: 300_001 }, { length: 300_001 });
  refused('a body longer than its length is refused', { size: 299_999 }, { length: 299_999 });
  refused('a length that is only known at the end is checked as well', {}, { length: 299_999 });
  refused(
    'the size that was declared at the start must hold, though the proof is silent',
    { size: 300_001 },
    {},
  );
  refused('a body with another SHA-256 is refused', { size: 300_000 }, { digests: [wrong.sha256] });
  refused('a body with another SHA-256 and no length is refused', {}, { digests: [wrong.sha256] });
  refused('a body with another MD5 is refused', { algorithms: ['md5'] }, { digests: [wrong.md5] });
  refused(
    'a digest is checked though its algorithm was not asked for at the start',
    {},
    { digests: [wrong.md5] },
  );
  refused(
    'one wrong digest among right ones is enough',
    { algorithms: ['md5'] },
    { digests: [sha256, wrong.md5, md5] },
  );
  refused('of two values for one algorithm, one is wrong', {}, { digests: [sha256, wrong.sha256] });

  suite.state('digests that agree are kept with the entry', async (cache) => {
    const fill = await start(cache, KEY, { size: 300_000, algorithms: ['md5', 'sha512', 'sha256'] });
    await write(fill, bytes);
    const info = await settled(fill.commit({ length: 300_000, digests: [md5, sha256] }), 'commit');
    const found = Object.fromEntries(info.digests.map(({ algorithm, hex }) => [algorithm, hex]));
    assert.deepEqual(found, { sha256: sha256.hex, md5: md5.hex, sha512: hashOf('sha512', bytes) });
    assert.equal(info.digests.length, 3, 'each once');
    assert.deepEqual((await cache.info(KEY))?.digests, info.digests);
  });

  suite.state('a digest is compared whatever its letter case', async (cache) => {
    const fill = await start(cache, KEY, { algorithms: ['md5'] });
    await write(fill, bytes);
    const shouted = [sha256, md5].map(({ algorithm, hex }) => ({ algorithm, hex: hex.toUpperCase() }));
    const info = await settled(fill.commit({ digests: shouted }), 'commit');
    assert.equal(info.digests.find(({ algorithm }) => algorithm === 'sha256')?.hex, sha256.hex);
  });

  suite.state('an aborted fill fails its readers with the reason, and leaves nothing', async (cache) => {
    const reason = new Error('the source stopped');
    const ends = async (fill: Fill, after: number) => {
      const reader = fill.reader();
      const reading = Reading.of(reader);
      if (after > 0) await write(fill, bytes.subarray(0, after));
      await reading.until(Math.min(after, 299_999));
      await settled(fill.abort(reason), 'abort');
      assert.equal((await reading.failure())?.message, 'the source stopped');
      assert.equal(await reader.ended, 'failed');
      reader.release();
      assert.equal(await stored(cache, KEY), undefined);
    };
    await ends(await start(cache, KEY, { size: 300_000 }), 0);
    await ends(await start(cache, KEY, { size: 300_000 }), 100_000);
    await ends(await start(cache, KEY, { size: 300_000 }), 300_000);
    await ends(await start(cache, KEY), 100_000);
    const { entries, bytes: charged, fills } = await cache.stats();
    assert.deepEqual([entries, charged, fills], [0, 0, 0], 'entries, bytes, fills');
  });

  suite.state(
    'a fill that has ended takes what is still written, and does nothing with it',
    async (cache) => {
      const fill = await start(cache, KEY);
      await fill.abort(new Error('enough'));
      await fill.abort(new Error('enough, again'));
      assert.equal(fill.write(bytes), true);
      await settled(fill.drained(), 'drained');
      assert.equal(await stored(cache, KEY), undefined);
    },
  );
}
