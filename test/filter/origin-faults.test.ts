/** What an origin can do wrong, for whoever reads just then. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Answer } from '../support/client.ts';
import { said } from '../support/filtered.ts';
import { holdings } from '../support/invariants.ts';
import { BODY, FaultyScene, isVisible, OTHER, SIZE, type Wrong, well } from './faulty-origin.ts';

const LIMIT = { timeout: 30_000 };

/** As often as this: an origin of which each answer brings a little is gone on with for as long as it takes. */
const AGAIN = 4;

/** Whoever reads: the first, somebody who reads along, a range, a part of what is not stored, what nobody asked for, nobody any more. */
const READERS = ['leader', 'follower', 'range', 'cold range', 'prefetch', 'nobody left'] as const;
type Reader = (typeof READERS)[number];

const ASKING: ReadonlySet<Reader> = new Set(['leader', 'cold range']);

interface Fault {
  name: string;
  wrong: Wrong;
  /**
   * What becomes of readers where it happens once: `whole`: it is gone on with; `fails`: they are told. undefined: either, as long as it
   * is right.
   */
  once?: 'whole' | 'fails';
  /** And where it happens several times in a row. */
  always: 'whole' | 'fails' | 'either';
  /** Before there is a head. */
  early?: boolean;
  upstream?: Parameters<typeof FaultyScene.set>[1]['upstream'];
  /** Which readers can meet with it. Default all. */
  readers?: readonly Reader[];
  options?: Parameters<typeof FaultyScene.set>[1]['options'];
  /** How often in a row; default `AGAIN`. */
  times?: number;
  /** What readers may get, each whole. */
  bodies?: readonly Buffer[];
}

/** A share of the body, then what is wrong. */
function after_(share: number, then: Wrong): Wrong {
  return async (socket, wanted, about) => {
    const { head, bytes } = wanted;
    socket.write(`${head}\r\n`);
    socket.write(bytes.subarray(0, Math.floor(bytes.length * share)));
    await about.now();
    await then(socket, wanted, about);
  };
}

const reset: Wrong = (socket, _wanted, { fired }) => {
  fired();
  socket.resetAndDestroy();
};

const ends: Wrong = (socket, _wanted, { fired }) => {
  fired();
  socket.end();
};

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}

function chunked(head: string): string {
  return head.replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked');
}

/** Breaks off half way, and goes on differently. */
function continued(rest: Wrong): Wrong {
  return async (socket, wanted, about) => {
    if (about.request.fields.has('if-range')) {
      await rest(socket, wanted, about);
      return;
    }
    socket.write(`${wanted.head}\r\n`);
    socket.write(wanted.bytes.subarray(0, wanted.bytes.length / 2));
    await about.now();
    socket.destroy();
  };
}

