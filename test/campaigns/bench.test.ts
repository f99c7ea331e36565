/** The benchmark itself: that it runs, and that it notices what is wrong. What it measures is for `npm run bench`. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from '../bench/client.ts';
import { type Finding, finding, isMet, quantile, type Wanted } from '../bench/findings.ts';
import { measureHits } from '../bench/hits.ts';
import type { Material } from '../bench/material.ts';
import { parseOptions } from '../bench/options.ts';
import { type Ratio, ratioOf, type Sample } from '../bench/ratio.ts';
import { formatSize } from '../bench/sizes.ts';
import { temporaryDirectory } from '../support/directory.ts';
import { type Handler, serve } from '../support/servers.ts';

const pathOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

interface Outcome {
  code: number;
  output: string;
  raw: { ratios: Ratio[]; samples: Sample[] };
}

/** On what this test runs on: the source, or the build. */
async function bench(t: TestContext, ...args: string[]): Promise<Outcome> {
  const work = temporaryDirectory(t);
  const json = join(temporaryDirectory(t), 'raw.json');
  const given = ['--smoke', '--package', pathOf('../../lib/index.ts'), '--directory', work, '--json', json];
  const { code, output } = await new Promise<{ code: number; output: string }>((resolve) => {
    execFile(process.execPath, [pathOf('../bench/main.ts'), ...args, ...given], (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr });
    });
  });
  assert.deepEqual(readdirSync(work), [], 'what a run has left behind');
  assert.equal(code, 0, output);
  return { code, output, raw: JSON.parse(readFileSync(json, 'utf8')) as Outcome['raw'] };
}

