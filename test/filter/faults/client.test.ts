/** What clients do to those who read along, and to what is kept. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../lib/contracts/cache/steps.ts';
import { onDisk } from '../../support/directory.ts';
import { filtered, said } from '../../support/filtered.ts';
import { problemsOf } from '../../support/invariants.ts';
import { Reading, WIRES } from '../../support/reading.ts';
import { BODY, healthy, LAST, PATH, Scene, type Script, SIZE } from './scene.ts';

const LIMIT = { timeout: 60_000 };

/** Sends so much, and the rest when it may. */
function holdingAt(bytes: number | undefined): Script {
  return async (res, now) => {
    if (bytes !== undefined) {
      res.setHeader('Content-Length', SIZE);
      res.flushHeaders();
      res.write(BODY.subarray(0, bytes));
    }
    await now();
    if (bytes === undefined) healthy(res);
    else res.end(BODY.subarray(bytes));
  };
}

/** When they leave, in bytes of the body; undefined: before there is a head. */
const WHEN: readonly [string, number | undefined][] = [
  ['before the head', undefined],
  ['at the first byte', 1],
  ['half way', SIZE / 2],
  ['at the last byte but one', SIZE - 1],
];

for (const wire of WIRES) {
  describe(`a client that leaves, over ${wire}`, () => {
    for (const [when, bytes] of WHEN) {
      for (const headers of [{}, LAST]) {
        const range = headers === LAST ? ', of a range' : '';

        test(`${when}: the leader${range}; what it began is kept`, LIMIT, async (t) => {
          const scene = await Scene.set(t, { wire, script: holdingAt(bytes) });
          const leader = scene.ask({ headers });
          await scene.reached;
          await leader.until(headers === LAST ? 0 : (bytes ?? 0));
          leader.leave();
          assert.equal((await leader.over).complete, false, 'the fault fired');
          await scene.closed();
          scene.go();
          await scene.filter.idle();
          assert.equal((await scene.filter.stats()).responses.stored, 2, 'kept');
          await scene.aftermath([]);
          assert.equal(scene.calls, 1);
        });

        test(`${when}: a follower${range}; the others get the whole`, LIMIT, async (t) => {
          const scene = await Scene.set(t, { wire, script: holdingAt(bytes) });
          const leader = scene.ask();
          await scene.reached;
          const [leaves, stays] = [scene.ask({ headers }), scene.ask()];
          if (bytes === undefined) await scene.asked(2);
          else await scene.reading(3);
          await leaves.until(headers === LAST ? 0 : (bytes ?? 0));
          leaves.leave();
          assert.equal((await leaves.over).complete, false, 'the fault fired');
          scene.go();
          const answers = await Promise.all([leader.over, stays.over]);
          for (const answer of answers) assert.ok(answer.complete && answer.body.equals(BODY), said(answer));
          await scene.aftermath(answers);
          assert.equal(scene.calls, 1);
        });
      }
    }

    test('at the first byte of a hit', LIMIT, async (t) => {
      const scene = await Scene.set(t, { wire });
      await scene.ask().over;
      await scene.filter.idle();
      const leaves = scene.ask();
      await leaves.head;
      leaves.leave();
      await leaves.over;
      const stays = await scene.ask().over;
      assert.deepEqual([said(stays), stays.body.equals(BODY)], ['hit', true]);
      await scene.aftermath([stays]);
    });
  });

  test(`HEAD while a fill runs has the head of the whole, over ${wire}`, LIMIT, async (t) => {
    const scene = await Scene.set(t, { wire, script: holdingAt(1000) });
    const leader = scene.ask();
    await scene.reached;
    const head = await scene.ask({ method: 'HEAD' }).over;
    assert.deepEqual([head.status, head.complete, head.body.length], [200, true, 0]);
    assert.equal(head.headers['content-length'], String(SIZE));
    scene.go();
    const answer = await leader.over;
    assert.ok(answer.complete && answer.body.equals(BODY));
    await scene.aftermath([answer]);
    assert.equal(scene.calls, 1);
  });
}

