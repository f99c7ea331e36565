/** What a disk can do wrong at the very end, for whoever reads just then. Failing writes, reads and whole directories: store-faults.test.ts. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { Layout, parseFileName } from '../../../lib/fs/layout.ts';
import { said } from '../../support/filtered.ts';
import { WIRES } from '../../support/reading.ts';
import { BODY, LAST, Scene, SIZE } from './scene.ts';

const LIMIT = { timeout: 60_000 };

describe('a body that can not be moved to its place', () => {
  for (const wire of WIRES) {
    test(`${wire}: everybody gets the whole, and nothing of it is stored`, LIMIT, async (t) => {
      const scene = await Scene.set(t, {
        wire,
        script: async (res, now) => {
          res.setHeader('Content-Length', SIZE);
          res.write(BODY.subarray(0, SIZE / 2));
          await now();
          res.end(BODY.subarray(SIZE / 2));
        },
      });
      const layout = new Layout(scene.directory);
      const readers = [scene.ask()];
      await scene.reached;
      readers.push(scene.ask(), scene.ask({ headers: LAST }));
      await scene.reading(3);
      // A file where the directory of its entry would be: neither can it be made, nor anything be renamed into it.
      const claim = readdirSync(layout.incomplete)
        .map(parseFileName)
        .find((file) => file?.kind === 'claim');
      assert.ok(claim !== undefined);
      const place = layout.shard(claim.name);
      mkdirSync(dirname(place), { recursive: true });
      writeFileSync(place, 'in the way');
      scene.go();
      const answers = await Promise.all(readers.map(({ over }) => over));
      for (const answer of answers) assert.ok(answer.complete, said(answer));
      await scene.filter.idle();
      const { stored, rejected } = (await scene.filter.stats()).responses;
      assert.deepEqual([stored, rejected], [1, 1], 'the fault fired; what is stored came before');
      assert.ok(statSync(place).isFile());
      rmSync(place);
      while ((await scene.filter.cache.stats()).state !== 'up')
        await new Promise((resolve) => setTimeout(resolve, 20));
      await scene.aftermath(answers, { calls: 1 });
    });
  }
});
