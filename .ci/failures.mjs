/** What failed, and why, from the TAP that test-suites have printed: `node .ci/failures.mjs LOG...`. For the end of a long log. */
import { readFileSync } from 'node:fs';

/** Lines of a failure's account that are shown at most. */
const MOST = 40;

for (const log of process.argv.slice(2)) {
  const lines = readFileSync(log, 'utf8').split('\n');
  /** @type {string[]} */
  const path = [];
  for (const [i, line] of lines.entries()) {
    const [, indent, name] = /^( *)# Subtest: (.*)$/.exec(line) ?? [];
    if (indent !== undefined && name !== undefined) path.splice(indent.length / 4, path.length, name);
    const failed = /^( *)not ok \d+ - (.*)$/.exec(line);
    if (failed === null || / # (SKIP|TODO)/.test(line)) continue;
    const [, depth = '', test = ''] = failed;
    const begin = `${depth}  ---`;
    const rest = lines[i + 1] === begin ? lines.slice(i + 2) : [];
    const account = rest.slice(0, rest.indexOf(`${depth}  ...`));
    // Of a suite it only says that one of its tests failed.
    if (account.some((each) => each.includes("failureType: 'subtestsFailed'"))) continue;
    console.log(`\nnot ok: ${[...path.slice(0, depth.length / 4), test].join(' > ')}`);
    for (const each of account.slice(0, MOST)) console.log(each.slice(depth.length));
  }
}
