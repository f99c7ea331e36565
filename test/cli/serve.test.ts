import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { type Answer, ask, serve, startOrigin } from './support.ts';

const body = Buffer.from('0123456789'.repeat(10_000));

/** An origin whose files may be kept. */
function fileOrigin(t: TestContext, headers: Record<string, string> = { 'Cache-Control': 'max-age=60' }) {
  return startOrigin(t, (_req, res) => {
    res.writeHead(200, { 'Content-Length': body.length, ...headers });
    res.end(body);
  });
}

function cacheStatus(answer: Answer): string {
  return String(answer.headers['cache-status']);
}

test('the second download comes from disk, whole and in parts', async (t) => {
  const origin = await fileOrigin(t);
  const { url, directory } = await serve(t, [
    '--origin',
    origin.url,
    '--routes',
    'all',
    '--authorize',
    'anyone',
  ]);
  const first = await ask(`${url}/a`);
  const second = await ask(`${url}/a`);
  const part = await ask(`${url}/a`, { headers: { Range: 'bytes=5-14' } });
  const beyond = await ask(`${url}/a`, { headers: { Range: 'bytes=100000-' } });
  assert.match(cacheStatus(first), /^cache-filter; fwd=uri-miss;.*stored/);
  assert.match(cacheStatus(second), /^cache-filter; hit/);
  assert.deepEqual([first.body, second.body], [body, body]);
  assert.deepEqual([part.status, part.body.toString()], [206, '5678901234']);
  assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */100000']);
  assert.equal(origin.seen.length, 1);
  assert.equal(origin.seen[0]?.headers.range, undefined);
  assert.ok((await readdir(directory, { recursive: true })).some((name) => name.endsWith('.body')));
});

test('an answer from the cache passes on what the origin said, the hop-by-hop headers excepted', async (t) => {
  const origin = await fileOrigin(t, {
    'Cache-Control': 'max-age=60',
    'Content-Type': 'application/x-thing',
    ETag: '"v1"',
    'X-Mine': 'yes',
    Connection: 'close',
  });
  const { url } = await serve(t, ['--origin', origin.url, '--routes', 'all', '--authorize', 'anyone']);
  const [first, second] = [await ask(`${url}/a`), await ask(`${url}/a`)];
  for (const name of ['content-type', 'etag', 'x-mine', 'via', 'content-length']) {
    assert.equal(second.headers[name], first.headers[name], name);
  }
  const unchanged = await ask(`${url}/a`, { headers: { 'If-None-Match': '"v1"' } });
  assert.equal(unchanged.status, 304);
  assert.equal(origin.seen.length, 1);
});

for (const how of [['--tee'], ['--cold-range', 'fill']]) {
  test(`a range of something not stored is cut from the fill, and the origin is asked for the whole: ${how.join(' ')}`, async (t) => {
    const origin = await fileOrigin(t);
    const flags = ['--origin', origin.url, '--routes', 'all', '--authorize', 'anyone'];
    const { url } = await serve(t, [...flags, ...how]);
    const part = await ask(`${url}/a`, { headers: { Range: 'bytes=10-19' } });
    assert.deepEqual([part.status, part.body.toString()], [206, '0123456789']);
    assert.equal(origin.seen[0]?.headers.range, undefined, 'the origin saw no Range');
    const whole = await ask(`${url}/a`);
    assert.deepEqual(whole.body, body);
    // The range was out before the whole had been verified.
    assert.match(cacheStatus(whole), /; hit|; collapsed/);
    assert.equal(origin.seen.length, 1);
  });
}

test('only what the routes name is kept, for as long as --freshness says', async (t) => {
  const origin = await fileOrigin(t, {});
  const flags = [
    '--origin',
    origin.url,
    '--routes',
    '/a/:id',
    '--routes',
    '/b/*path',
    '--freshness',
    'immutable',
  ];
  const { url } = await serve(t, [...flags, '--authorize', 'anyone']);
  for (const path of ['/a/1', '/b/1/2', '/c/1', '/a/1/2', '/A/1', '/a/1/']) {
    for (let i = 0; i < 2; i++) assert.deepEqual((await ask(url + path)).body, body);
  }
  const asked = (path: string) => origin.seen.filter((each) => each.url === path).length;
  assert.deepEqual([asked('/a/1'), asked('/b/1/2')], [1, 1], 'kept');
  assert.deepEqual(
    [asked('/c/1'), asked('/a/1/2'), asked('/A/1'), asked('/a/1/')],
    [2, 2, 2, 2],
    'passed on',
  );
});

test('without --freshness only what the response allows is kept', async (t) => {
  const origin = await fileOrigin(t, {});
  const { url } = await serve(t, ['--origin', origin.url, '--routes', 'all', '--authorize', 'anyone']);
  await ask(`${url}/a`);
  assert.match(cacheStatus(await ask(`${url}/a`)), /no-freshness/);
  assert.equal(origin.seen.length, 2);
});

