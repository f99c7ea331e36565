/** Bodies that are too large, quotas, and answers that come before a body is over. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { QuotaContext } from '../../lib/registry/index.ts';
import { registry } from '../../lib/registry/index.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { barrier } from '../support/filtered.ts';
import { type Handler, KINDS, listening } from '../support/servers.ts';
import { head, raw } from './raw.ts';
import { blobPath, client, digestOf, REPO, serving, UPLOADS } from './serving.ts';

const MIB = 2 ** 20;
const BYTES = Buffer.alloc(3 * MIB, 'quota');
const DIGEST = digestOf(BYTES);

describe('a blob that is too large', () => {
  it('is refused with 413 by every way, and its upload is gone', async (t) => {
    const storage = new Storage(new MemoryBackend(), { maxBlobBytes: 1000 });
    const { call } = await serving(t, { storage });
    for (const chunked of [false, true]) {
      const post = await call('POST', `${UPLOADS}?digest=${DIGEST}`, { body: BYTES, chunked });
      assert.deepEqual([post.status, post.code], [413, 'SIZE_INVALID'], `POST, chunked: ${chunked}`);
      for (const method of ['PATCH', 'PUT']) {
        const at = String((await call('POST', UPLOADS)).headers['location']);
        assert.equal((await call('PATCH', at, { body: BYTES.subarray(0, 600) })).status, 202);
        const answer = await call(method, `${at}?digest=${DIGEST}`, {
          body: BYTES.subarray(0, 600),
          chunked,
        });
        assert.deepEqual(
          [answer.status, answer.code],
          [413, 'SIZE_INVALID'],
          `${method}, chunked: ${chunked}`,
        );
        assert.equal((await call('GET', at)).status, 404);
      }
    }
    const small = BYTES.subarray(0, 1000);
    assert.equal((await call('POST', `${UPLOADS}?digest=${digestOf(small)}`, { body: small })).status, 201);
  });
});

describe('a quota', () => {
  it('is asked before a declared body is taken, with what the blob would have then', async (t) => {
    const asked: Omit<QuotaContext, 'req'>[] = [];
    const { call } = await serving(t, {
      authenticate: () => 'ann',
      quota: ({ req: _, ...rest }) => {
        asked.push(rest);
        return true;
      },
    });
    const at = String((await call('POST', UPLOADS)).headers['location']);
    await call('PATCH', at, { body: BYTES.subarray(0, 1000) });
    await call('PUT', `${at}?digest=${DIGEST}`, { body: BYTES.subarray(1000) });
    const bytes = [0, 1000, BYTES.length, BYTES.length];
    assert.deepEqual(
      asked,
      bytes.map((each) => ({ user: 'ann', repository: REPO, bytes: each })),
    );
    asked.length = 0;
    await call('POST', `${UPLOADS}?digest=${DIGEST}`, { body: BYTES });
    assert.ok(asked.length >= 2 && asked.every((each) => each.bytes === BYTES.length), JSON.stringify(asked));
  });

  it('that can not be asked at the moment costs no upload', async (t) => {
    let isDown = false;
    const { call } = await serving(t, {
      quota: () => {
        if (isDown) throw new Error('the database is down');
        return true;
      },
    });
    const at = String((await call('POST', UPLOADS)).headers['location']);
    await call('PATCH', at, { body: BYTES });
    isDown = true;
    assert.equal((await call('PUT', `${at}?digest=${DIGEST}`)).status, 500);
    isDown = false;
    assert.equal((await call('PUT', `${at}?digest=${DIGEST}`)).status, 201);
  });

  it('refuses with 413 what it has no room for, and the upload is gone', async (t) => {
    const { call, storage } = await serving(t, { quota: ({ bytes }) => bytes <= MIB });
    const post = await call('POST', `${UPLOADS}?digest=${DIGEST}`, { body: BYTES });
    assert.deepEqual([post.status, post.code], [413, 'DENIED']);
    for (const chunked of [false, true]) {
      for (const method of ['PATCH', 'PUT']) {
        const at = String((await call('POST', UPLOADS)).headers['location']);
        const answer = await call(method, `${at}?digest=${DIGEST}`, { body: BYTES, chunked });
        assert.deepEqual([answer.status, answer.code], [413, 'DENIED'], `${method}, chunked: ${chunked}`);
        assert.equal((await call('GET', at)).status, 404);
      }
    }
    assert.equal(await storage.blobSize('default', DIGEST), undefined);
  });

  it('is asked as a body without a length comes, and about all of it before it becomes a blob', async (t) => {
    const asked: number[] = [];
    const { call } = await serving(t, { quota: ({ bytes }) => asked.push(bytes) > 0 });
    const at = String((await call('POST', UPLOADS)).headers['location']);
    await call('PUT', `${at}?digest=${DIGEST}`, { body: BYTES, chunked: true });
    assert.equal(asked[0], 0);
    assert.equal(asked.at(-1), BYTES.length);
    for (let n = 2; n < asked.length; n++) {
      const more = (asked[n] as number) - (asked[n - 1] as number);
      assert.ok(more <= MIB + 65_536, `${more} bytes without being asked`);
    }
  });

  it('that answers nothing that means something goes to next(err)', async (t) => {
    const { call } = await serving(t, { quota: (() => 'yes') as never });
    const answer = await call('POST', UPLOADS);
    assert.deepEqual([answer.status, answer.body.toString()], [500, 'failed']);
  });
});

describe('an answer that comes before the body is over', () => {
  it('reaches a client that goes on sending, and then the connection is closed', async (t) => {
    const { server } = await serving(t, { authorize: () => false });
    const slow = await raw(server);
    slow.socket.write(head('PATCH', `${UPLOADS}${'0'.repeat(32)}`, { 'Content-Length': 100 * MIB }));
    slow.socket.write(Buffer.alloc(MIB));
    await slow.until(/^HTTP\/1\.1 401 [\s\S]*Connection: close[\s\S]*\r\n\r\n\{"errors".*\}$/i);
    let sent = 0;
    const more = (): void => {
      while (!slow.socket.destroyed && sent < 100 && slow.socket.write(Buffer.alloc(MIB))) sent++;
      sent++;
    };
    slow.socket.on('drain', more);
    more();
    await slow.closed;
    assert.ok(sent < 100, 'all of an unwanted body was taken');
  });

  it('keeps the connection where little is left', async (t) => {
    const { server } = await serving(t);
    const kept = await raw(server);
    const path = `${UPLOADS}${'0'.repeat(32)}`;
    kept.socket.write(head('PATCH', path, { 'Content-Length': 5 }));
    await kept.until(/^HTTP\/1\.1 404 [\s\S]*\}$/);
    kept.socket.write(`hello${head('GET', '/v2/', { Connection: 'close' })}`);
    await kept.until(/HTTP\/1\.1 200 /);
  });

  it('ends the connection where the little that is left does not come', async (t) => {
    const { server } = await serving(t, { authorize: () => false });
    const slow = await raw(server);
    slow.socket.write(head('POST', UPLOADS, { 'Content-Length': 100 }));
    await slow.until(/^HTTP\/1\.1 401 [\s\S]*\}$/);
    // A byte now and then, so that the connection is never idle.
    const drip = setInterval(() => slow.socket.write('a'), 500);
    const begun = Date.now();
    await Promise.race([slow.closed, new Promise((resolve) => setTimeout(resolve, 15_000))]);
    clearInterval(drip);
    assert.ok(slow.socket.closed, 'open after 15 s');
    assert.ok(Date.now() - begun > 3_000, 'little time was given');
  });

  it('is not kept for a client that takes nothing of it', async (t) => {
    const tags = Array.from({ length: 100_000 }, (_, n) => `${n}`.repeat(20));
    const storage = new Storage(new MemoryBackend());
    storage.listTags = async () => tags;
    let asked = barrier<IncomingMessage>();
    const before: Handler[] = [
      (req, _res, next) => {
        asked.reach(req);
        next();
      },
    ];
    const { server } = await serving(t, { storage, sendTimeoutMs: 200, before });
    for (const fields of [{}, { 'Content-Length': MIB }] as Record<string, number>[]) {
      asked = barrier();
      const deaf = await raw(server);
      deaf.socket.pause();
      deaf.socket.write(head('GET', `/v2/${REPO}/tags/list`, fields));
      const { socket } = await asked.reached;
      await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 20_000))]);
      assert.ok(socket.destroyed, `with ${JSON.stringify(fields)}: open after 20 s`);
      deaf.socket.destroy();
    }
  });

  it('goes on with the connection after a body that was taken in part', async (t) => {
    const { server, call } = await serving(t);
    const at = String((await call('POST', UPLOADS)).headers['location']);
    const kept = await raw(server);
    const body = Buffer.alloc(50_000);
    kept.socket.write(
      head('PATCH', at, { 'Content-Length': body.length, 'Content-Range': `7-${body.length + 6}` }),
    );
    kept.socket.write(body);
    await kept.until(/^HTTP\/1\.1 416 [\s\S]*\}$/);
    kept.socket.write(head('GET', '/v2/', { Connection: 'close' }));
    await kept.until(/HTTP\/1\.1 200 /);
  });

  it('reaches clients of every kind of server', async (t) => {
    for (const kind of KINDS) {
      const { call } = await serving(t, { kind });
      const answer = await call('PATCH', `${UPLOADS}${'0'.repeat(32)}`, { body: BYTES });
      assert.deepEqual([answer.status, answer.code], [404, 'BLOB_UPLOAD_UNKNOWN'], kind);
    }
  });

  it('on HTTP/2 ends the stream of who goes on sending, without an error', async (t) => {
    const { server } = await serving(t, { kind: 'http2', authorize: () => false });
    const session = connectHttp2(`http://127.0.0.1:${server.port}`);
    t.after(() => session.close());
    const stream = session.request({ ':path': UPLOADS, ':method': 'POST' }, { endStream: false });
    stream.on('error', () => undefined);
    let status = 0;
    stream.on('response', (given) => {
      status = Number(given[':status']);
    });
    stream.resume();
    const fill = (): void => {
      while (!stream.closed && stream.writable && stream.write(Buffer.alloc(65_536)));
    };
    stream.on('drain', fill);
    fill();
    await new Promise((resolve) => stream.on('aborted', resolve));
    assert.deepEqual([status, stream.rstCode], [401, constants.NGHTTP2_NO_ERROR]);
    stream.destroy();
  });
});

describe('a body that somebody else has read', () => {
  it('fails aloud, rather than become an empty blob', async (t) => {
    const { call } = await serving(t, {
      before: [
        (req, _res, next) => {
          req.resume().on('end', () => next());
        },
      ],
    });
    const answer = await call('POST', `${UPLOADS}?digest=${DIGEST}`, { body: BYTES });
    assert.deepEqual([answer.status, answer.body.toString()], [500, 'failed']);
  });
});

describe('a manifest that comes byte by byte', () => {
  it('takes no more memory than its bytes', async (t) => {
    let received: IncomingMessage | undefined;
    const { server } = await serving(t, {
      before: [
        (req, _res, next) => {
          received = req as IncomingMessage;
          next();
        },
      ],
    });
    const slow = await raw(server);
    let sent = 0;
    /** Each by itself: what comes together is one piece. */
    const send = async (text: string): Promise<void> => {
      slow.socket.write(text);
      sent += text.length;
      while (received?.socket.bytesRead !== sent) await new Promise((resolve) => setImmediate(resolve));
    };
    const fields = { 'Content-Type': 'application/x', 'Transfer-Encoding': 'chunked' };
    await send(head('PUT', `/v2/${REPO}/manifests/v1`, fields));
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const COUNT = 5_000;
    /** What is kept of each, in bytes. */
    const kept = async (): Promise<number> => {
      const before = process.memoryUsage().heapUsed;
      for (let n = 0; n < COUNT; n++) await send('1\r\n \r\n');
      collect();
      return (process.memoryUsage().heapUsed - before) / COUNT;
    };
    collect();
    // What else the process takes comes once; what is kept of each, with every thousand.
    const found = [await kept(), await kept(), await kept(), await kept()];
    const [, second = Number.NaN] = found.toSorted((a, b) => a - b);
    assert.ok(second < 50, `${found.join(', ')} bytes are kept for each`);
    slow.socket.write('2\r\n{}\r\n0\r\n\r\n');
    await slow.until(/^HTTP\/1\.1 201 /);
  });
});

describe('a large upload', () => {
  it('does not need more memory than a small one', async (t) => {
    const storage = new Storage(new MemoryBackend());
    let most = 0;
    let held = 0;
    storage.uploadChunk = async (_namespace, _id, bytes) => {
      let end = 0;
      for await (const piece of bytes as AsyncIterable<Uint8Array>) {
        end += piece.byteLength;
        held = piece.byteLength;
        most = Math.max(most, held);
        await new Promise((resolve) => setImmediate(resolve));
      }
      return { start: 0, end };
    };
    const handler = registry({ storage, authorize: 'anyone' });
    const server = await listening(
      'http',
      createServer((req, res) => handler(req, res)),
    );
    t.after(() => server.close());
    const { call } = client(server, storage);
    const at = String((await call('POST', UPLOADS)).headers['location']);
    const answer = await call('PATCH', at, { body: Buffer.alloc(20 * MIB) });
    assert.deepEqual([answer.status, answer.headers['range']], [202, `0-${20 * MIB - 1}`]);
    assert.ok(most <= MIB, `${most} bytes at once`);
    assert.equal((await call('HEAD', blobPath(DIGEST))).status, 404);
  });
});