const FAULTS: readonly Fault[] = [
  ...[0, 0.01, 0.5, 0.99].map(
    (share): Fault => ({
      name: `resets at ${share * 100} %`,
      wrong: after_(share, reset),
      once: 'whole',
      always: share === 0 ? 'fails' : 'either',
      times: share === 0 ? Number.POSITIVE_INFINITY : AGAIN,
    }),
  ),
  { name: 'ends short of its length', wrong: after_(0.5, ends), once: 'whole', always: 'either' },
  {
    name: 'ends without its last chunk',
    wrong: async (socket, { head, bytes }, { now, fired }) => {
      socket.write(`${chunked(head)}\r\n`);
      socket.write(chunk(bytes.subarray(0, bytes.length / 2)));
      await now();
      fired();
      socket.end();
    },
    options: { integrity: 'end' },
    always: 'either',
  },
  {
    name: 'sends more than its length',
    wrong: after_(0.5, (socket, { bytes }, { fired }) => {
      fired();
      socket.end(Buffer.concat([bytes.subarray(Math.floor(bytes.length / 2)), Buffer.from('and more')]));
    }),
    always: 'either',
  },
  {
    name: 'stalls',
    wrong: after_(0.5, (_socket, _wanted, { fired }) => fired()),
    once: 'whole',
    always: 'either',
    upstream: { stallTimeoutMs: 500 },
  },
  {
    name: 'dribbles',
    wrong: async (socket, { head, bytes }, { now, fired }) => {
      socket.write(`${head}\r\n`);
      socket.write(bytes.subarray(0, 1));
      await now();
      fired();
      const step = Math.ceil(bytes.length / 30);
      for (let at = 1; at < bytes.length; at += step) {
        socket.write(bytes.subarray(at, at + step));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    once: 'whole',
    always: 'whole',
    upstream: { stallTimeoutMs: 5_000 },
  },
  {
    name: 'declares more than it has',
    wrong: async (socket, { head, bytes, isPart }, { now, fired }) => {
      socket.write(
        `${head.replace(/Content-Length: (\d+)/, (_, n) => `Content-Length: ${Number(n) + 10}`)}\r\n`,
      );
      socket.write(bytes);
      await now();
      fired();
      // Of a part its range says better.
      socket.end(isPart ? 'and more..' : '');
    },
    always: 'either',
  },
  {
    name: 'has another ETag when it is gone on with',
    wrong: continued((socket, wanted, { fired }) => {
      fired();
      well(socket, { ...wanted, head: wanted.head.replace('"one"', '"two"') });
    }),
    once: 'fails',
    always: 'fails',
    readers: ['leader', 'follower', 'range', 'cold range', 'nobody left'],
  },
  {
    name: 'has changed when it is gone on with, and says so with 200',
    wrong: async (socket, wanted, about) => {
      const { scene, now, fired } = about;
      socket.write(`${wanted.head}\r\n`);
      socket.write(wanted.bytes.subarray(0, wanted.bytes.length / 2));
      await now();
      scene.body = OTHER;
      scene.tag = '"two"';
      fired();
      socket.destroy();
    },
    once: 'fails',
    always: 'fails',
    readers: ['leader', 'follower', 'range', 'cold range', 'nobody left'],
    bodies: [BODY, OTHER],
  },
  {
    name: 'answers 200 with the same validator when it is gone on with',
    wrong: continued((socket, _wanted, { fired }) => {
      fired();
      socket.write(`HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: ${SIZE}\r\n\r\n`);
      socket.write(BODY);
    }),
    always: 'either',
  },
  ...(
    [
      ['another beginning', (start: number, end: number) => [start + 1, end, SIZE]],
      ['another end', (start: number, end: number) => [start, end - 5, SIZE]],
      ['another size', (start: number, end: number) => [start, end, SIZE + 1000]],
    ] as const
  ).map(
    ([what, lie]): Fault => ({
      name: `lies about ${what} in the Content-Range when it is gone on with`,
      wrong: continued((socket, { head, bytes, start, end }, { fired }) => {
        fired();
        const [from = 0, to = 0, size = 0] = lie(start, end);
        const range = `Content-Range: bytes ${from}-${to - 1}/${size}`;
        socket.write(`${head.replace(/Content-Range: .*/, range)}\r\n`);
        socket.write(bytes);
      }),
      always: 'either',
    }),
  ),
  {
    name: 'ends a part cleanly before the end of its range',
    wrong: continued(async (socket, { head, bytes }, { fired }) => {
      fired();
      socket.write(`${chunked(head)}\r\n`);
      socket.write(Buffer.concat([chunk(bytes.subarray(0, bytes.length / 2)), Buffer.from('0\r\n\r\n')]));
    }),
    always: 'either',
  },
  {
    name: 'redirects in a circle',
    early: true,
    wrong: async (socket, _wanted, { now, fired, request }) => {
      await now();
      fired();
      socket.write(`HTTP/1.1 302 Found\r\nLocation: ${request.path}\r\nContent-Length: 0\r\n\r\n`);
    },
    once: 'whole',
    times: Number.POSITIVE_INFINITY,
    always: 'fails',
  },
  {
    name: 'does not begin to answer',
    early: true,
    wrong: async (_socket, _wanted, { now, fired }) => {
      await now();
      fired();
    },
    once: 'fails',
    always: 'fails',
    upstream: { headTimeoutMs: 500 },
  },
  {
    name: 'dribbles its head',
    early: true,
    wrong: async (socket, _wanted, { now, fired }) => {
      await now();
      fired();
      socket.write('HTTP/1.1 200 OK\r\n');
      for (let i = 0; i < 100 && !socket.destroyed; i++) {
        socket.write(`X-${i}: x\r\n`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    once: 'fails',
    always: 'fails',
    upstream: { headTimeoutMs: 500 },
  },
  {
    name: 'closes without a word',
    early: true,
    wrong: async (socket, _wanted, { now, fired }) => {
      await now();
      fired();
      socket.destroy();
    },
    once: 'fails',
    always: 'fails',
  },
  {
    name: 'says what is no answer',
    early: true,
    wrong: async (socket, _wanted, { now, fired }) => {
      await now();
      fired();
      socket.end('what?\r\n\r\n');
    },
    once: 'fails',
    always: 'fails',
  },
];

/** What a reader got; undefined: there was nobody to be told. */
interface Came {
  answers: Answer[];
  failed?: boolean;
}

async function read(scene: FaultyScene, reader: Reader, early: boolean): Promise<Came> {
  if (reader === 'prefetch') {
    const fetched = scene.filter.prefetch('a').then(
      () => false,
      () => true,
    );
    await scene.reached;
    scene.go();
    return { answers: [], failed: await fetched };
  }
  if (reader === 'cold range') {
    const part = scene.ask({ headers: { Range: `bytes=1000-${SIZE - 1000}` } });
    await scene.reached;
    scene.go();
    return { answers: [await part.over] };
  }
  const leader = scene.ask();
  await scene.reached;
  if (reader === 'nobody left') {
    if (!early) await leader.head;
    leader.leave();
    await leader.over;
    scene.go();
    return { answers: [] };
  }
  // A range comes too early otherwise: it would be fetched by itself.
  if (!early) await leader.head;
  const readers = [leader];
  if (reader !== 'leader') {
    const headers = reader === 'range' ? { Range: `bytes=${SIZE - 10}-` } : {};
    readers.push(scene.ask({ headers }));
    // The policy is asked once more of whoever reads along.
    const enough = early && reader === 'range' ? 2 : 3;
    while (scene.judged < enough) await new Promise((resolve) => setImmediate(resolve));
  }
  scene.go();
  return { answers: await Promise.all(readers.map(({ over }) => over)) };
}

let givenBack: () => Promise<string>;
before(async (t) => {
  // What starts once stays: a thread that hashes, say.
  for (const reader of ['leader', 'cold range'] as const) {
    const scene = await FaultyScene.set(t as TestContext, { wrong: after_(0.5, reset) });
    const { answers } = await read(scene, reader, false);
    await scene.aftermath(answers);
  }
  givenBack = await holdings();
});

for (const {
  name,
  wrong,
  once,
  always,
  early = false,
  upstream,
  options,
  times: inARow = AGAIN,
  readers = READERS,
  bodies = [BODY],
} of FAULTS) {
  describe(`an origin that ${name}`, { concurrency: 6 }, () => {
    for (const [when, times, comes] of [
      ['once', 1, once],
      ['again and again', inARow, always],
    ] as const) {
      // Several times in a row is a matter of those who ask, not of those who read along.
      const those = when === 'once' ? readers : readers.filter((each) => ASKING.has(each));
      for (const reader of those) {
        // Of two who ask, each by himself, one meets with it.
        const expected = early && reader === 'range' && when === 'once' ? undefined : comes;
        test(`${when}: ${reader}`, LIMIT, async (t) => {
          const scene = await FaultyScene.set(t, {
            wrong,
            times,
            ...(upstream && { upstream }),
            ...(options && { options }),
          });
          const { answers, failed } = await read(scene, reader, early);
          await scene.filter.idle();
          assert.ok(scene.fired > 0, 'the fault fired');
          for (const answer of answers) {
            const isWhole = answer.complete && answer.status < 300;
            assert.ok(isWhole || isVisible(answer), `${answer.status} ${said(answer)}`);
            if (expected === 'whole') assert.ok(isWhole, `${answer.status}, ${answer.body.length} bytes`);
            if (expected === 'fails') assert.ok(isVisible(answer), `${answer.status} ${said(answer)}`);
          }
          if (failed !== undefined && expected !== 'either' && expected !== undefined)
            assert.equal(failed, expected === 'fails');
          await scene.aftermath(answers, bodies);
        });
      }
    }
  });
}

after(async () => assert.equal(await givenBack(), '', 'given back'));
