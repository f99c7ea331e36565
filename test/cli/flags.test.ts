import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as read from '../../lib/cli/flags.ts';
import { runCli, scratchDirectory, serve, startOrigin } from './support.ts';

test('sizes are plain bytes or carry a binary unit', () => {
  assert.equal(read.bytes('0'), 0);
  assert.equal(read.bytes('1073741824'), 2 ** 30);
  assert.equal(read.bytes('3KiB'), 3 * 2 ** 10);
  assert.equal(read.bytes('20 MiB'), 20 * 2 ** 20);
  assert.equal(read.bytes('20GiB'), 20 * 2 ** 30);
  assert.equal(read.bytes('2TiB'), 2 * 2 ** 40);
  for (const wrong of ['', '20GB', '20gib', '1.5GiB', '-1', '1e9', 'GiB', '9007199254740993', '9000TiB']) {
    assert.throws(() => read.bytes(wrong), /KiB, MiB, GiB or TiB/, wrong);
  }
});

test('times are seconds above 0 that a timer can hold', () => {
  assert.equal(read.seconds('60'), 60_000);
  assert.equal(read.seconds('0.25'), 250);
  for (const wrong of ['', '0', '-1', '1m', '60s', '2147484', 'Infinity']) {
    assert.throws(() => read.seconds(wrong), /number of seconds/, wrong);
  }
});

test('ports are 0 to 65535', () => {
  assert.equal(read.port('0'), 0);
  assert.equal(read.port('65535'), 65535);
  for (const wrong of ['', '65536', '-1', '80.5', 'http'])
    assert.throws(() => read.port(wrong), /0 to 65535/, wrong);
});

test('an origin is an http or https URL without credentials, query or fragment', () => {
  assert.equal(read.originUrl('http://127.0.0.1:9292/image').pathname, '/image');
  for (const wrong of [
    '',
    '127.0.0.1:9292',
    'ftp://x/',
    '/path',
    'http://u:p@x/',
    'http://x/?q',
    'http://x/#f',
  ]) {
    assert.throws(() => read.originUrl(wrong), { code: 'commander.invalidArgument' }, wrong);
  }
  assert.equal(read.questionUrl('http://x/may?app=1').search, '?app=1');
});

test('routes are a preset that stands alone, or any number of patterns', () => {
  assert.equal(read.routes('glance'), 'glance');
  assert.equal(read.routes('all'), 'all');
  assert.deepEqual(read.routes('/b/*path', read.routes('/a/:id')), ['/a/:id', '/b/*path']);
  assert.deepEqual(read.routes(' /a/:id  /b/:id '), ['/a/:id', '/b/:id'], 'as in a variable');
  for (const wrong of ['', 'files', 'all /a', '/a all', 'glance glance', '/a{', '/:']) {
    assert.throws(() => read.routes(wrong), { code: 'commander.invalidArgument' }, wrong);
  }
});

test('freshness is a word or seconds', () => {
  assert.equal(read.freshness('response'), 'response');
  assert.equal(read.freshness('immutable'), 'immutable');
  assert.deepEqual(read.freshness('3600'), { ttlMs: 3_600_000 });
  for (const wrong of ['', '0', 'forever', '1h'])
    assert.throws(() => read.freshness(wrong), /seconds above 0/, wrong);
});

test('--version says the version, --help shows examples, and both succeed', async (t) => {
  const version = runCli(t, ['--version']);
  const help = runCli(t, ['serve', '--help']);
  assert.equal((await version.ended).code, 0);
  assert.match(version.stdout(), /^\d+\.\d+\.\d+\n$/);
  assert.equal((await help.ended).code, 0);
  assert.match(help.stdout(), /\$ cache-filter serve --origin http:\/\/127\.0\.0\.1:9292 --routes glance/);
});