describe('a client that stops reading', () => {
  /** More than connections hold. */
  const BIG = bytesOf(16 * 2 ** 20, 3);

  for (const [who, wires] of [
    ['leader', ['http', 'http2']],
    ['follower', ['http']],
  ] as const) {
    for (const wire of wires) {
      test(`${wire}: the ${who} holds up nobody, and gets the whole when it goes on`, LIMIT, async (t) => {
        const disk = onDisk(t);
        const app = (
          _req: unknown,
          res: { setHeader(name: string, value: number): void; end(body: Buffer): void },
        ) => {
          res.setHeader('Content-Length', BIG.length);
          res.end(BIG);
        };
        const options = { ...disk, memory: false as const, authorize: 'anyone' as const };
        const { filter, server, calls } = await filtered(t, options, app, wire);
        const readers = [new Reading(wire, server.port, { path: PATH })];
        await readers[0]?.head;
        readers.push(new Reading(wire, server.port, { path: PATH }));
        const [stops, goes] = who === 'leader' ? readers : readers.reverse();
        await stops?.head;
        stops?.pause();
        const quick = await goes?.over;
        assert.ok(quick?.complete && quick.body.equals(BIG), `${quick?.body.length} bytes`);
        assert.ok((stops?.body.length ?? 0) < BIG.length, 'the fault fired');
        const late = new Reading(wire, server.port, { path: PATH });
        assert.equal(said(await late.over), 'hit', 'it is stored though one is still reading it');
        stops?.resume();
        const slow = await stops?.over;
        assert.ok(slow?.complete && slow.body.equals(BIG), `${slow?.body.length} bytes`);
        await filter.idle();
        assert.equal(calls(), 1);
        assert.deepEqual(problemsOf(disk.directory, await filter.cache.stats()), []);
      });
    }
  }
});

/** What a raw connection is answered with, to its end. */
async function answersOf(port: number, text: string, { halfClose = false } = {}): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (halfClose) socket.end(text);
  else socket.write(text);
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

const GET = `GET ${PATH} HTTP/1.1\r\nHost: localhost\r\n`;

describe('a client on a connection of its own making', () => {
  test('that has said all it will has left, as Node has it; what it began is kept', LIMIT, async (t) => {
    const scene = await Scene.set(t, { script: holdingAt(1000) });
    const answer = answersOf(scene.port, `${GET}\r\n`, { halfClose: true });
    await scene.reached;
    assert.ok((await answer).length < SIZE, 'the fault fired');
    await scene.closed();
    scene.go();
    await scene.filter.idle();
    await scene.aftermath([]);
    assert.equal(scene.calls, 1);
  });

  test('that has said all it will is answered in full where the server allows it', LIMIT, async (t) => {
    const scene = await Scene.set(t, { script: holdingAt(1000), halfOpen: true });
    const asking = `${GET}Connection: close\r\n\r\n`;
    const leader = answersOf(scene.port, asking, { halfClose: true });
    await scene.reached;
    const follower = answersOf(scene.port, asking, { halfClose: true });
    await scene.reading(2);
    scene.go();
    const answers = await Promise.all([leader, follower]);
    await scene.filter.idle();
    for (const answer of [...answers, await answersOf(scene.port, asking, { halfClose: true })]) {
      assert.ok(
        answer.subarray(-SIZE).equals(BODY),
        `${answer.length} bytes: ${answer.toString('latin1', 0, 300)}`,
      );
    }
    await scene.aftermath([]);
    assert.equal(scene.calls, 1);
  });

  test('that asks three times at once (pipelining) leads, and follows itself', LIMIT, async (t) => {
    const scene = await Scene.set(t, { script: holdingAt(1000) });
    const answers = answersOf(scene.port, `${GET}\r\n${GET}\r\n${GET}Connection: close\r\n\r\n`);
    await scene.reached;
    await scene.asked(2);
    scene.go();
    let rest = await answers;
    for (let i = 1; i <= 3; i++) {
      const at = rest.indexOf('\r\n\r\n') + 4;
      assert.ok(rest.subarray(at, at + SIZE).equals(BODY), `answer ${i}: ${rest.toString('latin1', 0, 300)}`);
      rest = rest.subarray(at + SIZE);
    }
    assert.equal(rest.length, 0);
    await scene.aftermath([]);
    assert.equal(scene.calls, 1);
  });

  test('that leaves with three answers to come leaves nothing behind', LIMIT, async (t) => {
    const scene = await Scene.set(t, { script: holdingAt(1000) });
    const socket = connect(scene.port, '127.0.0.1', () => socket.write(`${GET}\r\n${GET}\r\n${GET}\r\n`));
    await scene.reached;
    await scene.asked(2);
    socket.destroy();
    await once(socket, 'close');
    scene.go();
    await scene.filter.idle();
    await scene.aftermath([]);
    assert.equal(scene.calls, 1);
  });
});
