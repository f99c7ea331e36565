/** What `package.json` and the lock file promise. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown
>;

describe('package', () => {
  test('every file that package.json points to is built from one in lib/', () => {
    const { main, types, bin, exports } = manifest;
    const built = stringsIn({ main, types, bin, exports }).filter((path) => path !== './package.json');
    assert.notEqual(built.length, 0);
    for (const path of built) {
      const source = path.replace('./dist/', '../lib/').replace(/(\.d\.ts|\.js)$/, '.ts');
      assert.ok(
        path.startsWith('./dist/') && existsSync(new URL(source, import.meta.url)),
        `${path} has no source ${source}`,
      );
    }
  });

  test('the lock file records what a package is, not where it was downloaded from', () => {
    const lock = readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8');
    assert.equal(lock.includes('"resolved"'), false, '"resolved" in package-lock.json');
    const { packages } = JSON.parse(lock) as { packages: Record<string, { integrity?: string }> };
    const unproven = Object.keys(packages).filter(
      (path) => path !== '' && packages[path]?.integrity === undefined,
    );
    assert.deepEqual(unproven, [], 'packages without integrity in package-lock.json');
  });

  test('these tests try what CACHE_FILTER_TEST names: the source, or the build', () => {
    const expected = process.env['CACHE_FILTER_TEST'] === 'dist' ? '/dist/index.js' : '/lib/index.ts';
    const loaded = import.meta.resolve('../lib/index.ts');
    assert.ok(loaded.endsWith(expected), `${loaded} should end with ${expected}`);
  });
});

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : [];
}
