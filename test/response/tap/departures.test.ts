import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cacheFilter } from '../../../lib/index.ts';
import { ask } from '../../support/client.ts';
import { onDisk } from '../../support/directory.ts';
import { barrier } from '../../support/filtered.ts';
import { material } from '../../support/material.ts';
import { type Handler, KINDS, serve } from '../../support/servers.ts';
import { WAYS } from '../../support/ways.ts';

const SIZE = 1_000_000;

for (const kind of KINDS) {
  describe(`${kind}: when the client leaves, the handler goes on and the body is kept`, () => {
    for (const way of WAYS) {
      if (!way.gated || (way.kinds !== undefined && !way.kinds.includes(kind))) continue;
      for (const percent of [0, 1, 50, 99]) {
        test(`${way.name}, at ${percent} %`, async (t) => {
          const bytes = await material(t, SIZE);
          const at = (SIZE * percent) / 100;
          const held = barrier();
          const left = barrier();
          // The source stops where the client shall leave, until the server has seen it leave.
          bytes.gate.wait = async (delivered) => {
            if (delivered + 50_000 <= at) return;
            held.reach();
            await left.reached;
          };
          let sawClose = 0;
          const watch: Handler = (_req, res, next) => {
            res.once('close', () => {
              sawClose++;
              left.reach();
            });
            next();
          };
          const filter = cacheFilter({
            ...onDisk(t),
            freshness: 'immutable',
            integrity: 'end',
          });
          const server = await serve(kind, [watch, filter as Handler, way.handler(bytes, kind)]);
          t.after(async () => {
            await filter.close();
            await server.close();
          });

          const client = new AbortController();
          const first = ask(server, { signal: client.signal });
          await held.reached;
          client.abort();
          const answer = await first;
          await left.reached;
          await filter.idle();

          assert.equal(
            sawClose,
            1,
            'the fault fired: the server saw the client leave while the handler was held',
          );
          assert.equal(answer.complete, false, 'the client did not get it all');
          const hit = await ask(server);
          assert.equal(hit.headers['cache-status'], 'cache-filter; hit');
          assert.ok(hit.body.equals(bytes.body), 'the whole body was kept');
        });
      }
    }
  });
}
