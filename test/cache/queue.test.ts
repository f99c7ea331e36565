/** What is queued for fetching, as it lies on disk. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Cache, CacheQueue, Key } from '../../lib/cache/cache.ts';
import { MemoryQueue } from '../../lib/cache/memory-queue.ts';
import { FileQueue, type QueueOwner } from '../../lib/cache/queue.ts';
import { bytesOf, lead, put } from '../../lib/contracts/cache/steps.ts';
import { CacheProcess } from './cache-process.ts';
import { Disk } from './disk.ts';

async function names({ queue }: { queue: CacheQueue }): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of queue.list()) found.push(key.primary);
  return found;
}

function markerPath(disk: Disk, primary: string): string {
  return disk.layout.marker(disk.layout.name(primary, undefined));
}

describe('the queue on disk', () => {
  test('a marker is a file that says what was queued', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await cache.queue.add({ primary: '/a', variant: '?b' }, 'http://origin.example/a?b');
    const path = disk.layout.marker(disk.layout.name('/a', '?b'));
    const { key, note, queuedAt } = JSON.parse(readFileSync(path, 'utf8'));
    assert.deepEqual([key, note], [{ primary: '/a', variant: '?b' }, 'http://origin.example/a?b']);
    assert.ok(Math.abs(Date.now() - queuedAt) < 60_000);
    assert.equal(statSync(path).mode & 0o777, 0o600 & ~process.umask());
    assert.equal(statSync(disk.layout.queue).mode & 0o777, 0o700 & ~process.umask());
  });

  test('it survives a restart, in its order', async (t) => {
    const disk = new Disk(t);
    const first = await disk.cache();
    const expected = Array.from({ length: 20 }, (_, i) => `/${(i * 7) % 20}`);
    for (const primary of expected) await first.queue.add({ primary }, `note of ${primary}`);
    await first.close();
    const second = await disk.cache();
    assert.deepEqual(await names(second), expected);
    for await (const { key, note } of second.queue.list()) assert.equal(note, `note of ${key.primary}`);
    assert.equal(await second.queue.add({ primary: '/3' }), false);
    await put(second, { primary: '/3' }, bytesOf(10));
    assert.deepEqual(
      await names(await disk.cache()),
      expected.filter((each) => each !== '/3'),
    );
  });

  test('of several processes one queues a key', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache();
    for (let i = 0; i < 20; i++) {
      const key = { primary: `/${i}` };
      const answers = await Promise.all([child.tell('queue', key), cache.queue.add(key)]);
      assert.deepEqual([...answers].sort(), [false, true], key.primary);
    }
    assert.equal((await names(cache)).length, 20);
  });

  test('what another process fetches is not queued; once it is dead, it is', async (t) => {
    const disk = new Disk(t);
    const child = await CacheProcess.open(t, { directory: disk.directory });
    const cache = await disk.cache();
    await child.tell('start', { primary: '/a' }, {});
    assert.equal(await cache.queue.add({ primary: '/a' }), false);
    assert.equal(await child.kill(), 'SIGKILL', 'the fault');
    for (const file of disk.incomplete()) disk.age(join(disk.layout.incomplete, file), 60_000);
    assert.equal(await cache.queue.add({ primary: '/a' }), true);
  });

  test('what is stored while it is being queued is taken out again', async (t) => {
    const disk = new Disk(t);
    let asked = 0;
    const queue = new FileQueue({
      ...owner(disk),
      // Not yet, when it is asked first.
      isStored: async () => asked++ > 0,
    });
    assert.equal(await queue.add({ primary: '/a' }), false);
    assert.equal(asked, 2);
    assert.deepEqual(await names({ queue }), []);
  });

  test('a damaged marker is passed over and removed, one that is being written only passed over', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const damages: Record<string, (path: string) => void> = {
      '/cut': (path) => truncateSync(path, 20),
      '/empty': (path) => truncateSync(path, 0),
      '/changed': (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('changed', 'chanced')),
      '/other': (path) => writeFileSync(path, '{"some":"json"}'),
    };
    for (const primary of ['/whole', ...Object.keys(damages)]) await cache.queue.add({ primary });
    for (const [primary, damage] of Object.entries(damages)) damage(markerPath(disk, primary));
    assert.deepEqual(await names(cache), ['/whole']);
    assert.equal(disk.files(disk.layout.queue).length, 5, 'as young as they are, they are spared');
    for (const primary of Object.keys(damages)) disk.age(markerPath(disk, primary), 60_000);
    assert.deepEqual(await names(cache), ['/whole']);
    assert.equal(disk.files(disk.layout.queue).length, 1);
    assert.equal(await cache.queue.add({ primary: '/cut' }), true, 'and can be queued again');
  });

  test('other files in its place are left alone', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    await cache.queue.add({ primary: '/a' });
    const stray = join(disk.layout.queue, 'notes.txt');
    writeFileSync(stray, 'not ours');
    assert.deepEqual(await names(cache), ['/a']);
    assert.equal(await cache.queue.remove({ all: true }), 1);
    assert.ok(statSync(stray).isFile());
  });

  test('its files count in the budget, after a restart as well', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache({ maxBytes: 2 ** 20 });
    await put(cache, { primary: '/old' }, bytesOf(2 ** 18));
    const { bytes } = await cache.stats();
    for (let i = 0; i < 10; i++) await cache.queue.add({ primary: `/${i}` }, 'n'.repeat(i * 1500));
    const queued = disk.files(disk.layout.queue).reduce((sum, file) => {
      return sum + Math.ceil(statSync(join(disk.directory, file)).size / 4096) * 4096;
    }, 0);
    assert.equal((await cache.stats()).bytes, bytes + queued);
    assert.equal((await (await disk.cache()).stats()).bytes, bytes + queued);
    await cache.queue.remove({ all: true });
    assert.equal((await cache.stats()).bytes, bytes);
  });

  test('where it can not be written, add says so, and nothing else breaks', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    writeFileSync(disk.layout.queue, 'in the way');
    await assert.rejects(cache.queue.add({ primary: '/a' }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'ERR_CACHE_FILTER_STORE');
      assert.ok(
        ['EEXIST', 'ENOTDIR'].includes((error.cause as NodeJS.ErrnoException).code ?? ''),
        'the fault',
      );
      return true;
    });
    assert.deepEqual(await names(cache), []);
    await put(cache, { primary: '/a' }, bytesOf(10));
    assert.equal(await cache.invalidate({ all: true }), 1);
    rmSync(disk.layout.queue);
    mkdirSync(disk.layout.queue);
    assert.equal(await cache.queue.add({ primary: '/a' }), true);
    await (await lead(cache, { primary: '/a' })).abandon();
  });
});

/** A cache that has nothing, and fetches nothing. */
function owner(disk: Disk, charge: QueueOwner['charge'] = () => undefined): QueueOwner {
  return {
    layout: disk.layout,
    modes: { file: 0o600, directory: 0o700 },
    isDown: () => false,
    isFetched: () => false,
    isStored: async () => false,
    charge,
  };
}

