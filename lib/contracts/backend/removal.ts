import { everything, listed } from './steps.ts';
import type { BackendSuite } from './suite.ts';

/** What is deleted is gone, and nothing else. */
export function removal(suite: BackendSuite): void {
  const { assert } = suite;

  suite.state('an object is deleted once', async (backend) => {
    await backend.put('a/b', Buffer.from('b'));
    await backend.put('a/c', Buffer.from('c'));
    assert.equal(await backend.delete('a/b'), true);
    assert.equal(await backend.delete('a/b'), false, 'again');
    assert.equal(await backend.get('a/b'), undefined);
    assert.deepEqual(await everything(backend), ['a/c 1']);
    for (const path of ['none', 'none/b', 'a/c/below']) assert.equal(await backend.delete(path), false, path);
  });

  suite.state('a folder with something in it stays', async (backend) => {
    await backend.put('a/b/c', Buffer.from('c'));
    assert.equal(await backend.delete('a/b'), false);
    assert.equal(await backend.delete('a'), false);
    assert.deepEqual(await everything(backend), ['a/b/c 1']);
  });

  suite.state('an empty folder is deleted, where there are such, and then it is gone', async (backend) => {
    await backend.put('a/b/c', Buffer.from('c'));
    await backend.delete('a/b/c');
    for (const path of ['a/b', 'a']) {
      const [name] = path.split('/').slice(-1);
      const folder = path.split('/').slice(0, -1).join('/');
      const wasThere = (await listed(backend, folder)).includes(`${name}/`);
      assert.equal(await backend.delete(path), wasThere, path);
      assert.equal(await backend.delete(path), false, `${path} again`);
    }
    assert.deepEqual(await listed(backend), []);
  });

  suite.state(
    'of several who delete one object, or one folder, at most one does, and none fails',
    async (backend) => {
      for (let i = 0; i < 100; i++) {
        await backend.put('a/b', Buffer.from('b'));
        for (const path of ['a/b', 'a']) {
          const done = await Promise.all(Array.from({ length: 4 }, () => backend.delete(path)));
          assert.ok(done.filter(Boolean).length <= 1, `${path}: ${done}`);
        }
      }
      assert.deepEqual(await listed(backend), []);
    },
  );

  suite.state('an empty folder is in nobody’s way', async (backend) => {
    for (const path of ['a/b/c', 'a/b', 'a', 'a/d']) {
      await backend.put(path, Buffer.from(path));
      assert.deepEqual(await everything(backend), [`${path} ${path.length}`]);
      await backend.put('elsewhere', Buffer.from('moved'));
      await backend.move('elsewhere', path);
      assert.equal((await backend.get(path))?.toString(), 'moved');
      await backend.delete(path);
    }
  });

  suite.state('what is put into a folder that is being removed is there', async (backend) => {
    for (let i = 0; i < 50; i++) {
      const put = backend.put('a/b/c', Buffer.from('c'));
      const removing = (async () => {
        for (let turn = 0; turn < 5; turn++) {
          await backend.delete('a/b');
          await backend.delete('a');
        }
      })();
      await Promise.all([put, removing]);
      assert.deepEqual(await everything(backend), ['a/b/c 1']);
      for (const path of ['a/b/c', 'a/b', 'a']) await backend.delete(path);
    }
  });
}