/** Wrong usage: what is typed, and what the message has to name. */
const WRONG: [args: string[], message: RegExp][] = [
  [[], /Usage: cache-filter/],
  [
    ['--origin', 'http://127.0.0.1:1', '--routes', 'all', '--max-byts', '1'],
    /unknown option '--max-byts'[\s\S]*--max-bytes/,
  ],
  [['--origin', 'nowhere', '--routes', 'all'], /--origin <url>' argument 'nowhere' is invalid.*http:\/\//],
  [['--origin', 'http://127.0.0.1:1', '--routes', 'all', '--max-bytes', '20GB'], /--max-bytes.*'20GB'.*GiB/],
  [['--origin', 'http://127.0.0.1:1', '--routes', 'all'], /--authorize-url URL.*--authorize anyone/],
  [['--origin', 'http://127.0.0.1:1', '--routes', '/f/:id'], /--authorize-url URL.*--authorize anyone/],
  [['--origin', 'http://127.0.0.1:1', '--routes', 'glance', '--authorize', 'anyone'], /download or visible/],
  [['--origin', 'http://127.0.0.1:1', '--routes', 'glance', '--freshness', '60'], /--freshness is not for/],
  [['--origin', 'http://127.0.0.1:1', '--routes', 'all', '--authorize', 'download'], /glance only/],
];

for (const [args, message] of WRONG) {
  test(`refuses to start, with exit code 2: ${args.join(' ') || 'no command'}`, async (t) => {
    const directory = await scratchDirectory(t);
    const cli = runCli(
      t,
      args.length === 0 ? [] : ['serve', '--directory', directory, '--port', '0', ...args],
    );
    assert.equal((await cli.ended).code, 2, cli.stderr());
    assert.match(cli.stderr(), message);
    assert.equal(cli.stdout(), '');
  });
}

test('every flag can be a variable; the flag outdoes it, and an empty one counts as none', async (t) => {
  const origin = await startOrigin(t, (_req, res) => res.end('from the origin'));
  const directory = await scratchDirectory(t);
  const cli = runCli(t, ['serve', '--max-bytes', '5MiB'], {
    CACHE_FILTER_ORIGIN: origin.url,
    CACHE_FILTER_ROUTES: '/a/:id /b/:id',
    CACHE_FILTER_AUTHORIZE: 'anyone',
    CACHE_FILTER_FRESHNESS: '',
    CACHE_FILTER_MAX_BYTES: '3MiB',
    CACHE_FILTER_HOST: '127.0.0.1',
    CACHE_FILTER_PORT: '0',
    CACHE_FILTER_ACCESS_LOG: '1',
    CACHE_DIRECTORY: `${directory}:/nonexistent`,
  });
  const [line, url] = await cli.printed(/listening on (\S+),.*/);
  assert.ok(line.includes(`origin ${origin.url}/`), line);
  assert.ok(line.includes(`directory ${directory},`), line);
  assert.ok(line.includes(`budget ${5 * 2 ** 20} bytes`), line);
  assert.equal(await (await fetch(`${url}/x`)).text(), 'from the origin');
  await cli.printed(/^GET \/x 200 \d+ \d+ms "/m);
});

test('--min-free-bytes is left free: what would take of it is passed on', async (t) => {
  let calls = 0;
  const origin = await startOrigin(t, (_req, res) => {
    calls++;
    res.setHeader('Content-Length', 4);
    res.end('body');
  });
  const flags = ['--origin', origin.url, '--routes', '/a/:id', '--authorize', 'anyone'];
  const more = ['--freshness', 'immutable', '--min-free-bytes', '8000TiB'];
  const { url } = await serve(t, [...flags, ...more]);
  for (let i = 1; i <= 2; i++) {
    const answer = await fetch(`${url}/a/1`);
    assert.equal(await answer.text(), 'body');
    assert.match(answer.headers.get('cache-status') ?? '', /detail=no-room/);
    assert.equal(calls, i);
  }
});

test('a variable that is wrong is named, with exit code 2', async (t) => {
  const port = runCli(t, ['serve'], { CACHE_FILTER_PORT: 'http' });
  const log = runCli(t, ['serve'], { CACHE_FILTER_ACCESS_LOG: 'maybe' });
  assert.equal((await port.ended).code, 2);
  assert.match(port.stderr(), /'http' from env 'CACHE_FILTER_PORT' is invalid/);
  assert.equal((await log.ended).code, 2);
  assert.match(log.stderr(), /CACHE_FILTER_ACCESS_LOG must be 1 or 0, got 'maybe'/);
});

test('a port that is taken ends it with exit code 1', async (t) => {
  const origin = await startOrigin(t, (_req, res) => res.end());
  const { url } = await serve(t, ['--origin', origin.url, '--routes', 'glance']);
  const directory = await scratchDirectory(t);
  const { port } = new URL(url);
  const second = runCli(t, [
    'serve',
    '--origin',
    origin.url,
    '--routes',
    'glance',
    '--directory',
    directory,
    '--port',
    port,
  ]);
  assert.equal((await second.ended).code, 1);
  assert.match(second.stderr(), /EADDRINUSE/);
});

test('a directory that can not be used ends it with exit code 1, and is named', async (t) => {
  const file = join(await scratchDirectory(t), 'file');
  await writeFile(file, '');
  const cli = runCli(t, [
    'serve',
    '--origin',
    'http://127.0.0.1:1',
    '--routes',
    'glance',
    '--port',
    '0',
    '--directory',
    file,
  ]);
  assert.equal((await cli.ended).code, 1);
  assert.ok(cli.stderr().startsWith('error: ') && cli.stderr().includes(file), cli.stderr());
});
