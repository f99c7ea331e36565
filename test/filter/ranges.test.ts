import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import { onDisk } from '../support/directory.ts';
import { BODY, barrier, filtered, said } from '../support/filtered.ts';
import { KINDS } from '../support/servers.ts';

for (const kind of KINDS) {
  describe(`${kind}: ranges of a stored body`, () => {
    test('one range, a suffix, an open end, and one past the end', async (t) => {
      const { get, calls } = await filtered(t, { ...onDisk(t) }, undefined, kind);
      await get();
      for (const [range, start, end] of [
        ['bytes=0-0', 0, 1],
        ['bytes=10-19', 10, 20],
        ['bytes=30-', 30, 36],
        ['bytes=-6', 30, 36],
        ['bytes=-600', 0, 36],
        ['bytes=35-999', 35, 36],
      ] as const) {
        const answer = await get('/', { Range: range });
        assert.equal(answer.status, 206, range);
        assert.equal(answer.body.toString(), BODY.subarray(start, end).toString(), range);
        assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/36`, range);
        assert.equal(answer.headers['content-length'], String(end - start), range);
        assert.equal(said(answer), 'hit');
      }
      assert.equal(calls(), 1);
    });

    test('several ranges as multipart/byteranges', async (t) => {
      const { get } = await filtered(t, {}, undefined, kind);
      await get();
      const answer = await get('/', { Range: 'bytes=0-1,5-6,-1' });
      assert.equal(answer.status, 206);
      const [, boundary] =
        /^multipart\/byteranges; boundary=(\w+)$/.exec(String(answer.headers['content-type'])) ?? [];
      assert.ok(boundary);
      const parts = answer.body.toString().split(`--${boundary}`);
      assert.deepEqual(
        parts.slice(1, -1).map((part) => part.split('\r\n\r\n')[1]),
        ['01\r\n', '56\r\n', 'z\r\n'],
      );
      assert.match(String(parts[1]), /Content-Type: text\/plain\r\nContent-Range: bytes 0-1\/36/);
      assert.equal(parts.at(-1), '--\r\n');
      assert.equal(answer.headers['content-length'], String(answer.body.length));
    });

    test('a range outside of the body: 416, with its size', async (t) => {
      const { get } = await filtered(t, {}, undefined, kind);
      await get();
      const answer = await get('/', { Range: 'bytes=36-' });
      assert.equal(answer.status, 416);
      assert.equal(answer.headers['content-range'], 'bytes */36');
      assert.equal(answer.body.length, 0);
      assert.ok(answer.complete);
    });

    test('If-Range: a range while the validator holds, else the whole', async (t) => {
      const { get } = await filtered(t, {}, undefined, kind);
      await get();
      const { etag } = (await get()).headers;
      const same = await get('/', { Range: 'bytes=0-1', 'If-Range': String(etag) });
      assert.deepEqual([same.status, same.body.toString()], [206, '01']);
      const other = await get('/', { Range: 'bytes=0-1', 'If-Range': '"other"' });
      assert.deepEqual([other.status, other.body.length], [200, 36]);
    });

    test('a HEAD has no range and no body', async (t) => {
      const { get } = await filtered(t, {}, undefined, kind);
      await get();
      const answer = await get('/', { Range: 'bytes=0-1' }, { method: 'HEAD' });
      assert.deepEqual(
        [answer.status, answer.headers['content-length'], answer.body.length, said(answer)],
        [200, '36', 0, 'hit'],
      );
    });
  });

  describe(`${kind}: a range of something that is not stored`, () => {
    test('the whole is fetched, the handler knows of no range, and the client gets its part', async (t) => {
      let seen: unknown[] = [];
      const { get, filter, calls } = await filtered(
        t,
        {},
        (req, res) => {
          seen = [
            req.headers.range,
            req.headers['if-range'],
            req.rawHeaders.includes('range'),
            req.headers['x-other'],
          ];
          res.setHeader('Content-Length', BODY.length);
          res.end(BODY);
        },
        kind,
      );
      const answer = await get('/', { range: 'bytes=3-5', 'x-other': 'kept' });
      assert.deepEqual(seen, [undefined, undefined, false, 'kept']);
      assert.deepEqual(
        [answer.status, answer.body.toString(), answer.headers['content-range']],
        [206, '345', 'bytes 3-5/36'],
      );
      assert.equal(said(answer), 'fwd=uri-miss; stored; detail=unverified');
      await filter.idle();
      assert.equal(said(await get()), 'hit');
      assert.equal(calls(), 1);
    });

    test('with coldRange bypass it goes to the application as it is', async (t) => {
      const { get } = await filtered(
        t,
        { coldRange: 'bypass' },
        (req, res) => {
          res.writeHead(206, { 'Content-Range': 'bytes 0-1/36', 'X-Saw': String(req.headers.range) });
          res.end('01');
        },
        kind,
      );
      const answer = await get('/', { Range: 'bytes=0-1' });
      assert.deepEqual(
        [answer.status, answer.headers['x-saw'], said(answer)],
        [206, 'bytes=0-1', 'fwd=uri-miss; detail=range'],
      );
    });

    test('so does one that begins far into the body, or at its end', async (t) => {
      const { get } = await filtered(t, {}, (req, res) => res.end(String(req.headers.range)), kind);
      for (const range of ['bytes=99999999-', 'bytes=-5']) {
        const answer = await get('/', { Range: range });
        assert.deepEqual([answer.body.toString(), said(answer)], [range, 'fwd=uri-miss; detail=range']);
      }
    });

    test('where the answer is not kept, the range is cut out of what the handler wrote', async (t) => {
      const { get, calls } = await filtered(
        t,
        {},
        (_req, res) => {
          res.writeHead(200, { 'Cache-Control': 'no-store', 'Content-Length': BODY.length });
          for (let at = 0; at < BODY.length; at += 7) res.write(BODY.subarray(at, at + 7));
          res.end();
        },
        kind,
      );
      const answer = await get('/', { Range: 'bytes=5-20' });
      assert.deepEqual(
        [answer.status, answer.headers['content-range'], answer.headers['content-length']],
        [206, 'bytes 5-20/36', '16'],
      );
      assert.equal(answer.body.toString(), BODY.subarray(5, 21).toString());
      assert.equal(said(answer), 'fwd=uri-miss; detail=no-store');
      assert.equal(calls(), 1);
    });
  });
}

test('a range of a running fill is answered as soon as its bytes are there, and can not be combined', async (t) => {
  const body = randomBytes(600_000);
  const first = barrier();
  const rest = barrier();
  const { get, filter, calls } = await filtered(t, { ...onDisk(t) }, async (_req, res) => {
    res.writeHead(200, { 'Content-Length': body.length, ETag: '"v1"' });
    res.write(body.subarray(0, 300_000));
    first.reach();
    await rest.reached;
    res.end(body.subarray(300_000));
  });
  const whole = get();
  await first.reached;
  // Answered while the rest is still held back.
  const part = await get('/', { Range: 'bytes=1000-1999' });
  assert.deepEqual([part.status, said(part)], [206, 'fwd=uri-miss; collapsed; detail=unverified']);
  assert.ok(part.body.equals(body.subarray(1000, 2000)));
  assert.equal(part.headers['etag'], 'W/"v1"', 'a weak validator forbids to put parts together');
  assert.equal(part.headers['repr-digest'], undefined, 'nothing is verified yet');
  const last = get('/', { Range: 'bytes=599990-' });
  rest.reach();
  assert.ok((await last).body.equals(body.subarray(599_990)));
  assert.ok((await whole).body.equals(body));
  await filter.idle();
  const stored = await get('/', { Range: 'bytes=1000-1999' });
  assert.equal(stored.headers['etag'], '"v1"');
  assert.ok(stored.headers['repr-digest']);
  assert.equal(calls(), 1);
});

for (const kind of KINDS) {
  describe(`${kind}: with provisionalRanges wait`, () => {
    const body = randomBytes(600_000);
    const wanted = { Range: 'bytes=1000-1999' };

    /** The body stops half-way until `rest`; `joined` resolves when a second request has passed the gate. */
    async function halved(t: TestContext, end: (res: ServerResponse) => void) {
      const [first, joined, rest] = [barrier(), barrier(), barrier()];
      const scene = await filtered(
        t,
        { ...onDisk(t), provisionalRanges: 'wait', authorize: () => Boolean([joined.reach()]) },
        async (_req, res) => {
          res.setHeader('Content-Length', body.length);
          res.setHeader('ETag', '"v1"');
          res.write(body.subarray(0, 300_000));
          first.reach();
          await rest.reached;
          end(res as ServerResponse);
        },
        kind,
      );
      return { ...scene, first, joined, rest };
    }

    test('a part of a running fill goes out once the whole is verified, and is as good as a stored one', async (t) => {
      const { get, first, joined, rest, calls } = await halved(t, (res) => res.end(body.subarray(300_000)));
      const whole = get();
      await first.reached;
      let answered = false;
      const part = get('/', wanted).finally(() => (answered = true));
      await joined.reached;
      assert.equal((await get('/', {}, { method: 'HEAD' })).status, 200);
      assert.equal(answered, false);
      rest.reach();
      const { status, headers, body: got } = await part;
      assert.deepEqual([status, said(await part), headers['etag']], [206, 'fwd=uri-miss; collapsed', '"v1"']);
      assert.ok(got.equals(body.subarray(1000, 2000)));
      assert.ok((await whole).body.equals(body));
      assert.equal(calls(), 1);
    });

    test('so does that of the request that leads', async (t) => {
      const { get, first, rest } = await halved(t, (res) => res.end(body.subarray(300_000)));
      const part = get('/', wanted);
      await first.reached;
      rest.reach();
      assert.deepEqual([(await part).status, said(await part)], [206, 'fwd=uri-miss; stored']);
      assert.ok((await part).body.equals(body.subarray(1000, 2000)));
    });

    test('where the whole fails, none of it goes out, and a client that leaves is not waited for', async (t) => {
      const { get, first, joined, rest, filter } = await halved(t, (res) => res.destroy());
      const whole = get();
      await first.reached;
      const leaver = new AbortController();
      const left = get('/', wanted, { signal: leaver.signal });
      const part = get('/', wanted);
      await joined.reached;
      leaver.abort();
      await left;
      rest.reach();
      const { status, complete, body: got } = await part;
      assert.deepEqual([status, complete, got.length], [0, false, 0]);
      assert.equal((await whole).complete, false);
      await filter.idle();
    });
  });
}
