/** The budget, whatever is asked of it at once, and in whatever order the disk is done. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Ledger } from '../../lib/cache/ledger.ts';
import { slackOf } from '../../lib/cache/slack.ts';

const MIB = 2 ** 20;

const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');

const operations = (most: number) => {
  const bytes = fc.integer({ min: 0, max: most });
  return fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('store' as const), name, bytes }) },
      fc.record({ do: fc.constant('give up' as const), bytes }),
      fc.record({ do: fc.constant('hold' as const), name }),
      fc.record({ do: fc.constant('release' as const), pick: fc.nat() }),
      fc.record({ do: fc.constant('purge' as const), name }),
      fc.record({ do: fc.constant('pin' as const), name, on: fc.boolean() }),
      fc.record({ do: fc.constant('touch' as const), name }),
      fc.record({ do: fc.constant('prune' as const), bytes }),
      fc.record({ do: fc.constant('let the disk work' as const), steps: fc.integer({ min: 1, max: 3 }) }),
    ),
    { maxLength: 50 },
  );
};

for (const [what, max, most] of [
  ['a small budget', 100, 60],
  ['a budget with some slack', 128 * MIB, 60 * MIB],
  ['one of small entries', 128 * MIB, 2 * MIB],
] as const) {
  describe(`the ledger of ${what}`, () => {
    test('what is on disk and what is promised never exceed it, and nothing goes that is held or pinned', async () => {
      await fc.assert(
        fc.asyncProperty(operations(most), fc.scheduler(), async (steps, disk) => {
          /** As they lie there, by body: a name may have one that is on its way out besides. */
          const files = new Map<string, { name: string; bytes: number }>();
          const holds: { body: string; release: () => void }[] = [];
          let promised = 0;
          let bodies = 0;
          const ledger: Ledger = new Ledger(max, async (each, { body, bytes }) => {
            assert.equal(files.get(body)?.bytes, bytes, `${each} is removed as what it was charged for`);
            assert.ok(!holds.some((hold) => hold.body === body), `${each} is being read`);
            await disk.schedule(Promise.resolve());
            files.delete(body);
          });
          const check = () => {
            let used = promised;
            for (const { bytes } of files.values()) used += bytes;
            assert.ok(used <= max, `${used} of ${max}`);
            assert.ok(ledger.bytes >= used, `${ledger.bytes} are charged for ${used}`);
          };
          const reserve = async (bytes: number): Promise<boolean> => {
            const granted = await ledger.reserve(bytes);
            if (granted) promised += bytes;
            check();
            return granted;
          };
          const unreserve = (bytes: number) => {
            promised -= bytes;
            ledger.unreserve(bytes);
          };
          const running: Promise<unknown>[] = [];
          for (const step of steps) {
            if (step.do === 'store') {
              const store = async () => {
                if (!(await reserve(step.bytes))) return;
                await disk.schedule(Promise.resolve());
                await ledger.left(step.name);
                const release = ledger.hold(step.name);
                const before = ledger.bodyOf(step.name);
                const body = `${bodies++}`;
                if (before !== undefined) files.delete(before);
                files.set(body, { name: step.name, bytes: step.bytes });
                unreserve(step.bytes);
                ledger.add(step.name, step.bytes, body);
                release();
                check();
              };
              running.push(store());
            } else if (step.do === 'give up') {
              running.push(
                reserve(step.bytes).then(async (granted) => {
                  await disk.schedule(Promise.resolve());
                  if (granted) unreserve(step.bytes);
                }),
              );
            } else if (step.do === 'hold') {
              const body = ledger.bodyOf(step.name);
              if (body !== undefined) holds.push({ body, release: ledger.hold(step.name) });
            } else if (step.do === 'release') {
              const [hold] = holds.splice(step.pick % Math.max(1, holds.length), 1);
              hold?.release();
            } else if (step.do === 'purge') {
              const body = ledger.bodyOf(step.name);
              if (body === undefined) continue;
              files.delete(body);
              ledger.drop(step.name, body);
            } else if (step.do === 'pin') ledger.pin(step.name, step.on);
            else if (step.do === 'touch') ledger.touch(step.name);
            else if (step.do === 'prune') running.push(ledger.evict(step.bytes));
            else for (let i = 0; i < step.steps && disk.count() > 0; i++) await disk.waitOne();
            check();
          }
          await disk.waitFor(Promise.all(running));
          const used = [...files.values()].reduce((sum, { bytes }) => sum + bytes, 0);
          assert.deepEqual([ledger.bytes, ledger.entries], [used, files.size], 'bytes, entries in the end');
          for (const { release } of holds) release();
          for (const each of ledger.pins()) ledger.pin(each, false);
          assert.equal(ledger.removable, used);
          assert.equal(ledger.reserved, 0);
        }),
        { numRuns: 300 },
      );
    });
  });
}

