// A mirror of container registries that also hosts what is pushed to it below own/. UPSTREAM is the registry, PORT (default 5000, 0: any free one);
// UPSTREAMS, for several, is JSON: '{ "docker.example": "https://images.docker.example" }' (?ns= chooses).
//   UPSTREAM=https://images.example node --import tsx examples/registry-mirror.ts       (authorize: 'anyone' is for a machine of your own)
//   curl -i http://127.0.0.1:5000/v2/                                                                 200, answered here
//   skopeo copy --src-tls-verify=false docker://127.0.0.1:5000/team/app:v1 oci:app:v1                   from the mirror, checked and kept
//   skopeo copy --dest-tls-verify=false oci:app:v1 docker://127.0.0.1:5000/own/app:v1                   to the registry beside it

import { createServer } from 'node:http';
import { cacheFilter, oci } from '../lib/index.ts';
import { registry } from '../lib/registry/index.ts';
import { FilesystemBackend, Storage } from '../lib/storage/index.ts';

const { PORT = '5000', UPSTREAM = '', UPSTREAMS, CACHE_DIRECTORY = './.cache/images' } = process.env;
const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 50 * 2 ** 30,
  ...oci(UPSTREAMS === undefined ? { upstream: UPSTREAM } : { upstreams: JSON.parse(UPSTREAMS) }),
});
const storage = new Storage(new FilesystemBackend({ directory: `${CACHE_DIRECTORY}-own` }));
const own = registry({ storage, authorize: 'anyone' });
const server = createServer((req, res) => {
  const end = (error?: unknown) => {
    if (res.headersSent) res.destroy();
    else res.writeHead(error === undefined ? 404 : ((error as { status?: number }).status ?? 500)).end();
  };
  if (req.url?.startsWith('/v2/own/')) own(req, res, end);
  else filter(req, res, end);
});
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${Object(server.address()).port}/v2/`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
