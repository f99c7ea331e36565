// Who gets what from the cache: users, roles, files that are deactivated or deleted. PORT (default 3000, 0: any free one).
//   F=http://127.0.0.1:3000/files/plan; for USER in ann bob eve; do curl -s -D - -o /dev/null -H "X-User: $USER" $F; done
//     ann (reader): 200, miss, then hits; bob (admin): 200, hit; eve (no reader): 403, though the file is in the cache
//   curl -X PUT -H 'X-User: bob' $F/deactivated     then ann gets 403 and bob 200, both from the application; the entry stays
//   curl -X PUT -H 'X-User: bob' $F/active          then it is served from the cache again
//   curl -X PUT -H 'X-User: bob' $F/deleted         then everybody gets 404, and the entry goes with the next request

import type { AddressInfo } from 'node:net';
import express, { type Request, type RequestHandler, type Response } from 'express';
import { cacheFilter, type HookContext } from '../lib/index.ts';

const { PORT = '3000', CACHE_DIRECTORY = './.cache/per-user-policy' } = process.env;

interface User {
  name: string;
  role: 'admin' | 'user';
}
const STATUSES = ['active', 'deactivated', 'deleted'] as const;
interface File {
  status: (typeof STATUSES)[number];
  size: number;
  readers: string[];
}
const users = new Map<string, User>([
  ['ann', { name: 'ann', role: 'user' }],
  ['bob', { name: 'bob', role: 'admin' }],
  ['eve', { name: 'eve', role: 'user' }],
]);
const files = new Map<string, File>([['plan', { status: 'active', size: 2 ** 20, readers: ['ann'] }]]);
const bytes = Buffer.alloc(2 ** 20, 'the plan ');

/** In place of a real sign-in, which stands before the filter: so the hooks know who asks. */
const userOf = (req: Pick<Request, 'get'>) => users.get(req.get('x-user') ?? '');
const signIn: RequestHandler = (req, res, next) => {
  if (userOf(req) === undefined) res.status(401).send('send X-User: ann, bob or eve\n');
  else next();
};

/** One function for both: the application asks it on a miss, the filter on a hit. */
const mayRead = (user: User | undefined, file: File) =>
  user !== undefined && (user.role === 'admin' || file.readers.includes(user.name));

function download(req: Request<{ id: string }>, res: Response): void {
  const file = files.get(req.params.id);
  const user = userOf(req);
  if (file === undefined || file.status === 'deleted') res.status(404).send('no such file\n');
  else if (!mayRead(user, file)) res.status(403).send('not for you\n');
  else if (file.status === 'deactivated' && user?.role !== 'admin') res.status(403).send('deactivated\n');
  else res.type('application/octet-stream').send(bytes);
}

function setStatus(req: Request<{ id: string; status: string }>, res: Response): void {
  const file = files.get(req.params.id);
  const status = STATUSES.find((each) => each === req.params.status);
  if (userOf(req)?.role !== 'admin') res.status(403).send('only for admins\n');
  else if (file === undefined || status === undefined) res.status(404).send('no such file, or status\n');
  else {
    file.status = status;
    res.status(204).end();
  }
}

const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 2 ** 30,
  routes: [{ path: '/files/:id', freshness: 'immutable' }],
  // Unknown: 404. `status` and `size` speak for themselves: deleted, deactivated, or another size than what is stored.
  metadata: ({ id }: HookContext<Request>) => files.get(id),
  authorize: ({ req, resource }) => mayRead(userOf(req), resource),
});

const app = express();
app.use(signIn, filter);
app.get('/files/:id', download);
app.put('/files/:id/:status', setStatus);

const server = app.listen(Number(PORT), '127.0.0.1', (error?: Error) => {
  if (error !== undefined) throw error;
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/files/plan`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