describe('the account of the queue', () => {
  test('comes out right however adding, removing and counting interleave', async (t) => {
    const disk = new Disk(t);
    let charged = 0;
    const queue = new FileQueue(owner(disk, (bytes) => (charged = bytes)));
    let over = false;
    const counting = (async () => {
      let counts = 0;
      for (; !over; counts++) await queue.count();
      return counts;
    })();
    const keys = Array.from({ length: 40 }, (_, i) => ({ primary: `/${i}` }));
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        keys.map((key, i) => (i % 3 === round % 3 ? queue.remove({ key: key.primary }) : queue.add(key))),
      );
    }
    over = true;
    assert.ok((await counting) > 10, 'it was counted meanwhile');
    const files = disk.files(disk.layout.queue);
    assert.ok(files.length > 0);
    assert.equal(charged, files.length * 4096);
    await queue.remove({ all: true });
    assert.equal(charged, 0);
  });

  test('a count finds what another process has queued and taken out', async (t) => {
    const disk = new Disk(t);
    let charged = 0;
    const [one, two] = [new FileQueue(owner(disk, (bytes) => (charged = bytes))), new FileQueue(owner(disk))];
    await one.add({ primary: '/mine' });
    await two.add({ primary: '/other' }, 'n'.repeat(5000));
    await one.count();
    assert.equal(charged, 4096 + 8192);
    await two.remove({ all: true });
    await one.count();
    assert.equal(charged, 0);
  });

  test('goes by when the directory was changed: names are read again only after that', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const disk = new Disk(t);
    let charges: number[] = [];
    const queue = new FileQueue(owner(disk, (bytes) => charges.push(bytes)));
    t.after(() => queue.close());
    const other = new FileQueue(owner(disk));
    await other.add({ primary: '/a' });
    const look = async () => {
      charges = [];
      t.mock.timers.tick(10_000);
      // After whatever that has begun.
      await queue.count();
      return charges.length - 1;
    };
    const change = (seconds: number) => utimesSync(disk.layout.queue, seconds, seconds);
    change(1_000_000_000);
    await queue.start();
    assert.equal(await look(), 0, 'nothing has changed');
    await other.add({ primary: '/b' });
    change(1_000_000_001);
    assert.equal(await look(), 1);
    assert.equal(charges.at(-1), 2 * 4096);
    change(Date.now() / 1000 + 60);
    await queue.count();
    assert.equal(await look(), 1, 'what was changed just now may change again within a tick of the clock');
  });
});

describe('a queue that is full', () => {
  const full = { code: 'ERR_CACHE_FILTER_QUEUE_FULL', limit: 3, status: 503, message: /limit of 3 keys/ };
  const keys: Key[] = ['/a', '/b', '/c'].map((primary) => ({ primary }));
  const queues: [string, (disk: Disk) => CacheQueue][] = [
    ['on disk', (disk) => new FileQueue(owner(disk), 3)],
    ['in memory', () => new MemoryQueue(() => false, 3)],
  ];
  for (const [where, make] of queues) {
    test(`${where}, it takes no more, and says its limit`, async (t) => {
      const queue: Pick<Cache, 'queue'>['queue'] = make(new Disk(t));
      for (const key of keys) assert.equal(await queue.add(key), true);
      await assert.rejects(queue.add({ primary: '/d' }), full);
      await queue.remove({ key: '/b' });
      assert.equal(await queue.add({ primary: '/d' }), true);
      await assert.rejects(queue.add({ primary: '/e' }), full);
      assert.deepEqual(await names({ queue }), ['/a', '/c', '/d']);
    });
  }

  test('on disk, what other processes take out makes room', async (t) => {
    const disk = new Disk(t);
    const [one, two] = [new FileQueue(owner(disk), 3), new FileQueue(owner(disk), 3)];
    for (const key of keys) await one.add(key);
    await assert.rejects(two.add({ primary: '/d' }), full);
    await two.remove({ key: '/a' });
    assert.equal(await one.add({ primary: '/d' }), true);
  });
});
