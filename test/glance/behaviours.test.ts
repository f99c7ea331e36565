// docs/reference/glance-behaviours.md

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

/** Those about several at once have their tests elsewhere. */
const ELSEWHERE = [44, 52, 53, 66, 67, 70, 71, 72];
const ALL = Array.from({ length: 88 }, (_, i) => i + 1);

const here = new URL('./', import.meta.url);
const page = readFileSync(new URL('../../docs/reference/glance-behaviours.md', here), 'utf8');

/** The files here that have a test of that number. */
function testedIn(number: number): string[] {
  return readdirSync(here)
    .filter((file) => file.endsWith('.test.ts'))
    .filter((file) => new RegExp(`['"\`]${number}\\. `).test(readFileSync(new URL(file, here), 'utf8')))
    .sort();
}

const rows = [...page.matchAll(/^\| (\d+) \|(.*)\|(.*)\|(.*)\|$/gm)].map(
  ([, number, glance = '', ours = '', links = '']) => ({
    number: Number(number),
    glance: glance.trim(),
    ours: ours.trim(),
    files: [...links.matchAll(/\]\(\.\.\/\.\.\/(test\/[^)]+)\)/g)].map(([, path = '']) => path),
  }),
);

test('every behaviour has a test that is named by its number', () => {
  const without = ALL.filter((number) => !ELSEWHERE.includes(number) && testedIn(number).length === 0);
  assert.deepEqual(without, []);
});

test('the table has every behaviour once, in order, says what Glance does, and how ours stands to that', () => {
  assert.deepEqual(
    rows.map(({ number }) => number),
    ALL,
  );
  for (const { number, glance, ours } of rows) {
    assert.notEqual(glance, '', String(number));
    assert.match(ours, /^(same\b|(mended|option|not yet): )/, String(number));
  }
});

test('the table leads to exactly those files that have a test of the number', () => {
  for (const { number, ours, files } of rows) {
    const inHere = files
      .filter((path) => path.startsWith('test/glance/'))
      .map((path) => path.slice('test/glance/'.length));
    assert.deepEqual(inHere.sort(), testedIn(number), String(number));
    assert.equal(files.length === 0, ours.startsWith('not yet'), `${number}: a test, or nothing to test`);
  }
});
