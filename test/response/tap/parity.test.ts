import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cacheFilter } from '../../../lib/index.ts';
import { type Answer, ask } from '../../support/client.ts';
import { onDisk } from '../../support/directory.ts';
import { material } from '../../support/material.ts';
import { type Handler, KINDS, serve } from '../../support/servers.ts';
import { WAYS } from '../../support/ways.ts';

/** About the connection or the moment, or ours to add. */
const MAY_DIFFER = ['connection', 'keep-alive', 'transfer-encoding', 'date', 'cache-status', ':status'];
const MAY_BE_ADDED = ['accept-ranges', 'etag', 'content-length', 'repr-digest', 'age'];

/** Everything that `to` says must be what `from` said, but for what a cache may add. */
function assertSame(from: Answer, to: Answer, what: string): void {
  assert.equal(to.status, from.status, `${what}: status`);
  assert.equal(to.statusMessage, from.statusMessage, `${what}: reason phrase`);
  assert.ok(to.complete, `${what}: complete`);
  assert.ok(
    to.body.equals(from.body),
    `${what}: ${to.body.length} bytes where ${from.body.length} were sent, or others`,
  );
  const names = new Set([...Object.keys(from.headers), ...Object.keys(to.headers)]);
  for (const name of names) {
    if (MAY_DIFFER.includes(name)) continue;
    if (MAY_BE_ADDED.includes(name) && from.headers[name] === undefined) continue;
    assert.deepEqual(to.headers[name], from.headers[name], `${what}: ${name}`);
  }
}

for (const kind of KINDS) {
  describe(`${kind}: without the filter, on a miss and on a hit the answer is the same`, () => {
    for (const way of WAYS) {
      if (way.kinds !== undefined && !way.kinds.includes(kind)) continue;
      test(way.name, async (t) => {
        const bytes = await material(t, 300_000);
        let calls = 0;
        const app = way.handler(bytes, kind);
        const counted: Handler = (req, res, next) => {
          calls++;
          return app(req, res, next);
        };
        const filter = cacheFilter({
          ...onDisk(t),
          freshness: 'immutable',
          integrity: 'end',
        });
        const bare = await serve(kind, [app]);
        const cached = await serve(kind, [filter as Handler, counted]);
        t.after(async () => {
          await filter.close();
          await bare.close();
          await cached.close();
        });

        const direct = await ask(bare, { path: '/body.bin' });
        const miss = await ask(cached, { path: '/body.bin' });
        const hit = await ask(cached, { path: '/body.bin' });

        assert.equal(miss.headers['cache-status'], 'cache-filter; fwd=uri-miss; stored');
        assert.equal(hit.headers['cache-status'], 'cache-filter; hit');
        assert.equal(calls, 1, 'the handler ran once');
        assertSame(direct, miss, 'miss');
        assertSame(miss, hit, 'hit');
        assert.equal(hit.headers['date'], miss.headers['date'], 'a hit repeats the Date of the answer it is');
      });
    }
  });
}
