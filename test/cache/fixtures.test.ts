/** What every released version has written is served by this one. */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { EntryInfo } from '../../lib/cache/cache.ts';
import { opened, Reading } from '../../lib/contracts/cache/steps.ts';
import type { ResponseHead } from '../../lib/http/body.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { Disk } from './disk.ts';

type Expected = EntryInfo & { head: ResponseHead; body: string };

const root = fileURLToPath(new URL('../fixtures/v1/', import.meta.url));
const releases = readdirSync(root).sort();

function filesOf(directory: string): Map<string, string> {
  const found = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  );
  return new Map(
    found.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(directory.length), readFileSync(path, 'base64')];
    }),
  );
}

describe('a cache directory', () => {
  assert.ok(releases.includes('0.1.0'), 'fixtures of releases');

  for (const release of releases) {
    test(`that ${release} has written holds every entry, with its head and its bytes`, async (t) => {
      const folder = join(root, release);
      const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected[];
      const disk = new Disk(t, join(temporaryDirectory(t), 'cache'));
      cpSync(join(folder, 'cache'), disk.directory, { recursive: true });
      const before = filesOf(disk.directory);
      assert.ok(before.size > 2 * expected.length, `${before.size} files`);
      const lines: string[] = [];
      const logger = { warn: (line: string) => lines.push(line), error: (line: string) => lines.push(line) };
      const cache = await disk.cache({ logger });

      for (const { head, body, ...info } of expected) {
        const story = JSON.stringify(info.key);
        const { hits, usedAt, pinned, ...known } = (await cache.info(info.key)) ?? {};
        assert.deepEqual(known, info, story);
        assert.deepEqual([hits, typeof usedAt, pinned], [0, 'number', false], story);
        const entry = await opened(cache, info.key);
        assert.deepEqual(entry.info, info, story);
        assert.deepEqual(entry.head, head, story);
        assert.ok((await new Reading(entry.read()).whole()).equals(Buffer.from(body, 'base64')), story);
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
      for (const [path, content] of before) assert.equal(after.get(path), content, path);
      assert.deepEqual(lines, [], 'and nothing is said');
    });
  }
});
