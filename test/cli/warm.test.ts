import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { linesOf, pathOf } from '../../lib/cli/commands/warm.ts';
import { COMMAND, COMMAND_ENV } from '../support/command.ts';
import { ask, deferred, runCli, scratchDirectory, serve, startOrigin } from './support.ts';

const FILES: Record<string, string> = { '/a': 'a'.repeat(3000), '/b?x=1': 'b', '/sub/c': 'c' };

function fileOrigin(t: TestContext) {
  return startOrigin(t, (req, res) => {
    const file = FILES[req.url ?? ''];
    if (file === undefined) return res.writeHead(404).end('none');
    res.writeHead(200, { 'Content-Length': file.length, 'Cache-Control': 'max-age=600' });
    return res.end(file);
  });
}

/** The command with a list in a file, or without one. */
async function warm(t: TestContext, list: string | undefined, ...flags: string[]) {
  const directory = await scratchDirectory(t);
  const file = join(await scratchDirectory(t), 'list');
  if (list !== undefined) await writeFile(file, list);
  const cli = runCli(t, ['warm', '--directory', directory, '--retries', '0', ...flags, file]);
  return { ...cli, directory };
}

test('what is listed is fetched, and answered from disk by a server that comes after', async (t) => {
  const origin = await fileOrigin(t);
  const list = `# what we need\n/a\n\n  ${origin.url}/b?x=1\r\n/sub/c\n/a\n`;
  const cli = await warm(t, list, '--origin', origin.url);
  assert.deepEqual(await cli.ended, { code: 0, signal: null }, cli.stderr());
  assert.deepEqual(cli.stdout().trim().split('\n').toSorted(), [
    'cache-filter: 3 fetched, 0 stored already, 0 failed',
    'fetched  /a 2.9 KiB',
    'fetched  /b?x=1 1 bytes',
    'fetched  /sub/c 1 bytes',
  ]);
  assert.equal(origin.seen.length, 3);
  const flags = ['--origin', origin.url, '--routes', 'all', '--authorize', 'anyone'];
  const { url } = await serve(t, [...flags, '--directory', cli.directory]);
  for (const [path, body] of Object.entries(FILES)) {
    const answer = await ask(url + path);
    assert.match(String(answer.headers['cache-status']), /; hit/, path);
    assert.equal(answer.body.toString(), body);
  }
  assert.equal(origin.seen.length, 3);
});

test('one that fails does not hold up the others, and ends it with exit code 1', async (t) => {
  const origin = await fileOrigin(t);
  const list = '/none\n/a\nhttp://elsewhere.example/a\nwords\n/sub/../a\n';
  const cli = await warm(t, list, '--origin', origin.url);
  assert.equal((await cli.ended).code, 1);
  assert.match(cli.stdout(), /^fetched {2}\/a 2\.9 KiB$/m);
  assert.match(cli.stdout(), /1 fetched, 0 stored already, 4 failed/);
  assert.match(cli.stderr(), /^failed {3}\/none: .*not-200 \(404\)$/m);
  assert.match(cli.stderr(), /^failed {3}http:\/\/elsewhere\.example\/a: it is no path, and no URL below/m);
  assert.match(cli.stderr(), /^failed {3}words: /m);
  assert.match(cli.stderr(), /^failed {3}\/sub\/\.\.\/a: /m);
});

