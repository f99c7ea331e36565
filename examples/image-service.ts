// The main job on an embedded default: `npm start`. An image service, the filter before it, and a tour of what that does.
// PORT (default 8080, 0: any free one); DEMO_ONCE=1 ends after the tour.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import express, { type ErrorRequestHandler, type Request } from 'express';
import { cacheFilter, glance, type HookContext } from '../lib/index.ts';
import { ImageService, mayDownload, requireRole } from './image-service/service.ts';
import { tour } from './image-service/tour.ts';

const { PORT = '8080', DEMO_ONCE } = process.env;

await mkdir('.cache', { recursive: true });
const directory = await mkdtemp(join('.cache', 'image-service-'));

const service = new ImageService({ bytesPerSecond: 16 * 2 ** 20 });

const filter = cacheFilter({
  directory,
  maxBytes: 2 ** 30,
  routes: glance(),
  // What the catalogue says: unknown images are 404, deactivated ones are the service's to answer.
  metadata({ id }: HookContext<Request>) {
    const image = service.image(id);
    return image && { ...image, digests: `sha512:${image.os_hash_value}` };
  },
  authorize: ({ req, resource }) => mayDownload(req, resource),
});

const answerErrors: ErrorRequestHandler = (error: Error & { status?: number }, _req, res, next) => {
  if (res.headersSent) next(error);
  else res.status(error.status ?? 500).json({ message: error.message });
};

const app = express();
app.disable('x-powered-by');
app.use(requireRole);
app.use(filter);
app.use(service.router);
app.use(answerErrors);

const server = createServer(app);
let stopping = false;

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  server.close();
  server.closeAllConnections();
  await filter.close();
  await rm(directory, { recursive: true, force: true });
}

async function fail(message: string): Promise<void> {
  console.error(message);
  process.exitCode = 1;
  await stop();
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

const port = Number(PORT);
server.on('error', (error: NodeJS.ErrnoException) => {
  const taken = error.code === 'EADDRINUSE';
  void fail(
    taken ? `Port ${port} is taken. Choose another: PORT=8081 npm start` : `Can't listen: ${error.message}`,
  );
});
server.listen(port, '127.0.0.1', () => void show());

async function show(): Promise<void> {
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  console.log(`An image service at ${origin}, its store 16 MiB/s away.`);
  console.log(`The filter stands before it, and keeps what it sends in ${directory}.`);
  console.log('Images are 16 MiB. "origin" counts the requests that reached the service.\n');
  try {
    const left = await tour(origin, service, console.log);
    if (DEMO_ONCE === '1') return await stop();
    console.log(`
To try:
  IMAGE=${origin}/v2/images/${left}
  curl -s -D - -o /dev/null -H 'X-Roles: member' $IMAGE/file
  curl -s -D - -o /dev/null -H 'X-Roles: member' -r 0-99 $IMAGE/file
  curl -i -X POST -H 'X-Roles: admin' $IMAGE/actions/deactivate
  curl -i -X DELETE -H 'X-Roles: admin' $IMAGE
Ctrl-C stops, and removes ${directory}.`);
  } catch (error) {
    if (!stopping) await fail(String(error));
  }
}
