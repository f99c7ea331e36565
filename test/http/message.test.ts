import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHttp2 } from '../../lib/http/message.ts';
import { ask } from '../support/client.ts';
import { serve } from '../support/servers.ts';

for (const [kind, expected] of [
  ['http', false],
  ['http2', true],
] as const) {
  test(`isHttp2 tells of a request and of a response over ${kind}`, async (t) => {
    const seen: boolean[] = [];
    const server = await serve(kind, [
      (req, res) => {
        seen.push(isHttp2(req), isHttp2(res));
        res.end();
      },
    ]);
    t.after(() => server.close());
    assert.equal((await ask(server)).status, 200);
    assert.deepEqual(seen, [expected, expected]);
  });
}
