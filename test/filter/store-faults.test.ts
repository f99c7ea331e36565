/** The store fails under a running filter: clients get what is right or see that it is not, and the store comes back by itself. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { bytesOf, settled } from '../../lib/contracts/cache/steps.ts';
import { Disk } from '../cache/disk.ts';
import { mountTmpfs } from '../cache/limits.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { StoreProcess } from './store-process.ts';

const MIB = 2 ** 20;

/** Few enough that what is given back when the fill fails is no room to come back with. */
const LED = '/files/led/262144/gated';
const SMALL = '/files/small/65536';
const LARGE = '/files/large/3000000';
const PURGED = '/files/purged/70000';

interface Place {
  directory: string;
  uid?: number;
  process: StoreProcess;
}

interface Fault {
  name: string;
  /** What the store is said to be, and the system's error that is given for it. */
  says: ['read-only' | 'down', ...(string | undefined)[]];
  /** What those get who were reading a fill. 'none': with this fault there can't be any. */
  readers: 'whole' | 'whole or cut' | 'none';
  /** Whether what was stored before is there afterwards. */
  keeps: boolean;
  place(t: TestContext): Place | undefined;
  /** Brings the fault about, and makes sure that it has been. Resolves to what takes it away again. */
  impose(place: Place): Promise<() => Promise<void>>;
}

const FAULTS: Fault[] = [
  {
    name: 'the disk is full',
    says: ['read-only', 'ENOSPC'],
    readers: 'whole',
    keeps: true,
    place: (t) => onTmpfs(t),
    async impose({ directory }) {
      const path = join(dirname(directory), 'filler');
      const file = openSync(path, 'w');
      const met = new Set<unknown>();
      for (const size of [MIB, 4096, 1]) {
        try {
          for (;;) writeSync(file, Buffer.alloc(size));
        } catch (error) {
          met.add((error as NodeJS.ErrnoException).code);
        }
      }
      closeSync(file);
      assert.deepEqual([...met], ['ENOSPC'], 'the fault');
      return async () => rmSync(path);
    },
  },
  {
    name: 'the file system becomes read-only',
    says: ['read-only', 'EROFS'],
    // It can't while a file is open for writing.
    readers: 'none',
    keeps: true,
    place: (t) => onTmpfs(t),
    async impose({ directory }) {
      const remount = (mode: string) =>
        spawnSync('mount', ['-o', `remount,${mode}`, dirname(directory)]).status;
      assert.equal(remount('ro'), 0, 'the fault');
      assert.throws(() => writeFileSync(join(directory, 'any'), ''), { code: 'EROFS' }, 'the fault');
      return async () => assert.equal(remount('rw'), 0);
    },
  },
  {
    name: 'the directory is removed',
    // A fill that comes to its end first makes a part of it anew.
    says: ['down', 'ENOENT', undefined],
    readers: 'whole',
    keeps: false,
    place: (t) => inTemporary(t),
    async impose({ directory }) {
      rmSync(directory, { recursive: true });
      // It is made anew without anybody's help.
      return async () => undefined;
    },
  },
  {
    name: 'the directory is removed, and somebody makes it anew',
    says: ['down', undefined],
    readers: 'whole',
    keeps: false,
    place: (t) => inTemporary(t),
    async impose({ directory }) {
      rmSync(directory, { recursive: true });
      for (const folder of ['entries', 'incomplete'])
        mkdirSync(join(directory, 'v1', folder), { recursive: true });
      return async () => undefined;
    },
  },
  {
    name: 'a file is in the place of the directory',
    says: ['down', 'ENOTDIR'],
    readers: 'whole',
    keeps: true,
    place: (t) => inTemporary(t),
    async impose({ directory }) {
      renameSync(directory, `${directory}-aside`);
      writeFileSync(directory, 'in the way');
      return async () => {
        rmSync(directory);
        renameSync(`${directory}-aside`, directory);
      };
    },
  },
  {
    name: 'the directory may not be entered any more',
    says: ['down', 'EACCES'],
    readers: 'whole',
    keeps: true,
    place(t) {
      const directory = join(temporaryDirectory(t), 'cache');
      if (process.getuid?.() !== 0) return { directory, process: new StoreProcess(t) };
      // Permissions don't bind root.
      const uid = Number(spawnSync('id', ['-u', 'nobody']).stdout);
      assert.ok(uid > 0, 'there is nobody');
      mkdirSync(directory);
      for (const path of [dirname(directory), directory]) chownSync(path, uid, uid);
      return { directory, uid, process: new StoreProcess(t) };
    },
    async impose({ directory }) {
      const { mode } = statSync(directory);
      chmodSync(directory, 0);
      return async () => chmodSync(directory, mode & 0o777);
    },
  },
  {
    name: 'the process has as many files open as it may',
    says: ['read-only', 'EMFILE'],
    readers: 'whole',
    keeps: true,
    place(t) {
      if (process.platform === 'win32') return undefined;
      const directory = join(temporaryDirectory(t), 'cache');
      return { directory, process: new StoreProcess(t, { shell: 'ulimit -n 96 && exec "$@"' }) };
    },
    async impose({ process }) {
      assert.equal(await process.tell('exhaust'), 'EMFILE', 'the fault');
      return () => process.tell('relent');
    },
  },
  ...(['writes', 'writes and reads'] as const).map(
    (what): Fault => ({
      name: `the disk answers ${what} with errors`,
      says: [what === 'writes' ? 'read-only' : 'down', 'EIO'],
      readers: what === 'writes' ? 'whole' : 'whole or cut',
      keeps: true,
      place(t) {
        const directory = join(temporaryDirectory(t), 'cache');
        const hook = new URL('../support/fault-hook.mjs', import.meta.url).href;
        return { directory, process: new StoreProcess(t, { imports: [hook] }) };
      },
      async impose({ directory, process }) {
        const reads = what !== 'writes';
        await process.tell('fault', { code: 'EIO', below: directory, writes: true, reads });
        return async () => assert.ok((await process.tell('fault', null)) > 0, 'the fault');
      },
    }),
  ),
];