describe('the slack of a budget', () => {
  test('is a 64th of it, 64 MiB at most, and none in a small one', () => {
    const found = [1, 63 * MIB, 64 * MIB, 10 * 2 ** 30, 2 ** 40].map(slackOf);
    assert.deepEqual(found, [0, 0, MIB, 64 * MIB, 64 * MIB]);
    assert.equal(slackOf(2 ** 30), 16 * MIB);
  });

  test('small entries make it, least recently used first; a large one that is next stays, and those after it', async () => {
    const removed: string[] = [];
    const ledger = new Ledger(64 * MIB, async (each) => removed.push(each));
    for (let i = 0; i < 8; i++) ledger.add(`small ${i}`, MIB / 4);
    ledger.add('large', 60 * MIB);
    for (let i = 8; i < 16; i++) ledger.add(`small ${i}`, MIB / 4);
    assert.equal(await ledger.reserve(MIB / 4), true);
    assert.deepEqual(
      removed.splice(0),
      [0, 1, 2, 3, 4].map((i) => `small ${i}`),
      'one for the room, four besides',
    );
    assert.equal(ledger.bytes, 63 * MIB);
    assert.equal(await ledger.reserve(MIB + 1), true);
    assert.deepEqual(removed.splice(0), ['small 5', 'small 6', 'small 7'], 'the large one is spared');
    assert.equal(await ledger.reserve(MIB), true);
    assert.deepEqual(removed.splice(0), ['large'], 'until it has to go');
    assert.equal(await ledger.reserve(50 * MIB), true);
    assert.deepEqual(removed, [], 'there is room enough');
  });

  test('where nothing has to go, nothing does', async () => {
    const ledger = new Ledger(64 * MIB, async () => assert.fail('it was removed'));
    for (let i = 0; i < 255; i++) ledger.add(`${i}`, MIB / 4);
    assert.equal(await ledger.reserve(MIB / 4), true);
    assert.deepEqual(await ledger.makeRoom(), { entries: 0, bytes: 0 });
    assert.deepEqual(await ledger.evict(64 * MIB), { entries: 0, bytes: 0 });
  });

  test('many go in turns, and what others have used meanwhile stays', async () => {
    let [now, most] = [0, 0];
    const removed: string[] = [];
    const ledger = new Ledger(
      1000,
      async (each) => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setImmediate(resolve));
        now--;
        removed.push(each);
      },
      { outlook: { look: async () => undefined, usedSince: (each) => (each === '7' ? 9_999 : undefined) } },
    );
    for (let i = 0; i < 1000; i++) ledger.add(`${i}`, 1, '', { usedAt: i });
    assert.deepEqual(await ledger.evict(500), { entries: 500, bytes: 500 });
    assert.ok(most > 1 && most <= 32, `${most} at once`);
    assert.equal(ledger.usedAt('7'), 9_999);
    assert.ok(!removed.includes('7') && removed.includes('500'));
  });
});
