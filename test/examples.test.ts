import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type Answer, type Ask, ask } from './support/client.ts';
import type { Kind } from './support/servers.ts';

const DEADLINE_MS = 60_000;

interface Example {
  process: ChildProcess;
  /** All that it has printed so far. */
  output(): string;
  /** Resolves when the output holds `text`; rejects when the process ends without it. */
  prints(text: string | RegExp): Promise<string>;
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | string>;
}

interface Row {
  bytes: string;
  md5: string;
  status: string;
  /** Requests that reached the service. */
  origin: string;
  /** Cache-Status. */
  cache: string;
}

function start(name: string, cwd: string, env: Record<string, string>): Example {
  const path = fileURLToPath(new URL(`../examples/${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), path], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  return {
    process: child,
    output: () => output,
    ended,
    async prints(text) {
      const done = ended.then((code) => `${code}`);
      while (!(typeof text === 'string' ? output.includes(text) : text.test(output))) {
        const code = await Promise.race([done, once(child.stdout, 'data').then(() => undefined)]);
        if (code !== undefined) assert.match(output, new RegExp(text), `${name} ended with ${code}`);
      }
      return output;
    },
  };
}

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cache-filter-examples-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

interface Running {
  port: number;
  get(path: string, headers?: Record<string, string>, more?: Ask): Promise<Answer>;
  prints: Example['prints'];
}

/** The example `name`, listening. After the test it is told to stop, and must end well. */
async function running(
  t: TestContext,
  name: string,
  kind: Kind = 'http',
  env: Record<string, string> = {},
): Promise<Running> {
  const cwd = await mkdtemp(join(tmpdir(), 'cache-filter-examples-'));
  const example = start(name, cwd, { PORT: '0', ...env });
  t.after(async () => {
    example.process.kill('SIGTERM');
    const code = await example.ended;
    await rm(cwd, { recursive: true, force: true });
    assert.equal(code, 0, example.output());
  });
  const [, port = ''] = /http:\/\/127\.0\.0\.1:(\d+)\//.exec(await example.prints(/http\S+\n/)) ?? [];
  const server = { kind, port: Number(port), close: async () => undefined };
  return {
    port: server.port,
    get: (path, headers = {}, more = {}) => ask(server, { path, headers, ...more }),
    prints: example.prints,
  };
}

function said({ headers }: Answer): unknown {
  return headers['cache-status'];
}

const MISS = 'cache-filter; fwd=uri-miss; stored';
const HIT = 'cache-filter; hit';

describe('examples/', () => {
  it('has a test here for each file, and says in each how to try it', async () => {
    const here = await readFile(fileURLToPath(import.meta.url), 'utf8');
    const folder = fileURLToPath(new URL('../examples', import.meta.url));
    const names = (await readdir(folder)).filter((name) => name.endsWith('.ts'));
    assert.notEqual(names.length, 0);
    for (const name of names) {
      assert.ok(here.includes(`describe('examples/${name}'`), `no tests for examples/${name}`);
      const text = await readFile(join(folder, name), 'utf8');
      assert.match(text, /^\/\/ \w/, `examples/${name} does not begin with what it shows`);
      assert.match(text, / curl -/, `examples/${name} has no curl lines to try`);
    }
  });
});

describe('examples/image-service.ts', () => {
  let directory: string;
  let demo: Example;
  let code: number | string;
  let lines: string[];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'cache-filter-examples-'));
    demo = start('image-service', directory, { PORT: '0', DEMO_ONCE: '1' });
    code = await demo.ended;
    lines = demo.output().split('\n');
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** The cells of the table's line that begins with `what`. */
  function row(what: string): Row {
    const line = lines.find((each) => each.startsWith(`${what}  `));
    assert.ok(line, `no line '${what}' in:\n${demo.output()}`);
    const [, , bytes = '', md5 = '', status = '', origin = '', cache = ''] = line.split(/ {2,}/);
    return { bytes, md5, status, origin, cache };
  }

  it('ends by itself after the table, and leaves nothing behind', async () => {
    assert.equal(code, 0, demo.output());
    assert.deepEqual(await readdir(join(directory, '.cache')), []);
  });

  it('fits 110 columns', () => {
    for (const line of lines) assert.ok(line.length <= 110, `${line.length} columns: ${line}`);
  });

  it('fetches an image once, and answers the second download from the cache', () => {
    assert.deepEqual(row('first download'), {
      bytes: '16.0 MiB',
      md5: 'ok',
      status: '200',
      origin: '1',
      cache: 'cache-filter; fwd=uri-miss; stored',
    });
    const again = row('the same again');
    assert.deepEqual([again.status, again.md5, again.origin], ['200', 'ok', '0']);
    assert.equal(again.cache, 'cache-filter; hit');
  });

  it('fetches an image once for ten clients at once', () => {
    assert.deepEqual(row('another, ten at once'), {
      bytes: '160.0 MiB',
      md5: 'ok',
      status: '10 x 200',
      origin: '1',
      cache: 'cache-filter; fwd=uri-miss; stored',
    });
    assert.match(demo.output(), /^ +9 x cache-filter; fwd=uri-miss; collapsed$/m);
  });

  it('answers a range from the cache', () => {
    const { status, bytes, md5, origin } = row('a range of it');
    assert.deepEqual(
      { status, bytes, md5, origin },
      { status: '206', bytes: '1.0 MiB', md5: 'ok', origin: '0' },
    );
  });

  it('lets the service answer for a deactivated image, and keeps the entry', () => {
    const member = row('deactivated, a member');
    assert.deepEqual([member.status, member.origin], ['403', '1']);
    assert.match(member.cache, /detail=deactivated/);
    const admin = row('deactivated, an admin');
    assert.deepEqual([admin.status, admin.md5, admin.origin], ['200', 'ok', '1']);
    const reactivated = row('reactivated, a member');
    assert.deepEqual([reactivated.status, reactivated.origin], ['200', '0']);
    assert.equal(reactivated.cache, 'cache-filter; hit');
  });

  it('has nothing left of an image that was deleted', () => {
    assert.equal(row('the first is deleted').status, '204');
    const gone = row('its download now');
    assert.deepEqual([gone.status, gone.origin], ['404', '1']);
  });

  it('keeps serving after the table until SIGTERM', async (t) => {
    const cwd = await temporary(t);
    const example = start('image-service', cwd, { PORT: '0' });
    const output = await example.prints('Ctrl-C');
    const [, image = ''] = /IMAGE=(\S+)/.exec(output) ?? [];
    const answer = await fetch(`${image}/file`, { headers: { 'X-Roles': 'member' } });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('cache-status'), 'cache-filter; hit');
    assert.equal((await answer.arrayBuffer()).byteLength, 16 * 2 ** 20);
    example.process.kill('SIGTERM');
    assert.equal(await example.ended, 0, example.output());
    assert.deepEqual(await readdir(join(cwd, '.cache')), []);
  });

  it('says so when the port is taken', async (t) => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    t.after(() => other.close());
    const { port } = other.address() as AddressInfo;
    const example = start('image-service', await temporary(t), { PORT: String(port) });
    assert.equal(await example.ended, 1);
    assert.match(example.output(), new RegExp(`^Port ${port} is taken`));
  });
});

describe('examples/basic.ts', () => {
  it('shows a miss, then a hit, and still asks who may read', async (t) => {
    const cwd = await temporary(t);
    const example = start('basic', cwd, { PORT: '0' });
    t.after(() => example.process.kill('SIGKILL'));
    const [url = ''] = /http\S+/.exec(await example.prints(/http\S+\n/)) ?? [];
    const get = async (user: string) => {
      const response = await fetch(url, { headers: { 'X-User': user } });
      const body = Buffer.from(await response.arrayBuffer());
      return { status: response.status, cache: response.headers.get('cache-status'), body };
    };

    const first = await get('ann');
    assert.equal(first.status, 200);
    assert.equal(first.cache, 'cache-filter; fwd=uri-miss; stored');
    const second = await get('bob');
    assert.equal(second.status, 200);
    assert.equal(second.cache, 'cache-filter; hit');
    assert.ok(first.body.equals(second.body));
    assert.equal((await get('eve')).status, 403);

    example.process.kill('SIGTERM');
    assert.equal(await example.ended, 0, example.output());
  });
});

describe('examples/http.ts', () => {
  it('caches by what the handler says of its freshness', async (t) => {
    const { get } = await running(t, 'http');
    const first = await get('/reports/2026');
    assert.equal(first.status, 200);
    assert.equal(said(first), MISS);
    const second = await get('/reports/2026');
    assert.match(String(said(second)), /^cache-filter; hit; ttl=(60|[1-5]\d)$/);
    assert.ok(second.body.equals(first.body));
    assert.ok(first.complete && second.complete);
    const other = await get('/');
    assert.deepEqual([other.status, said(other)], [404, undefined]);
    const head = await get('/reports/2026', {}, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length']], [200, String(first.body.length)]);
  });
});

describe('examples/http2.ts', () => {
  it('caches on HTTP/2', async (t) => {
    const { get } = await running(t, 'http2', 'http2');
    const first = await get('/layers/base');
    assert.deepEqual([first.status, said(first), first.complete], [200, MISS, true]);
    const second = await get('/layers/base');
    assert.deepEqual([second.status, said(second), second.complete], [200, HIT, true]);
    assert.equal(second.body.length, 4 * 2 ** 20);
    assert.ok(second.body.equals(first.body));
    assert.equal((await get('/layers/none')).status, 404);
  });
});

describe('examples/connect.ts', () => {
  it('caches what a folder holds, and answers parts of it', async (t) => {
    const { get } = await running(t, 'connect');
    const page = await readFile(new URL('../docs/quickstart.md', import.meta.url));
    const first = await get('/files/quickstart.md');
    assert.deepEqual([first.status, said(first)], [200, MISS]);
    assert.ok(first.body.equals(page));
    const part = await get('/files/quickstart.md', { Range: 'bytes=0-99' });
    assert.equal(part.status, 206);
    assert.match(String(said(part)), /^cache-filter; hit; ttl=\d+$/);
    assert.ok(part.body.equals(page.subarray(0, 100)));
  });

  it('serves nothing from outside of the folder', async (t) => {
    const { get } = await running(t, 'connect');
    for (const path of [
      '/files/../package.json',
      '/files/%2e%2e%2fpackage.json',
      '/files/none',
      '/files/guides',
    ]) {
      assert.equal((await get(path)).status, 404, path);
    }
  });
});

describe('examples/static-files.ts', () => {
  it('caches what express.static serves, for as long as its max-age says', async (t) => {
    const { get } = await running(t, 'static-files');
    const page = await readFile(new URL('../docs/quickstart.md', import.meta.url));
    const first = await get('/quickstart.md');
    assert.deepEqual([first.status, said(first)], [200, MISS]);
    const second = await get('/quickstart.md');
    assert.match(String(said(second)), /^cache-filter; hit; ttl=(600|5\d\d)$/);
    assert.ok(second.body.equals(page));
    assert.equal(second.headers['etag'], first.headers['etag']);
    const again = await get('/quickstart.md', { 'If-None-Match': String(first.headers['etag']) });
    assert.equal(again.status, 304);
  });
});

describe('examples/s3-proxy.ts', () => {
  it("passes on the store's answers with their headers, and caches the objects", async (t) => {
    const { get } = await running(t, 's3-proxy');
    const first = await get('/objects/models/small.bin');
    assert.deepEqual([first.status, said(first)], [200, MISS]);
    const second = await get('/objects/models/small.bin');
    assert.match(String(said(second)), /^cache-filter; hit; ttl=\d+$/);
    assert.ok(second.body.equals(first.body));
    for (const name of ['etag', 'content-type', 'content-length']) {
      assert.notEqual(first.headers[name], undefined, name);
      assert.equal(second.headers[name], first.headers[name], name);
    }
    const part = await get('/objects/models/small.bin', { Range: 'bytes=0-99' });
    assert.deepEqual([part.status, part.body.length], [206, 100]);

    const missing = await get('/objects/none');
    assert.deepEqual([missing.status, said(missing)], [404, 'cache-filter; fwd=uri-miss; detail=not-200']);
    assert.match(missing.body.toString(), /NoSuchKey/);
    // Begins where the store's own path ends.
    assert.equal((await get('/objects/%2e%2e/bucket/models/small.bin')).status, 400);
  });
});

describe('examples/per-user-policy.ts', () => {
  it('asks on every hit who may have what, and in what state the file is', async (t) => {
    const { get } = await running(t, 'per-user-policy');
    const as = async (user: string) => {
      const answer = await get('/files/plan', { 'X-User': user });
      return [answer.status, said(answer)];
    };
    const put = async (status: string, user = 'bob') =>
      (await get(`/files/plan/${status}`, { 'X-User': user }, { method: 'PUT' })).status;
    const denied = 'cache-filter; detail=denied';

    assert.deepEqual(await as('ann'), [200, MISS]);
    assert.deepEqual(await as('ann'), [200, HIT]);
    assert.deepEqual(await as('bob'), [200, HIT]);
    assert.deepEqual(await as('eve'), [403, denied]);
    assert.deepEqual(await as('nobody'), [401, undefined]);

    assert.equal(await put('deactivated', 'ann'), 403);
    assert.equal(await put('deactivated'), 204);
    const passed = 'cache-filter; fwd=bypass; detail=deactivated';
    assert.deepEqual(await as('ann'), [403, passed]);
    assert.deepEqual(await as('bob'), [200, passed]);
    assert.equal(await put('active'), 204);
    assert.deepEqual(await as('ann'), [200, HIT]);

    assert.equal(await put('deleted'), 204);
    assert.deepEqual(await as('ann'), [404, 'cache-filter; detail=deleted']);
    assert.equal(await put('active'), 204);
    assert.deepEqual(await as('ann'), [200, MISS]);
  });
});

describe('examples/memory-only.ts', () => {
  it('caches in memory, and logs what the filter did', async (t) => {
    const { get, prints } = await running(t, 'memory-only');
    const first = await get('/icons/sun');
    assert.deepEqual([first.status, said(first)], [200, MISS]);
    assert.deepEqual(
      [said(await get('/icons/sun')), said(await get('/icons/none'))],
      [HIT, 'cache-filter; fwd=uri-miss; detail=not-200'],
    );
    const stats = JSON.parse((await get('/stats')).body.toString()) as { entries: number; fills: number };
    assert.deepEqual([stats.entries, stats.fills], [1, 0]);
    for (const line of ['sun 200 miss', 'sun 200 hit', 'none 404 miss not-200']) {
      await prints(`GET /icons/${line}`);
    }
  });
});

describe('examples/registry.ts', () => {
  it('takes what its users push, and shows each only what is theirs or open', async (t) => {
    const { get, prints } = await running(t, 'registry');
    const bytes = Buffer.from(
      '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
    );
    const as = (credentials: string) => ({
      Authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
    });
    const stranger = await get('/v2/');
    assert.deepEqual(
      [stranger.status, stranger.headers['www-authenticate']],
      [401, 'Basic realm="cache-filter"'],
    );
    assert.equal((await get('/v2/', as('ann:wrong'))).status, 401);
    assert.equal((await get('/v2/', as('ann:secret'))).status, 200);
    assert.equal((await get('/', {})).body.toString(), 'a registry is below /v2/\n');

    const put = (path: string, credentials: string) =>
      get(path, as(credentials), { method: 'PUT', body: bytes });
    assert.equal((await put('/v2/ann/app/manifests/v1', 'ann:secret')).status, 201);
    assert.equal((await put('/v2/ann/app/manifests/v1', 'bob:hush')).status, 403);
    assert.equal((await put('/v2/open/app/manifests/v1', 'bob:hush')).status, 201);
    assert.ok((await get('/v2/ann/app/manifests/v1', as('ann:secret'))).body.equals(bytes));
    assert.equal((await get('/v2/ann/app/manifests/v1', as('bob:hush'))).status, 403);
    assert.equal((await get('/v2/ann/app/manifests/v1')).status, 401);
    assert.ok((await get('/v2/open/app/manifests/v1')).body.equals(bytes));
    await prints('ann: push manifest ann/app v1');
    await prints('somebody: pull manifest open/app v1');
  });
});

describe('examples/model-files.ts', () => {
  const PATH = '/models/small/weights.bin';

  it('fetches only what is asked for, and all of it ahead of time', async (t) => {
    const { get, prints } = await running(t, 'model-files');
    const part = await get(PATH, { Range: 'bytes=0-99' });
    assert.deepEqual([part.status, part.body.length], [206, 100]);
    assert.match(String(said(part)), /^cache-filter; fwd=uri-miss; stored/);
    assert.match(await prints('the origin is asked for'), /asked for bytes=0-1048575\n/);
    const warmed = await get(`/warm${PATH}`, {}, { method: 'POST' });
    assert.equal(warmed.body.toString(), '8388608 bytes\n');
    const whole = await get(PATH);
    assert.deepEqual([whole.status, whole.body.length, said(whole)], [200, 8 * 2 ** 20, HIT]);
  });

  it('hands on what the origin does not have', async (t) => {
    const { get } = await running(t, 'model-files');
    assert.equal((await get('/models/none.bin')).status, 404);
    assert.equal((await get('/warm/models/none.bin', {}, { method: 'POST' })).status, 502);
  });
});

/** A server that has these, and counts. */
async function upstreamOf(
  t: TestContext,
  bodies: Record<string, Buffer | string>,
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((req, res) => {
    asked.push(req.url ?? '');
    const body = bodies[req.url ?? ''];
    res.statusCode = body === undefined ? 404 : 200;
    if (body !== undefined) res.setHeader('Content-Length', Buffer.byteLength(body));
    res.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close().closeAllConnections());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const TARBALL = Buffer.alloc(100_000, 'tarball');

describe('examples/npm-mirror.ts', () => {
  it('keeps a tarball that is what its package says, and no other', async (t) => {
    const bodies: Record<string, Buffer | string> = {
      '/ms/-/ms-2.1.3.tgz': TARBALL,
      '/ms/-/ms-2.1.2.tgz': TARBALL,
      '/ms/-/ms-2.1.1.tgz': TARBALL,
    };
    const { url, asked } = await upstreamOf(t, bodies);
    const dist = (version: string, bytes: Buffer) => ({
      tarball: `${url}/ms/-/ms-${version}.tgz`,
      integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    });
    bodies['/ms'] = JSON.stringify({
      name: 'ms',
      versions: {
        '2.1.3': { dist: dist('2.1.3', TARBALL) },
        '2.1.2': { dist: dist('2.1.2', Buffer.from('else')) },
      },
    });
    const { get, port } = await running(t, 'npm-mirror', 'http', { UPSTREAM: url });
    const tarball = await get('/ms/-/ms-2.1.3.tgz');
    assert.deepEqual([tarball.status, said(tarball)], [200, MISS]);
    assert.ok(tarball.body.equals(TARBALL));
    assert.equal(said(await get('/ms/-/ms-2.1.3.tgz')), HIT);
    assert.deepEqual(asked, ['/ms/-/ms-2.1.3.tgz', '/ms']);

    const { versions } = JSON.parse((await get('/ms')).body.toString()) as {
      versions: Record<string, { dist: { tarball: string } }>;
    };
    assert.equal(versions['2.1.3']?.dist.tarball, `http://127.0.0.1:${port}/ms/-/ms-2.1.3.tgz`);

    for (let i = 0; i < 2; i++) assert.equal((await get('/ms/-/ms-2.1.2.tgz')).complete, false);
    const unknown = 'cache-filter; fwd=uri-miss; detail=hook-error';
    for (let i = 0; i < 2; i++) assert.equal(said(await get('/ms/-/ms-2.1.1.tgz')), unknown);
    assert.equal((await get('/none')).status, 404);
    assert.equal((await get('/-/whoami')).status, 404);
  });
});

