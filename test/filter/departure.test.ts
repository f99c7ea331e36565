/** A client that leaves while there is nothing to send to it. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CacheFilterEvents, FileCache } from '../../lib/index.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { barrier, filtered } from '../support/filtered.ts';

type Served = CacheFilterEvents['cache-filter:served'];

test('its answer is over there and then; the fill goes on', { timeout: 30_000 }, async (t) => {
  const body = Buffer.alloc(300_000, 'a');
  const { reached, reach } = barrier();
  const cache = new FileCache({ directory: join(temporaryDirectory(t), 'cache') });
  const { server, get, filter, calls } = await filtered(t, { cache }, async (_req, res) => {
    res.writeHead(200, { 'Content-Length': body.length });
    res.write(body.subarray(0, 200_000));
    await reached;
    res.end(body.subarray(200_000));
  });
  t.after(() => cache.close());
  const served: Served[] = [];
  const told = new Map<string, () => void>();
  const listener = (event: unknown) => {
    served.push(event as Served);
    told.get((event as Served).source)?.();
  };
  subscribe('cache-filter:served', listener);
  t.after(() => unsubscribe('cache-filter:served', listener));

  // The one who leads, and one who follows.
  for (const source of ['fill', 'collapsed'] as const) {
    const over = new Promise<void>((resolve) => told.set(source, resolve));
    const socket = connect(server.port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    let came = 0;
    for await (const piece of socket) {
      came += (piece as Buffer).length;
      if (came > 200_000) break;
    }
    socket.destroy();
    await over;
  }
  assert.deepEqual(
    served.map(({ source, complete, bytes }) => ({ source, complete, bytes })),
    [
      { source: 'fill', complete: false, bytes: 200_000 },
      { source: 'collapsed', complete: false, bytes: 200_000 },
    ],
  );
  reach();
  await filter.idle();
  const answer = await get();
  assert.ok(answer.body.equals(body));
  assert.equal(calls(), 1, 'what the others left behind was stored');
});
