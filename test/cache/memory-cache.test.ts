import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryCache } from '../../lib/cache/memory-cache.ts';
import { bytesOf, opened, put } from '../../lib/contracts/cache/steps.ts';

describe('MemoryCache', () => {
  test('unless said otherwise it holds 64 MiB, and a body half of that', () => {
    const { maxBytes, maxEntryBytes } = new MemoryCache();
    assert.deepEqual([maxBytes, maxEntryBytes], [64 * 2 ** 20, 32 * 2 ** 20]);
  });

  test('what is no number of bytes is refused by name', () => {
    for (const [option, value] of [
      ['maxBytes', '1MB'],
      ['maxBytes', -1],
      ['maxEntryBytes', 0.5],
      ['maxEntryBytes', Number.POSITIVE_INFINITY],
    ] as const) {
      assert.throws(() => new MemoryCache({ [option]: value }), { code: 'ERR_CACHE_FILTER_OPTION', option });
    }
  });

  test('an option that it does not have is refused, with the nearest that it has', () => {
    assert.throws(() => new MemoryCache({ maxByte: 1 } as never), {
      option: 'maxByte',
      message: /unknown option "maxByte"; did you mean maxBytes\?/,
    });
  });

  test('an entry is found without a wait, and its bytes are at hand', async () => {
    const cache = new MemoryCache();
    await put(cache, { primary: '/a' }, bytesOf(1000));
    const entry = cache.open({ primary: '/a' });
    assert.ok(entry !== undefined && !(entry instanceof Promise));
    assert.ok(bytesOf(1000).equals(entry.bytes ?? Buffer.alloc(0)));
    entry.release();
  });

  test('empty bodies are charged as well', async () => {
    const cache = new MemoryCache({ maxBytes: 10_000 });
    for (let i = 0; i < 100; i++) await put(cache, { primary: `/${i}` }, Buffer.alloc(0));
    const { entries, bytes } = await cache.stats();
    assert.ok(entries > 0 && entries < 100 && bytes <= 10_000, `${entries} entries, ${bytes} bytes`);
    (await opened(cache, { primary: '/99' })).release();
  });
});
