import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { seal } from '../../lib/cache/seal.ts';
import { FileCache } from '../../lib/index.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { BODY, filtered, said } from '../support/filtered.ts';

describe('an entry that a newer version has stored', () => {
  test('passes through, with the reason, until it is purged', async (t) => {
    const directory = temporaryDirectory(t);
    const cache = new FileCache({ directory, minFreeBytes: 0, logger: false });
    t.after(() => cache.close());
    const { get, calls } = await filtered(t, { cache });
    assert.equal(said(await get('/a')), 'fwd=uri-miss; stored');
    const records = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.json'),
    );
    assert.equal(records.length, 1);
    const path = join(directory, records[0] ?? '');
    const { checksum: _, ...record } = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, seal({ ...record, format: 2 }));

    for (let i = 2; i <= 3; i++) {
      const answer = await get('/a');
      assert.equal(said(answer), 'fwd=uri-miss; detail=unknown-format');
      assert.deepEqual([answer.status, answer.complete, answer.body.equals(BODY)], [200, true, true]);
      assert.equal(calls(), i);
    }
    assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')).format, 2);

    assert.equal((await get('/a', {}, { method: 'DELETE' })).status, 204);
    assert.equal(said(await get('/a')), 'fwd=uri-miss; stored');
    assert.equal(said(await get('/a')), 'hit');
  });
});
