/** What the clients of a file get of which only parts are there: status, fields and bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileCache } from '../../../lib/cache/file-cache.ts';
import { bytesOf } from '../../../lib/contracts/cache/steps.ts';
import { ColdFiles } from '../../../lib/filter/cold/cold-files.ts';
import { send } from '../../../lib/response/send.ts';
import { onDisk } from '../../support/directory.ts';
import { serve } from '../../support/servers.ts';
import { plainly, RangeOrigin } from './range-origin.ts';

const MIB = 2 ** 20;

test('206, several ranges, 416, 304, HEAD and 200 out of parts', async (t) => {
  const bytes = bytesOf(3 * MIB + 9);
  const origin = await RangeOrigin.start(t, bytes);
  const cache = new FileCache({ ...onDisk(t), logger: false });
  t.after(() => cache.close());
  const files = new ColdFiles({ source: plainly, cache });
  const server = await serve('http', [
    async (req, res) => {
      const asked = { method: req.method ?? '', headers: req.headers };
      const answer = await files.answer({
        key: { primary: '/file' },
        asked,
        request: origin.request,
        admit: () => undefined,
        terms: () => ({}),
        signal: new AbortController().signal,
      });
      assert.ok(answer !== undefined && 'body' in answer);
      await send(asked, res, answer.body);
    },
  ]);
  t.after(() => server.close());
  const get = async (headers: Record<string, string>, method = 'GET') => {
    const res = await fetch(`http://127.0.0.1:${server.port}/`, { method, headers });
    return { status: res.status, headers: res.headers, body: Buffer.from(await res.arrayBuffer()) };
  };
  const part = await get({ range: `bytes=${MIB - 1}-${MIB}` });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get('content-range'), `bytes ${MIB - 1}-${MIB}/${bytes.length}`);
  assert.deepEqual(
    [part.headers.get('etag'), part.headers.get('content-type'), part.headers.get('content-length')],
    ['"1"', 'application/x-test', '2'],
  );
  assert.ok(part.body.equals(bytes.subarray(MIB - 1, MIB + 1)));
  const several = await get({ range: 'bytes=0-1,-2' });
  assert.equal(several.status, 206);
  assert.match(several.headers.get('content-type') ?? '', /^multipart\/byteranges/);
  assert.equal((await get({ range: `bytes=${bytes.length}-` })).status, 416);
  assert.equal((await get({ range: 'bytes=0-0', 'if-none-match': '"1"' })).status, 304);
  const head = await get({}, 'HEAD');
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(bytes.length)]);
  const whole = await get({});
  assert.equal(whole.status, 200);
  assert.ok(whole.body.equals(bytes));
  assert.deepEqual(origin.blocks(MIB), [1, 1, 1, 1]);
});
