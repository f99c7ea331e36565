/**
 * Runs the quick commands of docs/evidence/README.md and writes what they say into its table: `node scripts/evidence.mjs [word]`.
 * Exits with 1 if one of them failed.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const page = new URL('../docs/evidence/README.md', import.meta.url);
const root = fileURLToPath(new URL('..', import.meta.url));
const [word = ''] = process.argv.slice(2);

/** @param {string} command */
function run(command) {
  const { status, stdout } = spawnSync(command, {
    cwd: root,
    shell: true,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(stdout)?.[1]);
  const [passed, failed, skipped] = ['pass', 'fail', 'skipped'].map(count);
  // Interrupted, or no such command: that is no finding, and the page stays as it is.
  if (Number.isNaN(passed)) throw new Error(`${command} has counted no tests`);
  const ok = status === 0 && failed === 0 && passed > 0;
  const more = skipped > 0 ? `, ${skipped} skipped` : '';
  return { ok, says: ok ? `${passed} tests pass${more}` : `FAILED: ${failed} of ${passed + failed} tests` };
}

const lines = readFileSync(page, 'utf8').split('\n');
let failures = 0;
for (const [i, line] of lines.entries()) {
  const row = /^\| (.+) \| `(npm test -- [^`]+)` \|/.exec(line);
  if (row === null || !line.includes(word)) continue;
  const [, claim = '', command = ''] = row;
  const { ok, says } = run(command);
  if (!ok) failures++;
  lines[i] = `| ${claim} | \`${command}\` | ${says}; Node ${process.version} |`;
  console.log(`${claim}: ${says}`);
}
writeFileSync(page, lines.join('\n'));
process.exitCode = failures === 0 ? 0 : 1;
