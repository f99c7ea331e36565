/** What an origin can do wrong, for whoever reads just then. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import type { CacheFilterOptions } from '../../../lib/index.ts';
import { said } from '../../support/filtered.ts';
import type { Wire } from '../../support/reading.ts';
import { BODY, healthy, LAST, Scene, type Script, SIZE } from './scene.ts';

const LIMIT = { timeout: 60_000 };

interface Fault {
  name: string;
  script: Script;
  /**
   * What becomes of those who read. `cut`: all break off; `whole`: all get it; `handed`: all get it, from the second call; `own`: the leader gets this answer, as without us, and the
   * others what the origin says when it is asked again.
   */
  comes: 'cut' | 'whole' | 'handed' | 'own';
  /** Before there is a head. */
  early?: boolean;
  wires?: readonly Wire[];
  options?: Partial<CacheFilterOptions>;
}

const ONE: readonly Wire[] = ['http'];
const ALL: readonly Wire[] = ['http', 'tls', 'http2'];

/** With the length of the whole, this part of it. */
async function begin(res: ServerResponse, bytes: number): Promise<void> {
  res.setHeader('Content-Length', SIZE);
  res.flushHeaders();
  if (bytes > 0 && !res.write(BODY.subarray(0, bytes))) await once(res, 'drain');
}

function cutAt(name: string, bytes: number, wires: readonly Wire[] = ['http']): Fault {
  return {
    name: `is cut at ${name}`,
    comes: 'handed',
    wires,
    script: async (res, now) => {
      await begin(res, bytes);
      await now();
      res.destroy();
    },
  };
}

const rightDigest = `sha-256=:${createHash('sha256').update(BODY).digest('base64')}:`;
const wrongDigest = `sha-256=:${createHash('sha256').update('something else').digest('base64')}:`;

const FAULTS: readonly Fault[] = [
  {
    name: 'answers with 500',
    comes: 'own',
    early: true,
    wires: ALL,
    script: async (res, now) => {
      await now();
      res.writeHead(500).end('broken');
    },
  },
  {
    name: 'throws before the head',
    comes: 'own',
    early: true,
    script: async (_res, now) => {
      await now();
      throw new Error('deliberate');
    },
  },
  {
    name: 'destroys its response before the head',
    comes: 'own',
    early: true,
    wires: ALL,
    script: async (res, now) => {
      await now();
      res.destroy();
    },
  },
  cutAt('the head', 0, ALL),
  cutAt('1 byte', 1),
  cutAt('50 %', SIZE / 2, ALL),
  cutAt('99 %', SIZE * 0.99),
  {
    name: 'is cut one byte before the end',
    comes: 'handed',
    script: async (res, now) => {
      await begin(res, SIZE - 1);
      await now();
      res.socket?.destroy();
    },
  },
  {
    name: 'ends short of its length',
    comes: 'cut',
    wires: ALL,
    script: async (res, now) => {
      await begin(res, SIZE / 2);
      await now();
      res.end();
    },
  },
  {
    name: 'sends more than its length',
    comes: 'cut',
    script: async (res, now) => {
      await begin(res, SIZE / 2);
      await now();
      res.write(BODY.subarray(SIZE / 2));
      res.end('and more');
    },
  },
  {
    name: 'ends short of its digest, without a length',
    comes: 'cut',
    wires: ALL,
    script: async (res, now) => {
      res.setHeader('Repr-Digest', rightDigest);
      res.write(BODY.subarray(0, SIZE / 2));
      await now();
      res.end();
    },
  },
  {
    name: 'sends something else than its digest says',
    comes: 'cut',
    wires: ALL,
    script: async (res, now) => {
      res.setHeader('Repr-Digest', wrongDigest);
      await begin(res, SIZE / 2);
      await now();
      res.end(BODY.subarray(SIZE / 2));
    },
  },
  {
    name: 'throws after the head',
    comes: 'handed',
    wires: ALL,
    script: async (res, now) => {
      await begin(res, 1000);
      await now();
      throw new Error('deliberate');
    },
  },
  {
    name: 'destroys its request after the head',
    comes: 'handed',
    script: async (res, now, req) => {
      await begin(res, 1000);
      await now();
      req.socket.destroy();
    },
  },
  {
    name: 'stops for a while',
    comes: 'whole',
    wires: ALL,
    script: async (res, now) => {
      await begin(res, SIZE / 2);
      await now();
      res.end(BODY.subarray(SIZE / 2));
    },
  },
  {
    name: 'stops for good',
    comes: 'handed',
    wires: ALL,
    options: { stallTimeoutMs: 100 },
    script: async (res, now) => {
      await begin(res, SIZE / 2);
      await now();
    },
  },
  {
    name: 'dribbles a byte at a time',
    comes: 'whole',
    script: async (res, now) => {
      await begin(res, SIZE - 500);
      await now();
      for (let at = SIZE - 500; at < SIZE; at++) {
        res.write(BODY.subarray(at, at + 1));
        await new Promise((resolve) => setImmediate(resolve));
      }
      res.end();
    },
  },
  {
    name: 'floods with header fields',
    comes: 'whole',
    script: async (res, now) => {
      for (let i = 0; i < 400; i++) res.setHeader(`X-Flood-${i}`, 'x'.repeat(1000));
      await begin(res, SIZE / 2);
      await now();
      res.end(BODY.subarray(SIZE / 2));
    },
  },
  {
    name: 'answers with 304, though nothing is stored',
    comes: 'own',
    early: true,
    script: async (res, now) => {
      await now();
      res.writeHead(304, { ETag: '"a"' }).end();
    },
  },
  {
    name: 'answers with 206, though nobody asked for a part',
    comes: 'own',
    early: true,
    script: async (res, now) => {
      await now();
      res.writeHead(206, { 'Content-Range': `bytes 0-9/${SIZE}`, 'Content-Length': 10 });
      res.end(BODY.subarray(0, 10));
    },
  },
  {
    name: 'is well',
    comes: 'whole',
    wires: ALL,
    early: true,
    script: async (res, now) => {
      await now();
      healthy(res);
    },
  },
];

