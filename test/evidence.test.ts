/** What the README claims, docs/evidence shows. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WHATS } from './bench/options.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** The points of a section of README.md, each in one line. */
function points(heading: string): string[] {
  const section = read('README.md').split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...section.matchAll(/^- ((?:.*\n)(?: {2}.*\n)*)/gm)].map(([, point = '']) =>
    point.replace(/\s+/g, ' ').trim(),
  );
}

/** Rows of the tables, without their heads. */
const rows = [...read('docs/evidence/README.md').matchAll(/^\| (.+) \| `(.+)` \|(.*)\|$/gm)].map(
  ([, claim = '', command = '', result = '']) => ({ claim, command, result: result.trim() }),
);

describe('docs/evidence', () => {
  test('has a row for each point of "What it does"', () => {
    const claims = points('What it does');
    assert.ok(claims.length > 5, `${claims.length} points`);
    const without = claims.filter((point) => !rows.some(({ claim }) => point.startsWith(claim)));
    assert.deepEqual(without, []);
  });

  test('its commands can be run', () => {
    assert.ok(rows.length > 10, `${rows.length} rows`);
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const wrong = rows.flatMap(({ command }) => {
      const words = command.split(' ');
      const problems = words
        .filter((word) => word.includes('/') && !existsSync(join(root, word)))
        .map((word) => `${word}: there is no such file`);
      const script = words[1] === 'run' ? words[2] : words[1];
      if (words[0] === 'npm' && scripts[script ?? ''] === undefined) problems.push(`no script ${script}`);
      if (script === 'bench' && !WHATS.some((what) => what === words[4]))
        problems.push(`no benchmark ${words[4]}`);
      return problems.map((problem) => `${command}: ${problem}`);
    });
    assert.deepEqual(wrong, []);
  });

  test('the results that it has are of commands that succeeded', () => {
    const failed = rows.filter(({ result }) => result.includes('FAILED'));
    assert.deepEqual(failed, []);
  });
});
