// The first five minutes: a slow file service, made fast. PORT (default 3000, 0: any free one).
//   curl -s -D - -o /dev/null -H 'X-User: ann' http://127.0.0.1:3000/files/42     Cache-Status: cache-filter; fwd=uri-miss; stored
//   curl -s -D - -o /dev/null -H 'X-User: ann' http://127.0.0.1:3000/files/42     Cache-Status: cache-filter; hit

import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import express, { type Request, type RequestHandler, Router } from 'express';
import { cacheFilter, type HookContext } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/files' } = process.env;

interface User {
  name: string;
}
declare global {
  namespace Express {
    interface Request {
      user?: User;
    }
  }
}

/** What the application knows of its files. */
interface File {
  size: number;
  readers: string[];
}
const catalogue = new Map<string, File>([['42', { size: 2 ** 20, readers: ['ann', 'bob'] }]]);
const contents = new Map([['42', Buffer.alloc(2 ** 20, 'forty-two ')]]);

/** In place of a real sign-in. */
const requireUser: RequestHandler = (req, res, next) => {
  const name = req.get('x-user');
  if (name === undefined) return void res.status(401).send('who are you? Send X-User\n');
  req.user = { name };
  next();
};
const mayRead = (user: User | undefined, file: File) =>
  user !== undefined && file.readers.includes(user.name);

/** Knows nothing of the cache. */
const filesRouter = Router();
filesRouter.get('/:id', async (req, res) => {
  const file = catalogue.get(req.params.id);
  if (file === undefined) return res.status(404).send('no such file\n');
  if (!mayRead(req.user, file)) return res.status(403).send('not for you\n');
  await sleep(1000); // far away
  return res.type('application/octet-stream').send(contents.get(req.params.id));
});
filesRouter.delete('/:id', (req, res) => {
  res.status(catalogue.delete(req.params.id) ? 204 : 404).end();
});

const app = express();
app.use('/files', requireUser);
const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 20 * 2 ** 30,
  routes: [{ path: '/files/:id', freshness: 'immutable' }],
  metadata: ({ id }: HookContext<Request>) => catalogue.get(id), // undefined: 404 for this caller
  authorize: ({ req, resource }) => mayRead(req.user, resource), // asked on every hit, before any byte
});
app.use(filter);
app.use('/files', filesRouter);

const server = app.listen(Number(PORT), '127.0.0.1', (error?: Error) => {
  if (error !== undefined) throw error;
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/files/42`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