describe('npm run bench', () => {
  test('measures hits against every peer, and prints a line for each', async (t) => {
    const { output, raw } = await bench(t);
    const found = raw.ratios.map(({ of, to, size }) => `${of} / ${to}, ${formatSize(size)}`);
    const expected = ['1 KiB', '2 MiB'].flatMap((size) => [
      `filter-http / http, ${size}`,
      `filter-express / express, ${size}`,
      `filter-express / static, ${size}`,
      `filter-express / apicache, ${size}`,
    ]);
    assert.deepEqual(found, expected);
    for (const { what, size, throughput } of raw.ratios) {
      assert.ok(throughput.median > 0 && Number.isFinite(throughput.median), `${what}: ${throughput.median}`);
      const line = output
        .split('\n')
        .find((each) => each.startsWith(`${what} `) && each.includes(formatSize(size)));
      assert.ok(line?.includes(throughput.median.toFixed(2)), `no line for ${what} in:\n${output}`);
    }
    for (const { server, cpuSecondsEach = 0 } of raw.samples)
      assert.ok(cpuSecondsEach > 0, `${server} has used CPU time: ${cpuSecondsEach}`);
  });

  test('measures a start with many entries, and hits among them', async (t) => {
    const start = await bench(t, 'start');
    for (const what of [
      'until the first hit',
      'longest hold of the event loop',
      'until the account is there',
    ])
      assert.match(start.output, new RegExp(`${what} +\\d+\\.\\d \\(`));
    const count = await bench(t, 'count');
    assert.match(count.output, /from memory +\d+\.\d\d \(/);
    assert.match(count.output, /from files +\d+\.\d\d \(/);
  });

  test('measures fills, and many clients for one cold file', async (t) => {
    const { raw } = await bench(t, 'cold');
    assert.deepEqual(
      raw.ratios.map(({ what, size }) => `${what}, ${formatSize(size)}`),
      ['a fill / handler, 2 MiB', '4 clients for one cold file / 4 passes, 2 MiB'],
    );
    for (const { what, throughput } of raw.ratios) assert.ok(throughput.median > 0, what);
  });
});

describe('npm run bench, of downloads under way', () => {
  const found = (raw: object) => (raw as { findings: Finding[] }).findings;

  test('joins: one request to the application, and a picture', async (t) => {
    const svg = join(temporaryDirectory(t), 'join.svg');
    const { output, raw } = await bench(t, 'join', '--svg', svg);
    const calls = found(raw).find(({ what }) => what === 'requests to the application');
    assert.deepEqual(calls?.found, { median: 1, least: 1, most: 1 });
    assert.match(output, /^requests to the application +filter-http +1\.00 .* 1 +yes$/m);
    const picture = readFileSync(svg, 'utf8');
    assert.match(picture, /^<svg .*<\/svg>\n$/s);
    assert.equal(picture.match(/ wait"/g)?.length, 4, 'one line for each client');
  });

  for (const [what, rows] of [
    ['stored-range', 3],
    ['slow-first', 1],
    ['memory', 3],
    ['fill', 7],
  ] as const) {
    test(`${what}: a row for each thing that is wanted`, async (t) => {
      const { raw } = await bench(t, what);
      assert.equal(found(raw).length, rows);
      for (const finding of found(raw)) {
        assert.ok(Number.isFinite(finding.found.median), finding.what);
        assert.equal(isMet(finding) === undefined, finding.wanted === undefined, finding.what);
      }
    });
  }
});

test('what is wanted is wanted of the median, and of every round where it is counted', () => {
  const met = (rounds: number[], wanted: Wanted) => isMet(finding('x', 'http', '', rounds, wanted));
  assert.equal(met([9, 10, 99], { atMost: 10 }), true);
  assert.equal(met([9, 11, 11], { atMost: 10 }), false);
  assert.equal(met([1, 10, 11], { atLeast: 10 }), true);
  assert.equal(met([1, 9, 99], { atLeast: 10 }), false);
  assert.equal(met([1, 1, 2], { exactly: 1 }), false);
  assert.equal(met([1, 1, 1], { exactly: 1 }), true);
});

test('a quantile is a value that was found', () => {
  const values = [5, 1, 4, 2, 3];
  assert.deepEqual(
    [0, 0.2, 0.5, 0.99, 1].map((part) => quantile(values, part)),
    [1, 1, 3, 5, 5],
  );
  assert.throws(() => quantile([], 0.5), /nothing/);
});

test('a ratio is formed round by round, and at best of the cheapest run of each', () => {
  const sample = (
    server: 'filter-http' | 'http',
    round: number,
    perSecond: number,
    cost: number,
  ): Sample => ({
    server,
    size: 1000,
    round,
    perSecond,
    cpuSecondsEach: cost,
    serverBusy: server === 'http' ? 0.5 : 1,
    clientBusy: 0.8,
  });
  const samples = [
    // The machine is slow in the second round, and quick in the third.
    [sample('filter-http', 0, 50, 4), sample('http', 0, 100, 2)],
    [sample('filter-http', 1, 10, 20), sample('http', 1, 40, 4)],
    [sample('filter-http', 2, 90, 3), sample('http', 2, 100, 2.7)],
  ].flat();
  const found = ratioOf(
    { peer: 'http', what: 'x', of: 'filter-http', to: 'http', wanted: () => 0.85 },
    1000,
    samples,
  );
  assert.deepEqual(found.throughput, { median: 0.5, least: 0.25, most: 0.9 });
  assert.deepEqual(found.byCpu, { median: 0.5, least: 0.2, most: 2.7 / 3 });
  assert.equal(found.byCpuAtBest, 2 / 3);
  assert.deepEqual(found.heldUpByClient, ['http'], 'which had time left when the client had less');
});

describe('what is wrong ends a benchmark', () => {
  const body = Buffer.alloc(1000, 'a');
  const file: Material = {
    url: '/files/a',
    path: '',
    size: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
    streamed: false,
  };
  let client: Client;
  before(async () => {
    client = await Client.start();
  });
  after(() => client.stop());

  const right: Handler = (_req, res) => void res.writeHead(200, { 'Content-Length': 1000 }).end(body);
  const wrong: [name: string, handler: Handler, message: RegExp][] = [
    ['a status', (_req, res) => res.writeHead(404).end(), /expected status 200, got HTTP\/1.1 404/],
    ['a length', (_req, res) => res.writeHead(200, { 'Content-Length': 3 }).end('aaa'), /got 3$/],
    ['no length', (_req, res) => void res.writeHead(200).write(body), /got none$/],
    [
      'too little',
      (_req, res) => {
        res.writeHead(200, { 'Content-Length': 1000 });
        res.write('aaa', () => res.destroy());
      },
      /was closed before the response had ended/,
    ],
    [
      'too much',
      (_req, res) => void res.socket?.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${body}aaa`),
      /3 bytes came after the response had ended/,
    ],
  ];
  for (const [name, handler, message] of wrong) {
    test(`${name} that is not the expected one, in a run under load`, async (t) => {
      const server = await serve('http', [handler]);
      t.after(() => server.close());
      const load = client.load({ name: 'x', port: server.port }, file, { connections: 2, milliseconds: 20 });
      await assert.rejects(load, (error: Error) => {
        assert.match(error.message, /^x: \/files\/a: /);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('other bytes, in a checking pass', async (t) => {
    const server = await serve('http', [right]);
    t.after(() => server.close());
    const target = { name: 'x', port: server.port };
    await client.check(target, file);
    const other = { ...file, sha256: createHash('sha256').update('b').digest('hex') };
    await assert.rejects(client.check(target, other), /^Error: x: \/files\/a: expected SHA-256 3e23/);
  });

  test('a cache that does not cache', async (t) => {
    let calls = 0;
    const server = await serve('http', [
      (req, res, next) => {
        calls++;
        right(req, res, next);
      },
    ]);
    t.after(() => server.close());
    const pretender = (name: 'http' | 'filter-http') => ({
      name,
      port: server.port,
      usage: async () => ({ cpuSeconds: undefined, calls, sent: 0, lastEnd: 0, rss: undefined }),
      purge: async () => undefined,
      stop: async () => undefined,
    });
    const options = parseOptions(['--smoke', '--peer', 'http', '--package', pathOf('../../lib/index.ts')]);
    assert.ok(options);
    const servers = [pretender('http'), pretender('filter-http')];
    await assert.rejects(
      measureHits(options, { client, servers, material: [file] }, () => undefined),
      /filter-http does not store \/files\/a/,
    );
    assert.ok(calls > 2, `asked ${calls} times`);
  });

  test('an option that is none', () => {
    const given: [args: string[], message: RegExp][] = [
      [['warm'], /expected one of hits, cold, .*; got 'warm'/],
      [['--peer', 'squid'], /--peer is one of http, express, .*; got 'squid'/],
      [['--size', '1x'], /--size takes a size such as 64k or 256m, got '1x'/],
      [['--rounds', '1.5'], /--rounds takes a whole number greater than 0, got '1.5'/],
      [['--before', 'no/such.js'], /--before takes the file of a build, .* there is no no\/such.js/],
    ];
    for (const [args, message] of given) assert.throws(() => parseOptions(args), message);
  });
});