function inTemporary(t: TestContext): Place {
  return { directory: join(temporaryDirectory(t), 'cache'), process: new StoreProcess(t) };
}

function onTmpfs(t: TestContext): Place | undefined {
  const path = mountTmpfs(t, 16 * MIB);
  return path === undefined ? undefined : { directory: join(path, 'cache'), process: new StoreProcess(t) };
}

interface Got {
  status: number;
  said: string;
  body: Buffer;
  complete: boolean;
}

/** A client with connections that are open before anything goes wrong. */
class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  readonly #port: number;

  constructor(t: TestContext, port: number) {
    this.#port = port;
    t.after(() => this.#agent.destroy());
  }

  /** As many connections as there will ever be. */
  async connect(): Promise<void> {
    const all = Array.from({ length: 8 }, () => this.begin('/elsewhere'));
    for (const each of all) await (await each).got;
  }

  async get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Got> {
    return settled((await this.begin(path, headers, method)).got, `${method} ${path}`);
  }

  /** Resolves when its head has come, and a byte of the body. */
  async begin(
    path: string,
    headers: Record<string, string> = {},
    method = 'GET',
  ): Promise<{ got: Promise<Got> }> {
    const req = request({ port: this.#port, host: '127.0.0.1', path, method, headers, agent: this.#agent });
    const res = await settled(
      new Promise<IncomingMessage>((resolve, reject) =>
        req.on('response', resolve).on('error', reject).end(),
      ),
      `the head of ${path}`,
    );
    const chunks: Buffer[] = [];
    const got = new Promise<Got>((resolve) => {
      res.on('error', () => undefined);
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('close', () =>
        resolve({
          status: res.statusCode ?? 0,
          said: String(res.headers['cache-status']).replace('cache-filter; ', ''),
          body: Buffer.concat(chunks),
          complete: res.complete,
        }),
      );
    });
    return { got };
  }
}

/** What the application has under a path. */
function bodyOf(path: string, seed = 1): Buffer {
  return bytesOf(Number(path.split('/')[3]), seed);
}

/** All of it, or visibly not. */
function isRightOrCut({ complete, body }: Got, right: Buffer, what: string): void {
  if (complete) assert.ok(body.equals(right), `${what}: looks whole, and is not what the application sent`);
  else
    assert.ok(right.subarray(0, body.byteLength).equals(body), `${what}: is cut off, and wrong before that`);
}

function isRight(got: Got, right: Buffer, what: string): void {
  assert.deepEqual([got.complete, got.body.byteLength], [true, right.byteLength], `${what}: ${got.said}`);
  assert.ok(got.body.equals(right), what);
}

async function ordeal(t: TestContext, fault: Fault): Promise<void> {
  const place = fault.place(t);
  if (place === undefined) return t.skip('mounting is not allowed here');
  const { directory, process } = place;
  const port = await process.tell('open', { directory, maxBytes: 64 * MIB }, place.uid ?? null);
  const client = new Client(t, port);
  await client.connect();
  const latest = async () => (await process.tell('health')).at(-1)?.state ?? 'up';

  for (const path of [SMALL, LARGE, PURGED]) {
    assert.match((await client.get(path)).said, /stored/);
    // Until it is hot.
    for (let i = 0; i < 2; i++) isRight(await client.get(path), bodyOf(path), path);
    assert.match((await client.get(path)).said, /^hit/);
    assert.equal(await process.tell('pin', path), 1);
  }

  // A fill in the middle: its leader, a follower, and readers of ranges in what has come and in what is to come.
  const led = bodyOf(LED);
  const ranges = [
    { start: 1000, end: 100_000 },
    { start: 100_000, end: 200_000 },
  ];
  const reading =
    fault.readers === 'none'
      ? []
      : [
          await client.begin(LED),
          await client.begin(LED),
          ...(await Promise.all(
            ranges.map(({ start, end }) => client.begin(LED, { Range: `bytes=${start}-${end - 1}` })),
          )),
        ];

  const lift = await fault.impose(place);

  await process.tell('release', LED);
  const parts = [led, led, ...ranges.map(({ start, end }) => led.subarray(start, end))];
  for (const [i, { got }] of reading.entries()) {
    const answer = await settled(got, `reader ${i}`);
    if (fault.readers === 'whole') isRight(answer, parts[i] as Buffer, `reader ${i}`);
    else isRightOrCut(answer, parts[i] as Buffer, `reader ${i}`);
  }

  // Whoever asks for something new gets it, before it is known what is wrong and after.
  for (let i = 0; (await latest()) === 'up'; i++) {
    assert.ok(i < 1000, 'so much fails, and nothing is said');
    const path = `/files/new-${i}/5000`;
    isRight(await client.get(path), bodyOf(path), path);
  }
  const [{ state, code } = { state: '', code: '' }] = await process.tell('health');
  const [worse, ...codes] = fault.says;
  assert.ok(state === worse && codes.includes(code), `${state}: ${code}`);
  assert.equal((await process.tell('stats')).state, state);
  const other = '/files/other/5000';
  const declined = await client.get(other);
  isRight(declined, bodyOf(other), other);

  // What is stored is served as far as it can be read, and what is purged never again.
  for (const path of [SMALL, LARGE]) {
    isRightOrCut(await client.get(path), bodyOf(path), path);
    isRight(await client.get(path), bodyOf(path), `${path} again`);
    const part = await client.get(path, { Range: 'bytes=10-999' });
    // The application knows no ranges.
    const right = part.status === 206 ? bodyOf(path).subarray(10, 1000) : bodyOf(path);
    isRight(part, right, `a range of ${path}`);
  }
  await process.tell('change', PURGED, 2);
  assert.equal((await client.get(PURGED, {}, 'DELETE')).status, 204);
  assert.equal(await process.tell('has', PURGED), false);
  isRight(await client.get(PURGED), bodyOf(PURGED, 2), 'what was purged');

  await lift();
  while ((await latest()) !== 'up') await new Promise((resolve) => setTimeout(resolve, 20));
  isRight(await client.get(PURGED), bodyOf(PURGED, 2), 'what was purged, afterwards');
  const after = '/files/after/5000';
  assert.match((await client.get(after)).said, /stored/);
  const hit = await client.get(after);
  assert.match(hit.said, /^hit/);
  isRight(hit, bodyOf(after), after);
  for (const path of [SMALL, LARGE]) {
    const answer = await client.get(path);
    isRight(answer, bodyOf(path), path);
    if (!codes.includes('EIO')) assert.match(answer.said, fault.keeps ? /^hit/ : /stored/, path);
  }
  const ledAgain = await client.get(LED);
  isRight(ledAgain, led, LED);
  // A fill that needs nothing of the store but what it has open comes to its end.
  assert.match(ledAgain.said, /stored|^hit/);

  while ((await process.tell('stats')).fills > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  const disk = new Disk(t, directory);
  const { bytes, entries } = await process.tell('stats');
  const records = disk.files().filter((path) => path.endsWith('.json'));
  assert.deepEqual([entries, bytes], [records.length, disk.used()], 'the account is what is on disk');
  assert.deepEqual(disk.incomplete(), [], 'nothing unfinished is left');
  const states = (await process.tell('health')).map((each) => each.state);
  // It may have been taken away in the middle of a try, so that the writing failed and the reading did not.
  const half = fault.readers === 'whole or cut' ? 'read-only' : undefined;
  assert.deepEqual(
    states.filter((each) => each !== half),
    [worse, 'up'],
  );
  const said = (await process.tell('lines')).map((line) => /\[([\w-]+)\]$/.exec(line)?.[1]);
  assert.deepEqual(said, ['store-down', 'store-up']);
  await process.tell('close');
  assert.deepEqual(await process.tell('descriptors', directory), []);
  assert.ok(process.isAlive);
}

describe('a store that fails under a running filter', () => {
  for (const fault of FAULTS) test(fault.name, (t) => ordeal(t, fault));

  test('a fill that is purged while the store lets go of nothing is not stored when it does again', async (t) => {
    const hook = new URL('../support/fault-hook.mjs', import.meta.url).href;
    const process = new StoreProcess(t, { imports: [hook] });
    const directory = join(temporaryDirectory(t), 'cache');
    const client = new Client(t, await process.tell('open', { directory }, null));
    const { got } = await client.begin(LED);
    await process.tell('fault', { code: 'EIO', below: directory, writes: true, reads: false });
    assert.deepEqual(await process.tell('invalidate', { key: LED }), { entries: 0 });
    assert.ok((await process.tell('fault', null)) > 0, 'the fault');
    assert.equal(new Disk(t, directory).incomplete().length, 2, 'claim and body are there still');
    await process.tell('release', LED);
    isRight(await got, bodyOf(LED), 'its reader');
    while ((await process.tell('stats')).fills > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(await process.tell('has', LED), false);
    // But for a probe, which is there for a moment.
    const left = new Disk(t, directory).incomplete().filter((file) => !file.endsWith('.gone'));
    assert.deepEqual(left, []);
  });
});
