/** A short run of the campaign that `npm run test:flips` is a long one of, and whether it finds what there is to be found. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { flip } from './flipping.ts';

const script = fileURLToPath(new URL('./flips.ts', import.meta.url));

async function run(t: TestContext, ...args: string[]): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, said: out + errors };
}

describe('files that are damaged at random', () => {
  test('no wrong byte is delivered, and every entry is right again afterwards', async () => {
    const complaints: string[] = [];
    const result = await flip({ count: 100, seed: 1, complain: (line) => complaints.push(line) });
    assert.deepEqual(complaints, []);
    const { rounds, wrong, unhealed, healed, damages, answers } = result;
    assert.deepEqual([rounds, wrong, unhealed], [100, 0, 0], 'rounds, wrong, unhealed');
    assert.ok(healed > 30, `${healed} were fetched anew`);
    assert.ok(answers.broken > 0, 'some broke off');
    for (const file of ['body', 'record', 'blocks', 'state'])
      assert.ok(
        Object.keys(damages).some((name) => name.startsWith(file)),
        `a ${file} was damaged`,
      );
  });

  test('a cache that checks sizes only is found out, and the exit code says so', async (t) => {
    const { code, said } = await run(t, '--plant', 'size', '--count', '25', '--seed', '1');
    assert.equal(code, 1, said);
    assert.match(said, /^25 rounds, seed 1, planted: size; Node v/);
    assert.match(
      said,
      /\n[1-9]\d* answers with wrong bytes, [1-9]\d* entries not right afterwards, in 25 rounds/,
    );
  });

  test('without anything to find it ends well, and what it can not mean it refuses', async (t) => {
    const well = await run(t, '--count', '3', '--seed', '5');
    assert.equal(well.code, 0, well.said);
    assert.match(well.said, /\n0 answers with wrong bytes, 0 entries not right afterwards, in 3 rounds/);
    for (const [args, message] of [
      [['--count', '0'], /--count must be a whole number from 1 on, got '0'/],
      [['--plant', 'tree'], /--plant knows 'size', got 'tree'/],
    ] as const) {
      const refused = await run(t, ...args);
      assert.equal(refused.code, 2, refused.said);
      assert.match(refused.said, message);
    }
  });
});
