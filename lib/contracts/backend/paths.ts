import type { StorageBackend } from '../../storage/backends/backend.ts';
import { everything, NAME_ERROR } from './steps.ts';
import type { BackendSuite } from './suite.ts';

const BAD: readonly unknown[] = [
  '',
  '.',
  '..',
  '/',
  '//',
  '/a',
  'a/',
  'a//b',
  './a',
  'a/.',
  'a/./b',
  '../a',
  'a/..',
  'a/../b',
  'a/../../b',
  'a/b/../../../../etc/passwd',
  '\0',
  'a\0',
  'a/b\0c',
  '\ud800',
  'a/\udc00b',
  'x'.repeat(256),
  'ä'.repeat(128),
  `a/${'😀'.repeat(64)}`,
  'a/'.repeat(512).concat('b'),
  undefined,
  null,
  1,
  ['a'],
];

/** Every operation on an object of this path. */
function operations(backend: StorageBackend, path: string): [string, () => Promise<unknown>][] {
  return [
    ['size', () => backend.size(path)],
    ['put', () => backend.put(path, Buffer.from('x'))],
    ['get', () => backend.get(path)],
    ['stream', () => backend.stream(path)],
    ['delete', () => backend.delete(path)],
    ['move from', () => backend.move(path, 'to')],
    ['move to', () => backend.move('a', path)],
    ['concatenate to', () => backend.concatenate([{ path: 'a', size: 1 }], path)],
    ['concatenate of', () => backend.concatenate([{ path, size: 1 }], 'to')],
    ...(backend.append
      ? ([['append', () => backend.append?.(path, 0)]] as [string, () => Promise<unknown>][])
      : []),
    ...(backend.lock ? ([['lock', () => backend.lock?.(path)]] as [string, () => Promise<unknown>][]) : []),
  ];
}

/** What is no path is refused, by every operation. */
export function paths(suite: BackendSuite): void {
  const { assert } = suite;

  suite.state('what is no path is refused by name, and nothing is touched', async (backend) => {
    await backend.put('a', Buffer.from('a'));
    for (const path of BAD as string[]) {
      const said = JSON.stringify(path)?.slice(0, 40);
      for (const [name, run] of operations(backend, path))
        await suite.rejects(run(), NAME_ERROR, `${name} ${said}`);
      if (path === '') continue;
      const listing = backend.list(path)[Symbol.asyncIterator]();
      await suite.rejects(listing.next(), NAME_ERROR, `list ${said}`);
    }
    assert.deepEqual(await everything(backend), ['a 1']);
  });

  suite.state('a path may have 1,024 bytes, and a component of it 255', async (backend) => {
    const component = 'ä'.repeat(127).concat('x');
    const long = [component, component, component, component].join('/');
    assert.equal(Buffer.byteLength(`${long}x`), 1_024);
    for (const path of [long, 'a/'.repeat(511).concat('bc')]) {
      await backend.put(path, Buffer.from('x'));
      assert.equal(await backend.size(path), 1, path);
      assert.equal(await backend.delete(path), true, path);
    }
  });
}
