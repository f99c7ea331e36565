/** The checksums of a body's blocks: the file beside it, and what becomes of it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  BLOCK_BYTES,
  BlockSums,
  blocksFileBytes,
  countBlocks,
  decodeBlocks,
  encodeBlocks,
} from '../../lib/cache/blocks.ts';
import { bytesOf, put, settled, start, stored, write } from '../../lib/contracts/cache/steps.ts';
import { Disk } from './disk.ts';

const MIB = 2 ** 20;
const KEY = { primary: '/a' };

function sumsOf(bytes: Buffer): Uint32Array {
  return Uint32Array.from({ length: countBlocks(bytes.length) }, (_, i) =>
    crc32(bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)),
  );
}

describe('the checksums of blocks', () => {
  test('they are the same however the body comes in pieces', () => {
    const bytes = bytesOf(3 * MIB + 5);
    for (const piece of [1000, 65_536, MIB - 1, MIB, MIB + 1, 8 * MIB]) {
      const sums = new BlockSums();
      for (let at = 0; at < bytes.length; at += piece) sums.update(bytes.subarray(at, at + piece));
      assert.deepEqual(sums.all(), sumsOf(bytes), `pieces of ${piece}`);
    }
    assert.deepEqual(new BlockSums().all(), new Uint32Array(0), 'an empty body has no block');
  });

  test('their file comes back as it was; no bit of it can be changed unnoticed', () => {
    const size = 5 * MIB + 1;
    const sums = sumsOf(bytesOf(size));
    const file = encodeBlocks(size, sums);
    assert.equal(file.byteLength, blocksFileBytes(size));
    assert.deepEqual(decodeBlocks(file, size), sums);
    for (let bit = 0; bit < file.byteLength * 8; bit++) {
      const damaged = Buffer.from(file);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(decodeBlocks(damaged, size), undefined, `bit ${bit}`);
    }
    for (const length of [0, 31, file.byteLength - 1]) {
      assert.equal(decodeBlocks(file.subarray(0, length), size), undefined, `${length} bytes`);
    }
    assert.equal(decodeBlocks(Buffer.concat([file, Buffer.alloc(4)]), size), undefined, 'longer');
    assert.equal(decodeBlocks(file, size - 1), undefined, 'of another body with as many blocks');
  });
});

describe('the file of checksums', () => {
  test('it lies beside a body of more than one block, with the mode of every file, and is charged', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ fileMode: 0o640 });
    for (const [primary, size] of [
      ['/a', 3 * MIB + 7],
      ['/none', MIB],
      ['/empty', 0],
    ] as const) {
      await put(cache, { primary }, bytesOf(size));
      const path = disk.blocksPath(primary);
      assert.equal(existsSync(path), size > MIB, `${size} bytes`);
    }
    const path = disk.blocksPath('/a');
    const bytes = bytesOf(3 * MIB + 7);
    assert.deepEqual(decodeBlocks(readFileSync(path), bytes.length), sumsOf(bytes));
    assert.equal(statSync(path).mode & 0o777, 0o640);
    assert.equal((await cache.stats()).bytes, disk.used());
    await cache.close();
    assert.equal((await (await disk.cache()).stats()).bytes, disk.used(), 'after a restart');
  });

  test('it goes with the body: purged, replaced, swept', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(2 * MIB));
    const first = disk.blocksPath('/a');
    await put(cache, KEY, bytesOf(2 * MIB, 2), { claim: { newerThan: Date.now() } });
    assert.notEqual(disk.blocksPath('/a'), first);
    assert.equal(existsSync(first), false, 'replaced');
    await cache.invalidate({ key: '/a' });
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG'], 'purged');

    await put(cache, KEY, bytesOf(2 * MIB));
    await put(cache, { primary: '/b' }, bytesOf(2 * MIB));
    await cache.close();
    rmSync(disk.recordPath('/a'));
    rmSync(disk.bodyPath('/b'));
    const again = await disk.cache();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG'], 'swept');
    assert.equal((await again.stats()).bytes, 0);
  });

  test('a body whose record can no longer be read leaves none behind', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await put(cache, KEY, bytesOf(2 * MIB));
    writeFileSync(disk.recordPath('/a'), 'nothing');
    assert.equal(await cache.open(KEY), undefined);
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
  });

  test('where it can not be written nothing is stored, and nothing is left', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const fill = await start(cache, KEY);
    await write(fill, bytesOf(2 * MIB));
    const [claim = ''] = disk.incomplete().filter((file) => file.endsWith('.claim'));
    const [, id = ''] = claim.split('.');
    const name = disk.layout.name('/a', undefined);
    // Its place is taken: the name that only this fill can have.
    const { shard, path } = { shard: disk.layout.shard(name), path: disk.layout.blocks(name, id) };
    await put(cache, { primary: '/b' }, bytesOf(1));
    renameSync(disk.layout.shard(disk.layout.name('/b', undefined)), shard);
    writeFileSync(path, 'in the way');
    await assert.rejects(settled(fill.commit({}), 'commit'), { code: 'ERR_CACHE_FILTER_STORE' });
    assert.equal(await stored(cache, KEY), undefined);
    assert.equal(existsSync(path), false);
  });
});