describe('examples/debian-mirror.ts', () => {
  it('keeps packages that are what the index says, and no others', async (t) => {
    const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    const index = 'dists/stable/main/binary-amd64/Packages.gz';
    const entry = (file: string, bytes: Buffer) =>
      `Package: a\nFilename: pool/main/a/${file}\nSHA256: ${sha256(bytes)}\n`;
    const { url, asked } = await upstreamOf(t, {
      '/pool/main/a/good.deb': TARBALL,
      '/pool/main/a/bad.deb': TARBALL,
      [`/${index}`]: gzipSync(`${entry('good.deb', TARBALL)}\n${entry('bad.deb', Buffer.from('else'))}`),
    });
    const { get } = await running(t, 'debian-mirror', 'http', { UPSTREAM: url, INDEXES: index });
    const good = await get('/pool/main/a/good.deb');
    assert.deepEqual([good.status, said(good)], [200, MISS]);
    assert.equal(said(await get('/pool/main/a/good.deb')), HIT);
    for (let i = 0; i < 2; i++) assert.equal((await get('/pool/main/a/bad.deb')).complete, false);
    assert.deepEqual(asked, [
      '/pool/main/a/good.deb',
      `/${index}`,
      '/pool/main/a/bad.deb',
      '/pool/main/a/bad.deb',
    ]);
    assert.equal((await get('/project/trace')).status, 404);
  });
});

