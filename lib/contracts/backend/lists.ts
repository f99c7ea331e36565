import { bytesOf, listed, modifiedAt, pause } from './steps.ts';
import type { BackendSuite } from './suite.ts';

const NAMES = [
  'sha256:0123456789abcdef',
  'who@where',
  'with spaces  in it ',
  '.hidden',
  '...',
  '-',
  '_manifests',
  'ÄÖ ü€😀',
  'a%2Fb',
  'a\\b',
  'a\nb',
  'CON',
  '~',
  '*?"<>|',
  'x'.repeat(255),
];

/** What lies one level below a path. */
export function lists(suite: BackendSuite): void {
  const { assert } = suite;

  suite.state('a new backend has nothing', async (backend) => {
    assert.deepEqual(await listed(backend), []);
    assert.deepEqual(await listed(backend, 'none'), []);
    assert.deepEqual(await listed(backend, 'none/at/all'), []);
    assert.ok(backend.name !== '', 'its name');
  });

  suite.state('a listing has one level: objects with their sizes, folders without', async (backend) => {
    for (const [path, size] of [
      ['a/b/c', 1],
      ['a/b/d', 22],
      ['a/e', 333],
      ['ab', 4],
      ['f/g/h/i/j', 5],
    ] as const)
      await backend.put(path, bytesOf(size));
    assert.deepEqual(await listed(backend), ['a/', 'ab 4', 'f/']);
    assert.deepEqual(await listed(backend, 'a'), ['b/', 'e 333']);
    assert.deepEqual(await listed(backend, 'a/b'), ['c 1', 'd 22']);
    assert.deepEqual(await listed(backend, 'f/g/h'), ['i/']);
    assert.deepEqual(await listed(backend, 'ab'), [], 'of an object');
    assert.deepEqual(await listed(backend, 'ab/c'), [], 'below an object');
    for await (const { isFolder, size } of backend.list('')) assert.ok(!isFolder || size === 0);
  });

  suite.state('names are taken as they are', async (backend) => {
    for (const name of NAMES) {
      await backend.put(`objects/${name}`, Buffer.from(name));
      await backend.put(`folders/${name}/${name}`, Buffer.from(name));
    }
    const sizes = NAMES.map((name) => `${name} ${Buffer.byteLength(name)}`).sort();
    assert.deepEqual(await listed(backend, 'objects'), sizes);
    assert.deepEqual(await listed(backend, 'folders'), NAMES.map((name) => `${name}/`).sort());
    for (const name of NAMES) {
      const size = Buffer.byteLength(name);
      assert.deepEqual(await listed(backend, `folders/${name}`), [`${name} ${size}`]);
      assert.equal(await backend.size(`objects/${name}`), size, name);
      assert.equal((await backend.get(`folders/${name}/${name}`))?.toString(), name);
      await backend.move(`objects/${name}`, `moved/${name}`);
      assert.equal(await backend.delete(`moved/${name}`), true, name);
    }
    assert.deepEqual(await listed(backend, 'objects'), []);
  });

  suite.state('a large folder is listed whole, also while others come and go', async (backend) => {
    const names = Array.from({ length: 300 }, (_, i) => `object ${i}`);
    await Promise.all(names.map((name) => backend.put(`a/${name}`, bytesOf(3))));
    assert.deepEqual(await listed(backend, 'a'), names.map((name) => `${name} 3`).sort());
    const found: string[] = [];
    for await (const { name } of backend.list('a')) {
      found.push(name);
      if (found.length % 10 !== 1) continue;
      // Those that are not divisible by three go, and some come, as the listing goes on.
      const going = names.filter((_, i) => i % 3 !== 0).slice(found.length, found.length + 10);
      for (const gone of going) await backend.delete(`a/${gone}`);
      await backend.put(`a/new ${found.length}`, bytesOf(1));
    }
    const stayed = names.filter((_, i) => i % 3 === 0);
    assert.deepEqual(
      stayed.filter((name) => !found.includes(name)),
      [],
      'what was there all the time',
    );
    assert.equal(new Set(found).size, found.length, 'each once');
  });

  suite.state('a listing may be left at any time', async (backend) => {
    for (let i = 0; i < 100; i++) await backend.put(`a/${i}`, bytesOf(1));
    for (let i = 0; i < 20; i++) for await (const { size } of backend.list('a')) if (size === 1) break;
    assert.equal((await listed(backend, 'a')).length, 100);
  });

  suite.state('modifiedAt is renewed by put, move and append, and by nothing else', async (backend) => {
    const before = Date.now();
    await backend.put('a/b', bytesOf(3));
    const put = await modifiedAt(backend, 'a', 'b');
    assert.ok(Math.abs(put - before) < 60_000, `${put} is not about now, ${before}`);
    const later = async (what: string, folder: string, name: string, than: number): Promise<number> => {
      const found = await modifiedAt(backend, folder, name);
      assert.ok(found > than, `${what}: ${found} is not after ${than}`);
      await pause(50);
      return found;
    };
    await pause(50);
    await backend.get('a/b');
    await backend.size('a/b');
    await backend.put('a/c', bytesOf(1));
    assert.equal(await modifiedAt(backend, 'a', 'b'), put, 'after it was read');
    await backend.put('a/b', bytesOf(3));
    const again = await later('put again', 'a', 'b', put);
    await backend.move('a/b', 'c/d');
    const moved = await later('moved', 'c', 'd', again);
    const appending = await backend.append?.('c/d', 3);
    await appending?.write(bytesOf(1));
    await appending?.close();
    if (appending !== undefined) await later('appended to', 'c', 'd', moved);
  });
}
