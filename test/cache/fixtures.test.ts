/** What every released version has written is served by this one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { EntryInfo } from '../../lib/cache/cache.ts';
import { opened, Reading } from '../../lib/contracts/cache/steps.ts';
import type { ResponseHead } from '../../lib/http/body.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { Disk } from './disk.ts';

/** A body is what `body` says in Base64, so many times. */
type Expected = EntryInfo & { head: ResponseHead; body: string; times?: number; pinned?: boolean };

const root = fileURLToPath(new URL('../fixtures/v1/', import.meta.url));
const releases = readdirSync(root).sort();

/** What this very version writes, as it will be kept when it is released. */
function written(t: TestContext): string {
  const folder = join(temporaryDirectory(t), 'written');
  const script = fileURLToPath(new URL('../../scripts/write-fixture.mjs', import.meta.url));
  execFileSync(process.execPath, [
    ...process.execArgv.filter((flag) => !flag.startsWith('--test')),
    script,
    folder,
  ]);
  return folder;
}

function filesOf(directory: string): Map<string, string> {
  const found = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  );
  return new Map(
    found.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(directory.length), readFileSync(path, 'latin1')];
    }),
  );
}

describe('a cache directory', () => {
  assert.ok(releases.includes('0.1.0'), 'fixtures of releases');

  for (const release of [...releases, 'this version']) {
    test(`that ${release} has written holds every entry, with its head and its bytes`, async (t) => {
      const folder = releases.includes(release) ? join(root, release) : written(t);
      const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected[];
      const disk = new Disk(t, join(temporaryDirectory(t), 'cache'));
      cpSync(join(folder, 'cache'), disk.directory, { recursive: true });
      const before = filesOf(disk.directory);
      assert.ok(before.size > 2 * expected.length, `${before.size} files`);
      const lines: string[] = [];
      const logger = { warn: (line: string) => lines.push(line), error: (line: string) => lines.push(line) };
      const cache = await disk.cache({ logger });

      for (const { head, body, times = 1, pinned: isPinned = false, ...info } of expected) {
        const story = JSON.stringify(info.key);
        const { hits, usedAt, pinned, ...known } = (await cache.info(info.key)) ?? {};
        assert.deepEqual(known, info, story);
        assert.deepEqual([hits, typeof usedAt, pinned], [0, 'number', isPinned], story);
        const entry = await opened(cache, info.key);
        assert.deepEqual(entry.info, info, story);
        assert.deepEqual(entry.head, head, story);
        const whole = Buffer.concat(Array.from({ length: times }, () => Buffer.from(body, 'base64')));
        assert.ok((await new Reading(entry.read()).whole()).equals(whole), story);
        entry.release();
      }
      const listed: string[] = [];
      for await (const { key } of cache.list()) listed.push(JSON.stringify(key));
      assert.deepEqual(listed.sort(), expected.map(({ key }) => JSON.stringify(key)).sort());
      const { entries, bytes, corrupt, unknown } = await cache.stats();
      assert.deepEqual([entries, corrupt, unknown], [expected.length, 0, 0]);
      assert.equal(bytes, disk.used());

      await cache.close();
      const after = filesOf(disk.directory);
      for (const [path, content] of before) {
        // That it was read is written below what there was.
        const written = path.endsWith('.state') ? after.get(path)?.slice(0, content.length) : after.get(path);
        assert.equal(written, content, path);
      }
      assert.deepEqual(lines, [], 'and nothing is said');
    });
  }
});