describe('an origin, while a leader, a follower and a range reader wait', () => {
  for (const { name, script, comes, early = false, wires = ONE, options = {} } of FAULTS) {
    for (const wire of wires) {
      test(`${wire}: ${name}`, LIMIT, async (t) => {
        const scene = await Scene.set(t, { wire, script, options });
        const leader = scene.ask();
        await scene.reached;
        const readers = [leader, scene.ask(), scene.ask({ headers: LAST })];
        await scene.asked(2);
        if (!early) await scene.reading(3);
        scene.go();
        const answers = await Promise.all(readers.map(({ over }) => over));
        const [first, ...others] = answers;
        if (comes === 'own') {
          assert.ok(first !== undefined && (first.status !== 200 || !first.complete), 'the fault fired');
          for (const other of others)
            assert.ok(other.complete, `the others are answered by a new one: ${said(other)}`);
        } else {
          const ends = answers.map(({ complete }) => complete);
          assert.deepEqual(ends, Array(3).fill(comes !== 'cut'), answers.map(said).join());
        }
        await scene.aftermath(answers, { calls: comes === 'own' ? 3 : comes === 'handed' ? 2 : 1 });
      });
    }
  }
});

describe('an origin, when nobody is left who reads', () => {
  for (const { name, script, wires = ONE, options = {} } of FAULTS) {
    for (const wire of wires) {
      test(`${wire}: ${name}`, LIMIT, async (t) => {
        const scene = await Scene.set(t, { wire, script, options });
        const leader = scene.ask();
        await scene.reached;
        leader.leave();
        assert.equal((await leader.over).complete, false);
        await scene.closed();
        scene.go();
        await scene.filter.idle();
        await scene.aftermath([]);
      });
    }
  }
});

describe('an origin that never comes to its end', () => {
  const MIB = 2 ** 20;
  const options = { maxEntryBytes: MIB };

  /** Sends more and more, until it is told that nobody wants it. */
  const endless: Script = async (res, now) => {
    let over = false;
    res.once('close', () => {
      over = true;
    });
    res.setHeader('Repr-Digest', wrongDigest);
    res.write(BODY);
    await now();
    while (!over) {
      if (!res.write(BODY)) await Promise.race([once(res, 'drain'), once(res, 'close')]);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  for (const wire of ALL) {
    test(
      `${wire}: who reads it gets it for as long as they like, and it ends with them`,
      LIMIT,
      async (t) => {
        const scene = await Scene.set(t, { wire, script: endless, options });
        const readers = [scene.ask()];
        await scene.reached;
        readers.push(scene.ask());
        await scene.reading(2);
        scene.go();
        for (const reader of readers) await reader.until(8 * MIB);
        for (const reader of readers) reader.leave();
        const answers = await Promise.all(readers.map(({ over }) => over));
        for (const { complete, body } of answers) {
          assert.equal(complete, false);
          assert.ok(body.length >= 8 * MIB, 'the fault fired');
          assert.ok(body.subarray(0, SIZE).equals(BODY));
        }
        await scene.filter.idle();
        await scene.aftermath(answers);
      },
    );
  }

  test('when nobody reads it, it ends as soon as it can not be kept', LIMIT, async (t) => {
    const scene = await Scene.set(t, { script: endless, options });
    const leader = scene.ask();
    await scene.reached;
    leader.leave();
    await leader.over;
    await scene.closed();
    scene.go();
    await scene.filter.idle();
    await scene.aftermath([]);
  });
});
