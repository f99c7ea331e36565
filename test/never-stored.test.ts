// docs/evidence/never-stored.md

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { GROUPS, SHARED } from './never-stored/groups.ts';
import { COMMAND, PAGE, page } from './never-stored/page.ts';
import { atOnce, inTurn } from './never-stored/run.ts';

const LIMIT = { timeout: 60_000 };

for (const { title, cases } of [...GROUPS, SHARED]) {
  describe(title, { concurrency: 8 }, () => {
    for (const each of cases) {
      test(each.name, LIMIT, (t) => inTurn(t, each));
      if (!each.inTurn) test(`${each.name}; both at once`, LIMIT, (t) => atOnce(t, each));
    }
  });
}

test(`${PAGE} is what the cases say`, () => {
  const written = readFileSync(new URL(`../${PAGE}`, import.meta.url), 'utf8');
  assert.equal(written, page(), `the page is out of date; write it with: ${COMMAND}`);
});

test('every case has a name of its own within its group, and a rule', () => {
  for (const { title, cases } of GROUPS) {
    const names = cases.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length, title);
    for (const { name, rule } of cases) assert.notEqual(rule, '', name);
  }
  assert.ok(GROUPS.flatMap(({ cases }) => cases).length >= 100);
});
