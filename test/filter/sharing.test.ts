import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import type { CacheFilterOptions } from '../../lib/index.ts';
import type { Answer } from '../support/client.ts';
import { onDisk } from '../support/directory.ts';
import { barrier, filtered, said } from '../support/filtered.ts';
import { heard } from '../support/heard.ts';
import { KINDS, type Kind } from '../support/servers.ts';

const LIMIT = { timeout: 60_000 };

/** One asks, and is held before its head; five more wait for what comes. Each is answered with its own name. */
async function crowd(
  t: TestContext,
  answer: (req: IncomingMessage, res: ServerResponse, n: number) => unknown,
  options: Partial<CacheFilterOptions> = {},
  kind: Kind = 'http',
): Promise<{ answers: Answer[]; calls: number; rejected: string[] }> {
  const arrived = barrier();
  const waiting = barrier();
  const go = barrier();
  let judged = 0;
  const rejected = heard(t, 'cache-filter:reject');
  const { get, calls } = await filtered(
    t,
    {
      ...onDisk(t),
      authorize: () => {
        if (++judged === 5) waiting.reach();
        return true;
      },
      ...options,
    },
    async (req, res) => {
      const n = calls();
      arrived.reach();
      if (n === 1) await go.reached;
      return answer(req, res, n);
    },
    kind,
  );
  const first = get('/a', { 'X-User': 'user-0' });
  await arrived.reached;
  const others = Array.from({ length: 5 }, (_, i) => get('/a', { 'X-User': `user-${i + 1}` }));
  await waiting.reached;
  go.reach();
  const answers = await Promise.all([first, ...others]);
  return { answers, calls: calls(), rejected: rejected.map(({ reason }) => reason) };
}

function forUser(req: IncomingMessage, res: ServerResponse, name: string, value: string): void {
  res.setHeader(name, value);
  res.end(`for ${req.headers['x-user']}`);
}

for (const kind of KINDS) {
  describe(`${kind}: a response that turns out to be for one user goes to that user`, () => {
    for (const [name, value, reason] of [
      ['Vary', 'X-User', 'vary'],
      ['Vary', '*', 'vary'],
      ['Cache-Control', 'private', 'private'],
      ['Set-Cookie', 'session=1', 'set-cookie'],
    ] as const) {
      test(`${name}: ${value}`, LIMIT, async (t) => {
        const { answers, calls, rejected } = await crowd(
          t,
          (req, res) => forUser(req, res, name, value),
          {},
          kind,
        );
        assert.deepEqual(
          answers.map(({ body }) => body.toString()),
          answers.map((_, i) => `for user-${i}`),
        );
        assert.equal(calls, 6);
        assert.equal(said(answers[0] as Answer), `fwd=uri-miss; detail=${reason}`);
        // Remembered: those who waited do not queue up behind each other.
        assert.deepEqual(rejected, [reason]);
      });
    }
  });
}

describe('credentials', () => {
  test(
    'a fill that turns out not to be public is not for those who wait with credentials',
    LIMIT,
    async (t) => {
      const arrived = barrier();
      const go = barrier();
      const { get, calls } = await filtered(t, onDisk(t), async (req, res) => {
        const mine = calls() === 1;
        if (mine) {
          arrived.reach();
          await go.reached;
        }
        res.end(`for ${req.headers['authorization'] ?? 'anyone'}`);
      });
      const misses = heard(t, 'cache-filter:miss');
      const first = get('/a');
      await arrived.reached;
      const others = ['one', 'two'].map((user) => get('/a', { Authorization: user }));
      const same = get('/a');
      // All three have come as far as to wait: who passes at once would be told of.
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(misses.length, 1);
      go.reach();
      assert.equal((await first).body.toString(), 'for anyone');
      assert.equal((await same).body.toString(), 'for anyone');
      for (const [i, user] of ['one', 'two'].entries()) {
        const answer = (await others[i]) as Answer;
        assert.deepEqual(
          [answer.body.toString(), said(answer)],
          [`for ${user}`, 'fwd=uri-miss; detail=credentials'],
        );
      }
      assert.equal(calls(), 3);
    },
  );
});

describe('a leader that fails before its head lets those who wait go at once', () => {
  for (const [how, fail] of [
    ['it destroys its response', (res: ServerResponse) => void res.destroy()],
    [
      'it answers with an error',
      (res: ServerResponse) => {
        res.statusCode = 503;
        res.end('later');
      },
    ],
  ] as const) {
    test(`${how}: one leads, the rest pass or join`, LIMIT, async (t) => {
      const { answers, calls, rejected } = await crowd(
        t,
        (_req, res, n) => (n === 1 ? fail(res) : void res.end('text')),
        // Far longer than the test may take.
        { collapseTimeoutMs: 300_000 },
      );
      assert.equal((answers[0] as Answer).body.toString() === 'text', false, 'the fault fired');
      const [, ...others] = answers;
      for (const { body, complete } of others) assert.ok(complete && body.toString() === 'text');
      const ways = others.map(said).sort();
      assert.equal(ways.filter((way) => way === 'fwd=uri-miss; stored').length, 1, ways.join('\n'));
      for (const way of ways) {
        assert.ok(
          [
            'fwd=uri-miss; stored',
            'fwd=uri-miss; detail=collapse',
            'fwd=uri-miss; collapsed',
            'hit',
          ].includes(way),
          way,
        );
      }
      assert.equal(calls, 2 + ways.filter((way) => way.endsWith('collapse')).length);
      assert.equal(rejected.length, 1);
    });
  }
});
