import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { type TestContext, test } from 'node:test';
import { ask, runCli, scratchDirectory, serve, startOrigin } from './support.ts';

const MIB = 2 ** 20;
const body = randomBytes(4 * MIB);

/** Answers ranges of `body`, with a strong validator. */
const ranged: RequestListener = (req, res) => {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? [];
  const common = { ETag: '"1"', 'Cache-Control': 'max-age=60' };
  if (from === undefined) {
    res.writeHead(200, { ...common, 'Content-Length': body.length });
    return res.end(body);
  }
  const part = body.subarray(Number(from), to === '' ? undefined : Number(to) + 1);
  const range = `bytes ${from}-${Number(from) + part.length - 1}/${body.length}`;
  res.writeHead(206, { ...common, 'Content-Length': part.length, 'Content-Range': range });
  return res.end(part);
};

function served(t: TestContext, origins: readonly { url: string }[], ...more: string[]) {
  const named = origins.flatMap(({ url }) => ['--origin', url]);
  return serve(t, [...named, '--routes', 'all', '--authorize', 'anyone', ...more]);
}

test('the origin is asked as its caller, but for the part that the caller wants', async (t) => {
  const origin = await startOrigin(t, ranged);
  const { url } = await served(t, [origin], '--cold-range', 'fill');
  const part = await ask(`${url}/a//b?x=1`, {
    headers: {
      Authorization: 'Bearer t',
      'X-Auth-Token': 'u',
      Cookie: 'a=b; c=d',
      Accept: 'x/y',
      Range: 'bytes=0-3',
      'Accept-Encoding': 'gzip',
      Connection: 'close, X-Hop',
      'X-Hop': '1',
    },
  });
  assert.deepEqual([part.status, part.body], [206, body.subarray(0, 4)]);
  const [asked, ...others] = origin.seen;
  assert.ok(asked);
  assert.deepEqual([asked.method, asked.url, others.length], ['GET', '/a//b?x=1', 0]);
  const { headers } = asked;
  assert.deepEqual(
    [headers.authorization, headers['x-auth-token'], headers.cookie, headers.accept],
    ['Bearer t', 'u', 'a=b; c=d', 'x/y'],
  );
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(headers['accept-encoding'], 'identity');
  assert.match(String(headers['cdn-loop']), /^cache-filter-/);
  assert.deepEqual([headers.range, headers['x-hop']], [undefined, undefined]);
});

test('what the origin refuses one caller is not what it says to another', async (t) => {
  const origin = await startOrigin(t, (req, res) => {
    if (req.headers.authorization === 'Bearer t') return ranged(req, res);
    return res.writeHead(401, { 'WWW-Authenticate': 'Bearer' }).end('who are you');
  });
  const { url } = await served(t, [origin]);
  const refused = await ask(`${url}/a`);
  assert.deepEqual([refused.status, refused.body.toString()], [401, 'who are you']);
  assert.equal(refused.headers['www-authenticate'], 'Bearer');
  const given = await ask(`${url}/a`, { headers: { Authorization: 'Bearer t' } });
  assert.deepEqual([given.status, given.body.equals(body)], [200, true]);
});

test('a body that breaks off on its way from the origin is gone on with, and the client does not notice', async (t) => {
  let broken = 0;
  const origin = await startOrigin(t, (req, res) => {
    if (req.headers.range !== undefined) return ranged(req, res);
    broken++;
    res.writeHead(200, { ETag: '"1"', 'Cache-Control': 'max-age=60', 'Content-Length': body.length });
    return res.write(body.subarray(0, MIB), () => res.destroy());
  });
  const { url } = await served(t, [origin]);
  const { status, whole, body: got } = await ask(`${url}/a`);
  assert.deepEqual([status, whole, hash(got)], [200, true, hash(body)]);
  assert.equal(broken, 1, 'it did break off');
  const [, rest] = origin.seen;
  assert.match(rest?.headers.range ?? '', /^bytes=1048576-/);
  assert.equal(rest?.headers['if-range'], '"1"');
});

