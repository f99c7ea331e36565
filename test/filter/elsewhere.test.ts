/** What another process stores at the very moment at which many here ask for it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Key } from '../../lib/cache/cache.ts';
import { FileCache, type FileCacheOptions } from '../../lib/cache/file-cache.ts';
import { bytesOf, put } from '../../lib/contracts/cache/steps.ts';
import { onDisk } from '../support/directory.ts';
import { barrier, filtered, said } from '../support/filtered.ts';

const CLIENTS = 30;

/** Its first looks all find nothing, and say so only when something is there. */
class LateCache extends FileCache {
  readonly #looked: () => void;
  readonly #stored: Promise<void>;
  #looks = 0;

  constructor(options: FileCacheOptions, looked: () => void, stored: Promise<void>) {
    super(options);
    this.#looked = looked;
    this.#stored = stored;
  }

  override open(key: Key): ReturnType<FileCache['open']> {
    if (++this.#looks > CLIENTS) return super.open(key);
    if (this.#looks === CLIENTS) this.#looked();
    return this.#stored.then(() => undefined);
  }
}

describe('an entry that another process stores between looking and claiming', () => {
  test('is given to all who were just asking for it', { timeout: 60_000 }, async (t) => {
    const [looked, stored] = [barrier(), barrier()];
    const options = { ...onDisk(t), minFreeBytes: 0 };
    const cache = new LateCache(options, () => looked.reach(), stored.reached);
    const other = new FileCache(options);
    t.after(() => other.close());
    const body = bytesOf(20_000);
    const { get, calls } = await filtered(t, { cache }, (_req, res) => res.end('asked'));
    const asking = Array.from({ length: CLIENTS }, () => get('/a'));
    await looked.reached;
    await put(other, { primary: '/a' }, body);
    stored.reach();
    const answers = await Promise.all(asking);
    assert.deepEqual(new Set(answers.map(said)), new Set(['hit']));
    for (const answer of answers) assert.ok(answer.body.equals(body));
    assert.equal(calls(), 0);
  });
});
