/** Large bodies are hashed by a thread of their own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import type { VerifyAnswer, VerifyRequest } from '../../../lib/cache/fill/hashing.ts';
import {
  bytesOf,
  hashOf,
  joined,
  Reading,
  settled,
  start,
  write,
} from '../../../lib/contracts/cache/steps.ts';
import { deferred } from '../../support/deferred.ts';
import { temporaryDirectory } from '../../support/directory.ts';
import { Disk } from '../disk.ts';

const MIB = 2 ** 20;
const KEY = { primary: '/a' };

interface Thread {
  worker: Worker;
  requests: VerifyRequest[];
  answers: VerifyAnswer[];
  /** What it is not told before this resolves. */
  gate: Promise<void> | undefined;
}

/** Every thread that this process has started, with what it was told and what it answered. */
const threads: Thread[] = [];
subscribe('worker_threads', (message) => {
  const { worker } = message as { worker: Worker };
  const thread: Thread = { worker, requests: [], answers: [], gate: undefined };
  threads.push(thread);
  const post = worker.postMessage.bind(worker);
  worker.postMessage = (request: VerifyRequest) => {
    thread.requests.push(request);
    if (thread.gate === undefined) post(request);
    else thread.gate.then(() => post(request));
  };
  worker.on('message', (answer: VerifyAnswer) => thread.answers.push(answer));
});

function current(): (typeof threads)[number] {
  const thread = threads.at(-1);
  if (thread === undefined) throw new Error('no thread has been started');
  return thread;
}

