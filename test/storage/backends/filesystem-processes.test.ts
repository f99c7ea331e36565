/** Several processes with one directory. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FilesystemBackend } from '../../../lib/storage/backends/filesystem.ts';
import { kill } from '../../support/told.ts';
import { BackendProcess } from './backend-process.ts';
import { onDisk } from './on-disk.ts';

describe('FilesystemBackend: several processes', () => {
  test('a lock excludes another process until it lets go', async (t) => {
    const { backend, directory } = onDisk(t);
    const child = await BackendProcess.open(t, { directory });
    await child.tell('lock', 'a');
    const failed = await backend.lock?.('a', AbortSignal.timeout(500)).catch((error: Error) => error.name);
    assert.equal(failed, 'TimeoutError');
    const waiting = backend.lock?.('a');
    await child.tell('release');
    await (await waiting)?.();
  });

  test('a process that dies loses its lock within seconds', async (t) => {
    const { backend, directory } = onDisk(t);
    const child = await BackendProcess.open(t, { directory });
    await child.tell('lock', 'a');
    assert.equal(await kill(child.child), 'SIGKILL', 'the fault');
    const begun = Date.now();
    const release = await backend.lock?.('a', AbortSignal.timeout(20_000));
    assert.ok(Date.now() - begun > 2_000, 'it was not respected at all');
    await release?.();
    assert.deepEqual(readdirSync(join(directory, 'v1', 'locks')), []);
  });

  test('what is done under a lock is done by one at a time, in whatever process', async (t) => {
    const { backend, directory } = onDisk(t);
    const children = await Promise.all([1, 2, 3].map(() => BackendProcess.open(t, { directory })));
    await Promise.all(children.map((child) => child.tell('count', 'a/number', 20)));
    assert.equal(String(await backend.get('a/number')), '60');
  });

  test('of many who find a lock of the dead, one has it at a time', async (t) => {
    const { backend, directory } = onDisk(t);
    const locks = join(directory, 'v1', 'locks');
    for (let round = 0; round < 5; round++) {
      const release = await backend.lock?.('a');
      const [name] = readdirSync(locks);
      await release?.();
      const dead = join(locks, name ?? assert.fail('no lock'));
      mkdirSync(dead);
      utimesSync(dead, new Date(Date.now() - 6_000), new Date(Date.now() - 6_000));
      let [holders, most] = [0, 0];
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const letGo = await new FilesystemBackend({ directory }).lock?.('a');
          most = Math.max(most, ++holders);
          await new Promise((resolve) => setTimeout(resolve, 5));
          holders--;
          await letGo?.();
        }),
      );
      assert.equal(most, 1, `round ${round}`);
      assert.deepEqual(readdirSync(locks), []);
    }
  });

  test('switched off, there is no lock, and nothing is written for it', (t) => {
    assert.equal(onDisk(t, { locks: false }).backend.lock, undefined);
  });
});
