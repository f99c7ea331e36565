/** A thousand clients for one cold file: in one process, and in four on one directory. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { Layout } from '../../lib/fs/layout.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { barrier } from '../support/filtered.ts';
import { problemsOf } from '../support/invariants.ts';
import { listening } from '../support/servers.ts';
import type { Outcome } from './many-process.ts';

const CLIENTS = 1_000;
const BODY = bytesOf(256 * 1024, 5);
const SHA256 = createHash('sha256').update(BODY).digest('hex');
const PATH = '/large';
const LIMIT = { timeout: 60_000 };

function start(t: TestContext, told: object): ChildProcess {
  const script = fileURLToPath(new URL('many-process.ts', import.meta.url));
  const flags = process.execArgv.filter((flag) => !flag.startsWith('--test'));
  const child = spawn(process.execPath, [...flags, script, JSON.stringify(told)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function message<T>(child: ChildProcess, name: string): Promise<T> {
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`a process ended with ${code} before it said ${name}`);
  });
  for (;;) {
    const [said] = (await Promise.race([once(child, 'message'), died])) as [Record<string, T>];
    if (said[name] !== undefined) return said[name];
  }
}

interface Stage {
  directory: string;
  /** Requests that came to the origin. */
  requests: () => number;
  /** Resolves with the response to the first, a part of which has been sent, and the process that has asked. */
  asked: Promise<{ pid: number; res: ServerResponse }>;
  /** Resolves with the response to the second, of which as much has been sent; of a first without any, all. */
  again: Promise<ServerResponse>;
  servers: { child: ChildProcess; port: number }[];
}

/** An origin that stops after so many bytes the first time, and so many servers on one directory before it. */
async function stage(t: TestContext, count: number, bytes: number): Promise<Stage> {
  const directory = temporaryDirectory(t);
  const asked = barrier<{ pid: number; res: ServerResponse }>();
  const again = barrier<ServerResponse>();
  let requests = 0;
  const origin = await listening(
    'http',
    createServer((req, res) => {
      res.setHeader('Content-Length', BODY.length);
      // From the third on nobody is waited for.
      if (++requests > 2) return void res.end(BODY);
      if (requests === 2) {
        again.reach(res);
        return void res.write(bytes === 0 ? BODY : BODY.subarray(0, bytes));
      }
      asked.reach({ pid: Number(req.headers['x-pid']), res });
      if (bytes > 0) res.write(BODY.subarray(0, bytes));
    }),
  );
  t.after(() => origin.close());
  const children = Array.from({ length: count }, () => start(t, { directory, origin: origin.port }));
  const servers = await Promise.all(
    children.map(async (child) => ({ child, port: await message<number>(child, 'port') })),
  );
  return { directory, requests: () => requests, asked: asked.reached, again: again.reached, servers };
}

/** The clients, all of whom have asked. */
async function crowd(t: TestContext, servers: Stage['servers']): Promise<{ outcomes: Promise<Outcome[]> }> {
  const ports = servers.map(({ port }) => port);
  const child = start(t, { ports, clients: CLIENTS, path: PATH });
  const outcomes = message<Outcome[]>(child, 'outcomes');
  await message(child, 'asked');
  return { outcomes };
}

/** Why requests went to the origin, by process. */
async function reasonsOf(servers: Stage['servers']): Promise<string> {
  const all = servers.map(({ child }) => {
    child.send({});
    return message<object>(child, 'reasons');
  });
  return JSON.stringify(await Promise.all(all));
}

function assertWhole(outcomes: readonly Outcome[], requests: number): void {
  const wrong = outcomes.filter(({ status, sha256 }) => status !== 200 || sha256 !== SHA256);
  const some = wrong.slice(0, 3).map(({ port, status, bytes }) => ({ port, status, bytes }));
  const story = `${wrong.length} of ${outcomes.length} did not get the whole, such as ${JSON.stringify(some)}; ${requests} requests`;
  assert.equal(wrong.length, 0, story);
}

describe(`${CLIENTS} clients for one cold file`, () => {
  test('one process asks the origin once', LIMIT, (t) => fetchedOnce(t, 1));
  test('four processes ask the origin once', LIMIT, (t) => fetchedOnce(t, 4));

  for (const first of ['the one that woke up', 'the one that went on in its place'] as const) {
    const name = `the process that fetches is asleep for a while, and ${first} ends first: all get the whole`;
    test(name, LIMIT, async (t) => {
      const { directory, requests, asked, servers, again } = await stage(t, 4, BODY.length / 2);
      const { outcomes } = await crowd(t, servers);
      const { pid, res } = await asked;
      const leader = servers.find(({ child }) => child.pid === pid);
      await begun(directory);
      leader?.child.kill('SIGSTOP');
      // Whoever takes it for dead asks for itself.
      const other = await again;
      const rest = BODY.subarray(BODY.length / 2);
      if (first !== 'the one that woke up') {
        other.end(rest);
        await published(directory);
      }
      leader?.child.kill('SIGCONT');
      res.end(rest);
      if (first === 'the one that woke up') {
        await published(directory);
        other.end(rest);
      }
      assertWhole(await outcomes, requests());
      assert.ok(requests() >= 2, 'the fault fired');
    });
  }

  for (const when of ['half way', 'before its head has come'] as const) {
    const name = `the process that fetches is killed ${when}: the clients of the others get the whole`;
    test(name, LIMIT, async (t) => {
      const early = when !== 'half way';
      const { directory, requests, asked, servers, again } = await stage(t, 4, early ? 0 : BODY.length / 2);
      const { outcomes } = await crowd(t, servers);
      const { pid } = await asked;
      const leader = servers.find(({ child }) => child.pid === pid);
      assert.ok(leader !== undefined);
      if (!early) await begun(directory);
      leader.child.kill('SIGKILL');
      void again.then((res) => res.end(early ? undefined : BODY.subarray(BODY.length / 2)));
      const all = await outcomes;
      const cut = all.filter(({ port }) => port === leader.port);
      assert.ok(cut.length > 0 && cut.every(({ sha256 }) => sha256 !== SHA256), 'the fault fired');
      const others = all.filter(({ port }) => port !== leader.port);
      assertWhole(others, requests());
      const why = await reasonsOf(servers.filter((each) => each !== leader));
      assert.ok(requests() <= 2, `${requests()} requests: ${why}`);
    });
  }
});

async function fetchedOnce(t: TestContext, count: number): Promise<void> {
  const { directory, requests, asked, again, servers } = await stage(t, count, BODY.length / 2);
  const rest = BODY.subarray(BODY.length / 2);
  void again.then((res) => res.end(rest));
  const { outcomes } = await crowd(t, servers);
  (await asked).res.end(rest);
  assertWhole(await outcomes, requests());
  assert.equal(requests(), 1, await reasonsOf(servers));
  // What says that other processes read along goes a little later than they do.
  for (let i = 0; i < 400 && problemsOf(directory).length > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(problemsOf(directory), []);
}

/** Resolves when there is an entry, or after a while: the fill may have been superseded. */
async function published(directory: string): Promise<void> {
  const { entries } = new Layout(directory);
  for (let i = 0; i < 400; i++) {
    const files = readdirSync(entries, { recursive: true, encoding: 'utf8' });
    if (files.some((file) => file.endsWith('.json'))) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Resolves when a fill has bytes on disk. */
async function begun(directory: string): Promise<void> {
  const { incomplete } = new Layout(directory);
  const bodies = () => readdirSync(incomplete).filter((file) => file.endsWith('.body'));
  while (!bodies().some((file) => statSync(join(incomplete, file)).size > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