test('a list may come from standard input; --json is an object for each; a second time nothing is fetched', async (t) => {
  const origin = await fileOrigin(t);
  const directory = await scratchDirectory(t);
  const run = async (input: string) => {
    const [program, ...first] = COMMAND;
    const flags = ['--origin', origin.url, '--directory', directory, '--retries', '0', '--json'];
    const child = spawn(program, [...first, 'warm', ...flags], {
      env: { ...COMMAND_ENV, CACHE_FILTER_MIN_FREE_BYTES: '0' },
    });
    child.stdin.end(input);
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    const told = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    return { code, told: told.toSorted((a, b) => (a.path < b.path ? -1 : 1)) };
  };
  assert.deepEqual(await run('/a\n/sub/c'), {
    code: 0,
    told: [
      { path: '/a', outcome: 'fetched', bytes: 3000 },
      { path: '/sub/c', outcome: 'fetched', bytes: 1 },
    ],
  });
  const second = await run('/a\n/none\n');
  const [there, failed] = second.told;
  assert.deepEqual([second.code, there], [1, { path: '/a', outcome: 'stored', bytes: 3000 }]);
  assert.deepEqual([failed.path, failed.outcome], ['/none', 'failed']);
  assert.match(failed.error, /404/);
});

test('as many are fetched at a time as --concurrency says', async (t) => {
  const three = deferred();
  let most = 0;
  let running = 0;
  const origin = await startOrigin(t, async (_req, res) => {
    most = Math.max(most, ++running);
    if (running === 3) three.resolve();
    await three.promise;
    running--;
    res.writeHead(200, { 'Content-Length': 1, 'Cache-Control': 'max-age=600' }).end('x');
  });
  const cli = await warm(t, '/1\n/2\n/3\n/4\n/5\n', '--origin', origin.url, '--concurrency', '3');
  assert.equal((await cli.ended).code, 0, cli.stderr());
  assert.equal(most, 3);
});

test('--retries says how often each is tried again', async (t) => {
  let failures = 0;
  const origin = await startOrigin(t, (_req, res) => {
    // Not one that the connection to the origin tries again by itself.
    if (failures++ === 0) return res.writeHead(500).end();
    return res.writeHead(200, { 'Content-Length': 1, 'Cache-Control': 'max-age=600' }).end('x');
  });
  const cli = await warm(t, '/1\n', '--origin', origin.url, '--retries', '1');
  assert.equal((await cli.ended).code, 0, cli.stderr());
  assert.equal(origin.seen.length, 2);
});

test('redirects are followed', async (t) => {
  const origin = await startOrigin(t, (req, res) => {
    if (req.url === '/1') return res.writeHead(302, { Location: '/2' }).end();
    return res.writeHead(200, { 'Content-Length': 1, 'Cache-Control': 'max-age=600' }).end('x');
  });
  const cli = await warm(t, '/1\n', '--origin', origin.url);
  assert.equal((await cli.ended).code, 0, cli.stderr());
  assert.deepEqual(
    origin.seen.map(({ url }) => url),
    ['/1', '/2'],
  );
});

