import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { isRunning, type ProcessId, SELF } from '../../lib/fs/living.ts';

const NOT_LINUX = process.platform === 'linux' ? false : 'only Linux tells';

/** A process that says who it is, as this module sees it, and waits. */
async function another(t: TestContext): Promise<{ child: ChildProcess; id: ProcessId }> {
  const module = new URL('../../lib/fs/living.ts', import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then(({ SELF }) => process.send(SELF)); setInterval(() => {}, 1000);`;
  const flags = process.execArgv.filter((flag) => !flag.startsWith('--test'));
  const child = spawn(process.execPath, [...flags, '-e', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [id] = (await once(child, 'message')) as [ProcessId];
  return { child, id };
}

describe('whether a process runs', { skip: NOT_LINUX }, () => {
  test('this one does, under its number and nothing else', () => {
    assert.equal(SELF.pid, process.pid);
    assert.equal(isRunning(SELF), true);
    assert.equal(isRunning({ ...SELF, started: `${SELF.started}0` }), false, 'its number, given away again');
  });

  test('one that is stopped does, one that was killed does not', async (t) => {
    const { child, id } = await another(t);
    assert.equal(id.pid, child.pid);
    assert.equal(isRunning(id), true);
    child.kill('SIGSTOP');
    assert.equal(isRunning(id), true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(isRunning(id), false);
  });

  test('nor does one that has ended, and whose parent has not asked for it yet', async (t) => {
    const parent = spawn('sh', ['-c', 'sh -c "read line" <&3 & echo $!; exec 3<&-; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    });
    t.after(() => parent.kill('SIGKILL'));
    const [line] = (await once(parent.stdout as NonNullable<typeof parent.stdout>, 'data')) as [Buffer];
    const id: Partial<ProcessId> = { ...SELF, pid: Number(line.toString()) };
    assert.equal(isRunning({ ...id, started: '0' }), false, 'another start');
    (parent.stdio[3] as { end(): void }).end();
    const state = () => readFileSync(`/proc/${id.pid}/stat`, 'utf8').split(') ')[1] ?? '';
    while (!state().startsWith('Z')) await new Promise((resolve) => setTimeout(resolve, 1));
    const started = state().split(' ')[19] ?? '';
    assert.equal(isRunning({ ...id, started }), false);
  });

  test('nobody is asked for under what is no number of a process', () => {
    for (const pid of [0, -1, 1.5, Number.NaN, 2 ** 60, '1', '../self', 'self', null, {}]) {
      const claimed = { ...SELF, pid } as unknown as ProcessId;
      assert.equal(isRunning(claimed), undefined, String(pid));
    }
  });

  test('of one in another place nobody knows', () => {
    for (const other of [{ ...SELF, space: 'another boot pid:[1]' }, { host: SELF.host, pid: SELF.pid }, {}])
      assert.equal(isRunning(other), undefined);
  });
});