test('--authorize-url is asked before every answer from the cache, with the caller and what it wants; with --tee not before others', async (t) => {
  const origin = await fileOrigin(t);
  let says = 204;
  const authority = await startOrigin(t, (_req, res) => {
    res.writeHead(says, { 'WWW-Authenticate': 'Bearer realm="here"' });
    res.end(says === 204 ? '' : 'why');
  });
  const flags = [
    '--origin',
    origin.url,
    '--routes',
    'all',
    '--authorize-url',
    `${authority.url}/may?app=files`,
    '--tee',
  ];
  const { url } = await serve(t, flags);
  const get = () =>
    ask(`${url}/a?x=1`, {
      headers: {
        Authorization: 'Bearer t',
        Range: 'bytes=0-3',
        'If-None-Match': '"x"',
        'X-Original-URI': '/forged',
        Connection: 'close, X-Hop',
        'X-Hop': '1',
      },
    });

  assert.equal((await ask(`${url}/a?x=1`)).status, 200);
  assert.equal(authority.seen.length, 0, 'what the origin answers itself is its own to authorise');
  const yes = await get();
  assert.deepEqual([yes.status, yes.body.toString()], [206, '0123']);
  const [asked] = authority.seen;
  assert.ok(asked);
  assert.deepEqual([asked.method, asked.url], ['GET', '/may?app=files']);
  assert.equal(asked.headers.authorization, 'Bearer t');
  assert.equal(asked.headers['x-original-uri'], '/a?x=1');
  assert.equal(asked.headers['x-original-method'], 'GET');
  assert.equal(asked.headers['x-forwarded-for'], '127.0.0.1');
  for (const name of ['range', 'if-none-match', 'x-hop']) assert.equal(asked.headers[name], undefined, name);

  for (says of [401, 403, 404]) {
    const no = await get();
    assert.equal(no.status, says);
    assert.ok(!no.body.includes('0123'), 'nothing of the file is in a refusal');
    assert.equal(no.headers['www-authenticate'], says === 401 ? 'Bearer realm="here"' : undefined);
  }
  for (says of [302, 418, 500, 503]) assert.equal((await get()).status, 502, `for ${says}`);
  authority.server.close();
  authority.server.closeAllConnections();
  assert.equal((await get()).status, 502, 'nobody to ask');
  assert.equal(origin.seen.length, 1);
});

test('an authorising server that does not answer is a 504, and nothing is served', async (t) => {
  const origin = await fileOrigin(t);
  const authority = await startOrigin(t, () => {});
  const flags = [
    '--origin',
    origin.url,
    '--routes',
    'all',
    '--authorize-url',
    authority.url,
    '--origin-timeout',
    '0.2',
  ];
  const { url } = await serve(t, flags);
  await ask(`${url}/a`);
  const late = await ask(`${url}/a`);
  assert.deepEqual([late.status, late.body.includes('0123')], [504, false]);
});

test('many at once are one download', async (t) => {
  const origin = await fileOrigin(t);
  const { url } = await serve(t, ['--origin', origin.url, '--routes', 'all', '--authorize', 'anyone']);
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(`${url}/a`)));
  const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  assert.deepEqual(new Set(answers.map((answer) => hash(answer.body))), new Set([hash(body)]));
  assert.equal(origin.seen.length, 1);
});

test('it is alive and ready, whatever the origin does; other paths below /-/ are the origin’s', async (t) => {
  const origin = await startOrigin(t, (_req, res) => res.end('from the origin'));
  const { url } = await serve(t, ['--origin', origin.url, '--routes', 'glance']);
  assert.equal((await ask(`${url}/-/other`)).body.toString(), 'from the origin');
  origin.server.close();
  origin.server.closeAllConnections();
  const [live, ready] = [await ask(`${url}/-/live`), await ask(`${url}/-/ready`)];
  assert.deepEqual([live.status, live.body.toString()], [200, 'ok\n']);
  assert.deepEqual([ready.status, ready.body.toString()], [200, 'ready\n']);
  assert.equal((await ask(`${url}/-/ready`, { method: 'HEAD' })).status, 200);
  assert.equal(origin.seen.length, 1);
});

test('--access-log writes a line for each request, with what became of it', async (t) => {
  const origin = await fileOrigin(t);
  const flags = ['--origin', origin.url, '--routes', 'all', '--authorize', 'anyone', '--access-log'];
  const cli = await serve(t, flags);
  await ask(`${cli.url}/a`);
  await ask(`${cli.url}/a`);
  const [, bytes] = await cli.printed(/^GET \/a 200 (\d+) \d+ms "cache-filter; hit.*"$/m);
  // The head is counted too.
  assert.ok(Number(bytes) > body.length && Number(bytes) < body.length + 2000, bytes);
  assert.match(cli.stdout(), /^GET \/a 200 \d+ \d+ms "cache-filter; fwd=uri-miss.*"$/m);
});
