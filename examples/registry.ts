// An OCI registry inside an Express application: container images, or any files, pushed and pulled by skopeo, podman, docker or oras.
// PORT (default 3000, 0: any free one). The users are ann (password secret) and bob (password hush); whoever has none may pull below open/.
//   R=http://127.0.0.1:3000; echo hello > hello; D=sha256:$(sha256sum hello | cut -d ' ' -f 1)
//   curl -i -u ann:secret --data-binary @hello "$R/v2/ann/files/blobs/uploads/?digest=$D"     201, with the blob's Location
//   curl -s -u bob:hush $R/v2/ann/files/blobs/$D                                              403: bob sees only his own
//   curl -s -u ann:secret -r 1-3 $R/v2/ann/files/blobs/$D                                     206: ell
//   skopeo copy --dest-tls-verify=false --dest-creds ann:secret docker://alpine docker://127.0.0.1:3000/ann/alpine:latest

import type { AddressInfo } from 'node:net';
import express from 'express';
import { basicAuth, hashPassword, registry } from '../lib/registry/index.ts';
import { FilesystemBackend, Storage } from '../lib/storage/index.ts';

const { PORT = '3000', STORAGE_DIRECTORY = './.cache/registry' } = process.env;

const storage = new Storage(new FilesystemBackend({ directory: STORAGE_DIRECTORY }));

/** In place of a file with lines `name:hash`, which would be given as `htpasswd`. */
const users = { ann: await hashPassword('secret'), bob: await hashPassword('hush') };

const images = registry({
  storage,
  authenticate: basicAuth({ users }),
  authorize: ({ user, action, repository }) => {
    if (action === 'pull' && repository.startsWith('open/')) return true;
    // Of `ping`, too, with which clients begin: those that get no 401 then send no credentials later.
    if (user === undefined) return false;
    return action === 'ping' || repository.startsWith('open/') || repository.startsWith(`${user.name}/`);
  },
  quota: ({ bytes }) => bytes <= 2 * 2 ** 30,
  onEvent: ({ action, what, repository, digest, tag, user }) =>
    console.log(`${user?.name ?? 'somebody'}: ${action} ${what} ${repository} ${tag ?? digest}`),
});

const app = express();
app.get('/', (_req, res) => void res.type('text').send('a registry is below /v2/\n'));
app.use(images); // before body parsers: it takes bodies as they come

const server = app.listen(Number(PORT), '127.0.0.1', (error?: Error) => {
  if (error !== undefined) throw error;
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/`);
});
server.requestTimeout = 0; // Node's own would cut an upload off after five minutes; the registry looks whether anything comes

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
