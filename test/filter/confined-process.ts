/** An application with a cache, in a process that may write nowhere but below the cache's directory. Started by the test beside it. */
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import express from 'express';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { cacheFilter, FileCache } from '../../lib/index.ts';

/** What it tells its parent. */
export interface Told {
  /** What came of writing a file to each of these directories. */
  probes: Record<string, string>;
  /** The answers, in the order of the requests: status, what the filter said, and whether the body was right. */
  answers: string[];
  /** Below the directory of the cache. */
  files: string[];
  before: unknown;
  cleaned: unknown;
}

const BODY = bytesOf(3 * 2 ** 20);

async function run(directory: string): Promise<Told> {
  const probes: Told['probes'] = {};
  for (const path of [
    tmpdir(),
    '/tmp',
    '/dev/shm',
    '/',
    homedir(),
    process.cwd(),
    dirname(directory),
    directory,
  ])
    probes[path === directory ? 'directory' : path] = probe(join(path, 'probe'));

  const cache = new FileCache({ directory, minFreeBytes: 0, logger: false });
  const filter = cacheFilter({ cache, freshness: 'immutable' });
  const app = express();
  app.set('env', 'test');
  app.use(filter);
  app.get('/good', (_req, res) => void res.type('bin').send(BODY));
  app.get('/bad', (_req, res) => void res.set('Content-MD5', '0'.repeat(32)).type('bin').send(BODY));
  app.delete('/good', (_req, res) => void res.status(204).end());
  const server = createServer(app).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;

  const answers: string[] = [];
  for (const [method, path] of [
    ['GET', '/good'],
    ['GET', '/good'],
    ['GET', '/bad'],
    ['DELETE', '/good'],
    ['GET', '/good'],
  ] as const) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    const body = await answer.arrayBuffer().then(
      (bytes) => (BODY.equals(Buffer.from(bytes)) ? 'whole' : `${bytes.byteLength} bytes`),
      () => 'cut off',
    );
    const status = answer.headers.get('cache-status')?.replace('cache-filter; ', '');
    answers.push(`${method} ${path}: ${answer.status} ${status} ${body}`);
    await filter.idle();
  }
  const before = (await cache.stats()).invalid;
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const cleaned = await cache.clean();
  await filter.close();
  await cache.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return { probes, answers, files, before, cleaned };
}

function probe(path: string): string {
  try {
    writeFileSync(path, '');
    return 'written';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

const [, , mode, directory] = process.argv;
if (mode === 'confined-process' && directory !== undefined) {
  run(directory).then(
    (told) => process.send?.(told),
    (error: Error) => process.send?.({ error: String(error.stack) }),
  );
}
