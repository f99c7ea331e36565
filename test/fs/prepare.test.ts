/** Several processes that start at the same moment, on a directory that nobody has made yet. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { temporaryDirectory } from '../support/directory.ts';
import type { Told } from './prepare-worker.ts';

describe('a directory that is made', () => {
  test('by several at once is there for all of them', async (t) => {
    const told: Told = {
      directory: temporaryDirectory(t),
      rounds: 100,
      workers: 4,
      shared: new SharedArrayBuffer(4),
    };
    const failures = Array.from({ length: told.workers }, () => {
      const worker = new Worker(new URL('prepare-worker.ts', import.meta.url), { workerData: told });
      return new Promise<string[]>((resolve, reject) => worker.on('message', resolve).on('error', reject));
    });
    assert.deepEqual((await Promise.all(failures)).flat(), []);
  });
});