describe('the verification thread', () => {
  test('small bodies need none', async (t) => {
    const cache = await new Disk(t).cache();
    const bytes = bytesOf(256 * 1024);
    const fill = await start(cache, KEY, { algorithms: ['md5'] });
    await write(fill, bytes);
    const { digests } = await fill.commit({});
    assert.deepEqual(
      digests.map(({ hex }) => hex),
      [hashOf('sha256', bytes), hashOf('md5', bytes)],
    );
    assert.equal(threads.length, 0);
  });

  test('small bodies are verified as they lie on disk as well', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const sha256 = { algorithm: 'sha256', hex: hashOf('sha256', bytesOf(1000)) } as const;
    for (const [content, code] of [
      [bytesOf(999), 'ERR_CACHE_FILTER_STORE'],
      [bytesOf(1000, 2), 'ERR_CACHE_FILTER_INTEGRITY'],
    ] as const) {
      const fill = await start(cache, KEY);
      await write(fill, bytesOf(1000));
      const body = join(disk.layout.incomplete, disk.incomplete()[0] ?? '');
      while (statSync(body).size < 1000) await new Promise((next) => setImmediate(next));
      writeFileSync(body, content);
      await assert.rejects(settled(fill.commit({ digests: [sha256] }), 'commit'), { code });
      assert.equal(await cache.open(KEY), undefined);
    }
    assert.equal(threads.length, 0);
  });

  test('a large body is hashed there, all of it, while it is written', async (t) => {
    const cache = await new Disk(t).cache();
    const bytes = bytesOf(32 * MIB);
    const fill = await start(cache, KEY, { size: bytes.byteLength, algorithms: ['md5'] });
    for (let at = 0; at < bytes.byteLength; at += MIB) await write(fill, bytes.subarray(at, at + MIB));
    const { digests } = await fill.commit({ length: bytes.byteLength });
    const blocks = Uint32Array.from({ length: 32 }, (_, i) => crc32(bytes.subarray(i * MIB, (i + 1) * MIB)));
    assert.equal(threads.length, 1);
    const { worker, requests, answers } = current();
    assert.deepEqual(requests[0]?.do, 'open');
    assert.ok(requests.filter((request) => request.do === 'advance').length > 1, 'told as the file grows');
    assert.deepEqual(
      answers,
      [{ id: requests[0]?.id, findings: { digests, blocks } }],
      'the digests are those it answered with, and so are the checksums',
    );
    assert.deepEqual(
      digests.map(({ hex }) => hex),
      [hashOf('sha256', bytes), hashOf('md5', bytes)],
    );
    const { active } = worker.performance.eventLoopUtilization();
    assert.ok(active > 10, `it worked for ${active} ms`);
  });

  test('one thread serves all fills of the process', async (t) => {
    const cache = await new Disk(t).cache();
    const bodies = Array.from({ length: 8 }, (_, i) => bytesOf(4 * MIB, i));
    const fills = await Promise.all(bodies.map((_, i) => start(cache, { primary: `/${i}` })));
    await Promise.all(fills.map((fill, i) => write(fill, bodies[i] ?? Buffer.alloc(0))));
    const infos = await Promise.all(fills.map((fill) => fill.commit({})));
    for (const [i, { digests }] of infos.entries()) {
      assert.equal(digests[0]?.hex, hashOf('sha256', bodies[i] ?? Buffer.alloc(0)));
    }
    assert.equal(threads.length, 1);
  });

  test('what was written is verified, not what was meant to be', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const bytes = bytesOf(MIB);
    const damages: [string, string, (body: string) => void][] = [
      ['cut short', 'ERR_CACHE_FILTER_STORE', (body) => truncateSync(body, MIB / 2)],
      ['changed', 'ERR_CACHE_FILTER_INTEGRITY', (body) => writeFileSync(body, bytesOf(MIB, 2))],
    ];
    for (const [what, code, inflict] of damages) {
      const { promise, resolve } = deferred();
      current().gate = promise;
      const fill = await start(cache, KEY, { size: MIB });
      const reader = fill.reader();
      const reading = Reading.of(reader);
      await write(fill, bytes);
      const body = join(disk.layout.incomplete, disk.incomplete()[0] ?? '');
      while (statSync(body).size < MIB) await new Promise((next) => setImmediate(next));
      inflict(body);
      const answered = current().answers.length;
      const commit = fill.commit({ digests: [{ algorithm: 'sha256', hex: hashOf('sha256', bytes) }] });
      current().gate = undefined;
      resolve();
      await assert.rejects(settled(commit, 'commit'), { code }, what);
      assert.equal(current().answers.length, answered + 1, 'the thread said so');
      assert.ok(await reading.failure(), 'its readers fail');
      reader.release();
      assert.equal(await cache.open(KEY), undefined);
    }
  });

  test('what it finds before it is asked, it says when it is asked', async (t) => {
    const disk = new Disk(t);
    const cache = await disk.cache();
    const { promise, resolve } = deferred();
    current().gate = promise;
    const fill = await start(cache, KEY);
    await write(fill, bytesOf(MIB));
    const body = join(disk.layout.incomplete, disk.incomplete()[0] ?? '');
    while (statSync(body).size < MIB) await new Promise((next) => setImmediate(next));
    truncateSync(body, 0);
    current().gate = undefined;
    resolve();
    // Another fill has been hashed meanwhile, so this one has been looked at.
    const other = await start(cache, { primary: '/b' });
    await write(other, bytesOf(MIB));
    await settled(other.commit({}), 'the commit of the other one');
    await assert.rejects(settled(fill.commit({}), 'commit'), { code: 'ERR_CACHE_FILTER_STORE' });
  });

  test('it does not keep a process alive, though it was never asked for anything', async (t) => {
    const disk = new Disk(t);
    const file = new URL('../../../lib/cache/file-cache.ts', import.meta.url).href;
    const script = `
      import { subscribe } from 'node:diagnostics_channel';
      import { FileCache } from ${JSON.stringify(file)};
      let threads = 0;
      subscribe('worker_threads', () => threads++);
      const cache = new FileCache({ directory: ${JSON.stringify(disk.directory)}, minFreeBytes: 0 });
      const claim = await cache.claim({ primary: '/a' });
      const fill = await claim.start({ status: 200, headers: [] });
      fill.write(Buffer.alloc(${MIB}));
      while (threads === 0) await new Promise((next) => setImmediate(next));
      await fill.abort(new Error('enough'));
      console.log(threads, 'thread');
    `;
    const path = join(temporaryDirectory(t), 'script.mjs');
    writeFileSync(path, script);
    const child = spawn(process.execPath, [...process.execArgv, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    const said = await settled(text(child.stdout), 'a process with nothing left to do');
    assert.equal(said, '1 thread\n');
  });

  test('a fill that is aborted leaves it nothing to do', async (t) => {
    const cache = await new Disk(t).cache();
    const fill = await start(cache, KEY);
    // Not all of it is on disk yet when it is given up.
    for (let i = 0; i < 8; i++) fill.write(bytesOf(MIB, i));
    const { requests } = current();
    await fill.abort(new Error('enough'));
    const jobs = new Map<number, string>();
    for (const { id, do: what } of requests) if (what === 'open' || what === 'close') jobs.set(id, what);
    const { id } = requests.at(-1) ?? { id: -1 };
    assert.notEqual(jobs.get(id), 'open', 'nothing is opened after the end');
  });

  test('a thread that ends in the middle of a fill is done without', async (t) => {
    const cache = await new Disk(t).cache();
    const bytes = bytesOf(8 * MIB);
    const fill = await start(cache, KEY, { size: bytes.byteLength });
    const follower = await joined(cache, KEY);
    const reading = Reading.of(follower);
    await write(fill, bytes.subarray(0, 4 * MIB));
    await reading.until(4 * MIB);
    const { worker } = current();
    const started = threads.length;
    await worker.terminate();
    await write(fill, bytes.subarray(4 * MIB));
    const { digests } = await settled(fill.commit({ length: bytes.byteLength }), 'commit');
    assert.equal(digests[0]?.hex, hashOf('sha256', bytes));
    assert.ok((await reading.whole()).equals(bytes));
    follower.release();
    assert.equal(threads.length, started, 'this body was hashed without one');
  });

  test('a thread that ends while it is waited for is done without, and the next fill has a new one', async (t) => {
    const cache = await new Disk(t).cache();
    const bytes = bytesOf(8 * MIB);
    const before = threads.length;
    const fill = await start(cache, KEY);
    for (let at = 0; at < bytes.byteLength; at += MIB) await write(fill, bytes.subarray(at, at + MIB));
    // The last pieces reach the disk, and the thread, only now.
    const commit = fill.commit({});
    while (!current().requests.some((request) => request.do === 'digest') || threads.length === before) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { worker, answers } = current();
    await worker.terminate();
    const { digests } = await settled(commit, 'commit');
    assert.equal(digests[0]?.hex, hashOf('sha256', bytes));
    t.diagnostic(answers.length === 0 ? 'it was ended before it answered' : 'it had answered already');
    assert.equal(threads.length, before + 1);
  });
});
