/** Whatever a key looks like, it is hashed: behaviour of a cache does not depend on it, and no path does. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { bytesOf, lead, opened, put, stored } from '../../lib/contracts/cache/steps.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { Disk } from './disk.ts';

const KEYS = [
  '',
  '.',
  '..',
  '/',
  '../v1',
  '../../outside',
  '../../outside/file',
  '..\\..\\outside',
  '%2e%2e/outside',
  'cache.db',
  'CACHEDIR.TAG',
  'v1',
  'queue',
  'incomplete',
  'entries',
  'entries/ab',
  '~',
  '-rf',
  '*',
  'CON',
  'nul',
  'COM1.json',
  'LPT1',
  'C:\\outside',
  '\\\\server\\share',
  'file.',
  'file ',
  'file::$DATA',
  '\0',
  'a\0b',
  'a\nb',
  'a\r\nb',
  '\u202egnp.exe',
  '\u00e9',
  'e\u0301',
  '\u212b',
  '\u00c5',
  'A\u030a',
  'K',
  '\u212a',
  'k',
  '\ufeffk',
  'x'.repeat(10_000),
  `${'x'.repeat(9_999)}y`,
  '__proto__',
  'constructor',
  '[object Object]',
  'undefined',
];

const OURS =
  /^v1(\/(CACHEDIR\.TAG|entries|incomplete|queue)|\/(queue|entries\/[0-9a-f]{2})\/[0-9a-f]{64}(-[0-9a-f]{16})?\.json|\/entries\/[0-9a-f]{2}(\/[0-9a-f]{64}(-[0-9a-f]{16})?\.[0-9a-f]{16}\.(body|state))?|\/incomplete\/[0-9a-f]{64}(-[0-9a-f]{16})?\.[0-9a-f]{16}\.(claim|body))?$/;

describe('keys that look like something else', () => {
  test('only hashed names below the directory are ever touched, and keys are kept apart', async (t) => {
    const parent = join(temporaryDirectory(t), 'parent');
    mkdirSync(join(parent, 'outside'), { recursive: true });
    for (const file of ['outside/file', 'cache.db', 'queue', 'v1']) writeFileSync(join(parent, file), file);
    const around = () =>
      readdirSync(dirname(parent), { recursive: true })
        .map(String)
        .filter((path) => !path.startsWith(join('parent', 'cache')) || path === join('parent', 'cache.db'))
        .sort();
    const before = around();
    const disk = new Disk(t, join(parent, 'cache'));
    const cache = await disk.cache();
    const check = (after: string) => {
      assert.deepEqual(around(), before, `around the directory, after ${after}`);
      const strange = readdirSync(disk.directory, { recursive: true })
        .map((path) => String(path).replaceAll('\\', '/'))
        .filter((path) => !OURS.test(path));
      assert.deepEqual(strange, [], `in the directory, after ${after}`);
    };

    for (const primary of KEYS) {
      const key = { primary };
      assert.equal(await cache.open(key), undefined, `open ${JSON.stringify(primary)}`);
      assert.equal(await cache.info(key), undefined);
      assert.equal(await cache.pin(primary, true), 0);
      assert.equal(await cache.invalidate({ key: primary }), 0);
      assert.equal(await cache.queue.remove({ key: primary }), 0);
    }
    check('asking');
    for (const primary of KEYS) {
      assert.equal(await cache.queue.add({ primary }, primary), true, `queue ${JSON.stringify(primary)}`);
    }
    check('queueing');
    const queued = [];
    for await (const { key, note } of cache.queue.list()) {
      assert.equal(note, key.primary);
      queued.push(key.primary);
    }
    assert.deepEqual(queued, KEYS);

    const leaders = [];
    for (const primary of KEYS) leaders.push(await lead(cache, { primary, variant: primary }));
    check('claiming');
    for (const leader of leaders) await leader.abandon();
    for (const [i, primary] of KEYS.entries()) await put(cache, { primary }, bytesOf(100, i));
    assert.equal(disk.files(disk.layout.queue).length, 0, 'each commit has cleared its own marker');
    check('storing');

    for (const [i, primary] of KEYS.entries()) {
      for (let hit = 0; hit < i % 3; hit++) (await opened(cache, { primary })).release();
      assert.equal(await cache.pin(primary, i % 2 === 0), 1, `pin ${JSON.stringify(primary)}`);
    }
    await cache.close();
    check('closing');
    const again = await disk.cache();
    for (const [i, primary] of KEYS.entries()) {
      const { key, hits, pinned } = (await again.info({ primary })) ?? {};
      assert.deepEqual([key, hits, pinned], [{ primary }, i % 3, i % 2 === 0], JSON.stringify(primary));
      assert.ok((await stored(again, { primary }))?.equals(bytesOf(100, i)), JSON.stringify(primary));
    }
    for (const [i, primary] of KEYS.entries()) {
      assert.equal(await again.invalidate({ key: primary }), 1, `invalidate ${JSON.stringify(primary)}`);
      assert.equal((await again.stats()).entries, KEYS.length - i - 1);
    }
    check('purging');
    await again.close();
    assert.deepEqual(disk.files(), ['v1/CACHEDIR.TAG']);
    assert.equal(readFileSync(join(parent, 'outside', 'file'), 'utf8'), 'outside/file');
  });
});