describe('examples/registry-mirror.ts', () => {
  it('keeps blobs that are what they are called, and no others', async (t) => {
    const digest = `sha256:${createHash('sha256').update(TARBALL).digest('hex')}`;
    const wrong = `sha256:${'0'.repeat(64)}`;
    const { url, asked } = await upstreamOf(t, {
      [`/v2/app/blobs/${digest}`]: TARBALL,
      [`/v2/app/blobs/${wrong}`]: TARBALL,
    });
    const { get } = await running(t, 'registry-mirror', 'http', { UPSTREAM: url });
    const ping = await get('/v2/');
    assert.deepEqual([ping.status, ping.body.toString()], [200, '{}']);
    const blob = await get(`/v2/app/blobs/${digest}`);
    assert.deepEqual([blob.status, said(blob)], [200, MISS]);
    assert.equal(said(await get(`/v2/app/blobs/${digest}`)), HIT);
    for (let i = 0; i < 2; i++) assert.equal((await get(`/v2/app/blobs/${wrong}`)).complete, false);
    assert.equal(asked.length, 3);
    const elsewhere = await get(`/v2/app/blobs/${digest}?ns=127.0.0.1`);
    assert.equal(elsewhere.status, 404);
    assert.match(elsewhere.body.toString(), /NAME_UNKNOWN/);
    assert.equal((await get('/v2/app/blobs/uploads/', {}, { method: 'POST' })).status, 404);
    assert.equal(asked.length, 3);
  });

  it('hosts what is pushed to it, beside several that it mirrors', async (t) => {
    const digest = `sha256:${createHash('sha256').update(TARBALL).digest('hex')}`;
    const { url, asked } = await upstreamOf(t, { [`/v2/app/blobs/${digest}`]: TARBALL });
    const UPSTREAMS = JSON.stringify({ 'one.example': url, 'two.example': url });
    const { get } = await running(t, 'registry-mirror', 'http', { UPSTREAMS });
    for (const name of ['one', 'two'])
      assert.equal((await get(`/v2/app/blobs/${digest}?ns=${name}.example`)).status, 200);
    assert.equal(asked.length, 2);
    const pushed = await get(
      `/v2/own/app/blobs/uploads/?digest=${digest}`,
      {},
      { method: 'POST', body: TARBALL },
    );
    assert.equal(pushed.status, 201);
    assert.deepEqual((await get(`/v2/own/app/blobs/${digest}`)).body, TARBALL);
    assert.equal(asked.length, 2);
  });
});