test('--max-bytes-per-second bounds how fast it comes', async (t) => {
  const size = 4 * 2 ** 20;
  const origin = await startOrigin(t, (_req, res) => {
    res.writeHead(200, { 'Content-Length': size, 'Cache-Control': 'max-age=600' }).end(Buffer.alloc(size));
  });
  const cli = await warm(t, '/1\n', '--origin', origin.url, '--max-bytes-per-second', '4MiB');
  const began = performance.now();
  assert.equal((await cli.ended).code, 0, cli.stderr());
  assert.ok(performance.now() - began > 500, 'a second for 4 MiB, but for what is ahead');
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends it with ${code}, and what is left is fetched by the next process on the directory`, async (t) => {
    const [asked, fetched, held] = [deferred(), deferred(), deferred()];
    let isNext = false;
    const origin = await startOrigin(t, (req, res) => {
      res.writeHead(200, { 'Content-Length': 2, 'Cache-Control': 'max-age=600' });
      if (req.url === '/1') return res.end('xy');
      if (!isNext) {
        asked.resolve();
        return res.write('x');
      }
      if (req.url === '/3') res.once('finish', () => fetched.resolve());
      return res.end('xy');
    });
    t.after(() => held.resolve());
    const cli = await warm(t, '/1\n/2\n/3\n', '--origin', origin.url, '--concurrency', '1');
    await cli.printed(/^fetched {2}\/1 /m);
    await asked.promise;
    cli.kill(signal);
    assert.deepEqual(await cli.ended, { code, signal: null });
    assert.match(cli.stdout(), /^queued {3}\/2$/m);
    assert.match(cli.stdout(), /^queued {3}\/3$/m);
    assert.match(cli.stdout(), /1 fetched, 0 stored already, 0 failed, 2 left in the queue/);
    isNext = true;
    const flags = ['--origin', origin.url, '--routes', 'all', '--authorize', 'anyone'];
    await serve(t, [...flags, '--directory', cli.directory]);
    await fetched.promise;
    const count = (path: string) => origin.seen.filter(({ url }) => url === path).length;
    assert.deepEqual([count('/1'), count('/2'), count('/3')], [1, 2, 1]);
  });
}

const SCRIPT = spawnSync('script', ['--version']).status === 0;

test('on a terminal there are bars', { skip: SCRIPT ? false : 'no script(1)' }, async (t) => {
  const held = deferred();
  const origin = await startOrigin(t, async (_req, res) => {
    res.writeHead(200, { 'Content-Length': 2000, 'Cache-Control': 'max-age=600' });
    res.write('x'.repeat(1000));
    await held.promise;
    res.end('x'.repeat(1000));
  });
  const directory = await scratchDirectory(t);
  const list = join(directory, 'list');
  await writeFile(list, '/1\n');
  const args = [...COMMAND, 'warm', '--origin', origin.url, '--directory', join(directory, 'cache'), list];
  const command = args.map((each) => `'${each}'`).join(' ');
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    env: { ...COMMAND_ENV, CACHE_FILTER_MIN_FREE_BYTES: '0', TERM: 'xterm' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  for await (const chunk of child.stdout) {
    out += String(chunk);
    // Half of it, drawn while the rest is held back.
    if (/1000 bytes of 2\.0 KiB {2}\/1/.test(out)) held.resolve();
  }
  assert.match(out, /\] 1000 bytes of 2\.0 KiB {2}\/1/);
  assert.match(out, /fetched {2}\/1 2\.0 KiB/);
  assert.match(out, /1 fetched, 0 stored already, 0 failed/);
});

for (const [flags, message] of [
  [['--routes', 'glance'], /--routes glance is not for warm/],
  [['--concurrency', '0'], /--concurrency/],
  [['--max-bytes-per-second', 'fast'], /--max-bytes-per-second/],
  [['--origin', 'nowhere'], /http:\/\//],
] as const) {
  test(`refuses to start, with exit code 2: ${flags.join(' ')}`, async (t) => {
    const cli = await warm(t, '/a\n', '--origin', 'http://127.0.0.1:1', ...flags);
    assert.equal((await cli.ended).code, 2, cli.stdout());
    assert.match(cli.stderr(), message);
  });
}

test('a list that is not there ends it with exit code 1', async (t) => {
  const cli = await warm(t, undefined, '--origin', 'http://127.0.0.1:1');
  assert.equal((await cli.ended).code, 1);
  assert.match(cli.stderr(), /^error: ENOENT.*list/m);
});

test('a list is lines, each once, without comments', () => {
  assert.deepEqual([...linesOf('')], []);
  assert.deepEqual([...linesOf('/a\r\n # no\n\n/b \n/a')], ['/a', '/b']);
});

test('a URL of a list is below an origin, or means nothing', () => {
  const origins = [new URL('https://files.example/store'), new URL('https://other.example/')];
  assert.equal(pathOf('/a?b', origins), '/a?b');
  assert.equal(pathOf('https://files.example/store/a?b#c', origins), '/a?b');
  assert.equal(pathOf('HTTPS://other.example:443/a', origins), '/a');
  for (const wrong of [
    'https://files.example/storehouse/a',
    'https://files.example/a',
    'ftp://x/a',
    'a',
    'https://',
  ])
    assert.equal(pathOf(wrong, origins), undefined, wrong);
});