test('of something that is not stored, only the part that is asked for is fetched', async (t) => {
  const origin = await startOrigin(t, ranged);
  const { url } = await served(t, [origin]);
  const get = () => ask(`${url}/a`, { headers: { Range: `bytes=${2 * MIB + 5}-${2 * MIB + 9}` } });
  for (const { status, body: part } of [await get(), await get()]) {
    assert.deepEqual([status, part], [206, body.subarray(2 * MIB + 5, 2 * MIB + 10)]);
  }
  assert.deepEqual(
    origin.seen.map(({ headers }) => headers.range),
    [`bytes=${2 * MIB}-${3 * MIB - 1}`],
  );
});

test('where the first origin does not answer, the next one is asked, below its own path', async (t) => {
  const origin = await startOrigin(t, ranged);
  const { url } = await served(
    t,
    [{ url: 'http://127.0.0.1:1' }, { url: `${origin.url}/mirror` }],
    '--retries',
    '0',
  );
  const { status, body: got } = await ask(`${url}/a`);
  assert.deepEqual([status, hash(got)], [200, hash(body)]);
  assert.deepEqual(
    origin.seen.map((each) => each.url),
    ['/mirror/a'],
  );
});

test('an origin that does not answer in time is a 504', async (t) => {
  const origin = await startOrigin(t, () => undefined);
  const { url } = await served(t, [origin], '--origin-timeout', '0.2', '--retries', '0');
  assert.equal((await ask(`${url}/a`)).status, 504);
  assert.equal(origin.seen.length, 1);
});

test('redirects are passed on; with --max-redirects they are followed, without the caller’s credentials', async (t) => {
  const elsewhere = await startOrigin(t, ranged);
  const origin = await startOrigin(t, (_req, res) => {
    res.writeHead(302, { Location: `${elsewhere.url}/there` }).end('moved');
  });
  const headers = { Authorization: 'Bearer t', 'X-Auth-Token': 'u' };
  const passing = await served(t, [origin]);
  const passed = await ask(`${passing.url}/a`, { headers });
  assert.deepEqual([passed.status, passed.headers.location], [302, `${elsewhere.url}/there`]);
  assert.match(String(passed.headers['cache-status']), /detail=not-200/);
  assert.equal(elsewhere.seen.length, 0);
  const following = await served(t, [origin], '--max-redirects', '1');
  const followed = await ask(`${following.url}/a`, { headers });
  assert.deepEqual([followed.status, hash(followed.body)], [200, hash(body)]);
  const [seen] = elsewhere.seen;
  assert.deepEqual(
    [seen?.url, seen?.headers.authorization, seen?.headers['x-auth-token']],
    ['/there', undefined, undefined],
  );
});

test('--authorize-url is asked before the origin is, and whom it refuses gets nothing', async (t) => {
  const origin = await startOrigin(t, ranged);
  const authority = await startOrigin(t, (req, res) =>
    res.writeHead(req.headers.authorization === 'Bearer t' ? 204 : 403).end(),
  );
  const { url } = await serve(t, [
    ...['--origin', origin.url, '--routes', 'all'],
    ...['--authorize-url', authority.url],
  ]);
  const refused = await ask(`${url}/a`);
  assert.deepEqual([refused.status, origin.seen.length, authority.seen.length], [403, 0, 1]);
  const given = await ask(`${url}/a`, { headers: { Authorization: 'Bearer t' } });
  assert.deepEqual([given.status, origin.seen.length, authority.seen.length], [200, 1, 2]);
  assert.equal((await ask(`${url}/a`)).status, 403, 'stored or not');
});

for (const [flags, message] of [
  [['--routes', 'glance', '--retries', '1'], /--retries is not for --routes glance/],
  [['--routes', 'all', '--tee', '--cold-range', 'direct'], /--cold-range is not for --tee/],
  [['--routes', 'all', '--tee', '--origin', 'http://127.0.0.1:2'], /a second --origin is not for --tee/],
  [['--routes', 'all', '--cold-range', 'some'], /direct, fill or bypass/],
  [['--routes', 'all', '--retries', '-1'], /--retries/],
] as const) {
  test(`refuses to start, with exit code 2: ${flags.join(' ')}`, async (t) => {
    const directory = await scratchDirectory(t);
    const may = flags[1] === 'glance' ? [] : ['--authorize', 'anyone'];
    const cli = runCli(t, [
      ...['serve', '--directory', directory, '--port', '0', '--origin', 'http://127.0.0.1:1'],
      ...may,
      ...flags,
    ]);
    assert.equal((await cli.ended).code, 2, cli.stderr());
    assert.match(cli.stderr(), message);
  });
}

function hash(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
