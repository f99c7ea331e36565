import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cacheFilter, type EntryInfo } from '../../lib/index.ts';
import { ask } from '../support/client.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { OUTER } from '../support/outer.ts';
import { type Handler, KINDS, serve } from '../support/servers.ts';

for (const kind of KINDS) {
  describe(`${kind}: what earlier middleware sets belongs to each response`, () => {
    test('with cors, helmet, a request id and a session outside, nothing of the leader reaches anybody else', async (t) => {
      const directory = temporaryDirectory(t);
      const names =
        kind === 'http2' || kind === 'http'
          ? ['a request id']
          : ['express-session', 'helmet', 'cors', 'a request id'];
      const outer = OUTER.filter(({ name }) => names.includes(name)).flatMap((each) => each.handlers([]));
      const filter = cacheFilter({ directory, minFreeBytes: 0, freshness: 'immutable' });
      let calls = 0;
      const server = await serve(kind, [
        ...outer,
        (req, res, next) => {
          res.setHeader('X-Caller', String(req.headers['x-caller']));
          next();
        },
        filter as Handler,
        (_req, res) => {
          calls++;
          res.setHeader('X-Mine', 'stored');
          res.setHeader('Content-Length', 4);
          res.end('data');
        },
      ]);
      t.after(async () => {
        await filter.close();
        await server.close();
      });
      const leader = await ask(server, { headers: { Origin: 'http://a.example', 'X-Caller': 'a' } });
      const other = await ask(server, { headers: { Origin: 'http://b.example', 'X-Caller': 'b' } });
      assert.equal(calls, 1);
      assert.equal(other.headers['x-mine'], 'stored');
      assert.equal(leader.headers['x-caller'], 'a');
      assert.equal(other.headers['x-caller'], 'b');
      assert.notEqual(other.headers['x-request-id'], leader.headers['x-request-id']);
      if (names.includes('cors')) {
        assert.equal(leader.headers['access-control-allow-origin'], 'http://a.example');
        assert.equal(other.headers['access-control-allow-origin'], 'http://b.example');
        assert.equal(other.headers['vary'], 'Origin');
        assert.notDeepEqual(other.headers['set-cookie'], leader.headers['set-cookie']);
        assert.ok(other.headers['content-security-policy'], 'helmet spoke for itself');
      }
      let info: EntryInfo | undefined;
      for await (const each of filter.cache.list()) info = each;
      const entry = await filter.cache.open(info?.key ?? { primary: '' });
      assert.deepEqual(
        entry?.head.headers.map(([name]) => name.toLowerCase()).sort(),
        ['date', 'x-mine'],
        'only what the handler set is stored',
      );
      entry?.release();
    });
  });
}
