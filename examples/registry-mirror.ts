// A mirror of a container registry: layers are fetched once, checked, and kept. UPSTREAM is the registry, PORT (default 5000, 0: any free one).
//   UPSTREAM=https://images.example node --import tsx examples/registry-mirror.ts
//   curl -i http://127.0.0.1:5000/v2/                                              200, answered here
//   skopeo copy --src-tls-verify=false docker://127.0.0.1:5000/team/app:v1 oci:app:v1
//   docker: { "registry-mirrors": ["http://127.0.0.1:5000"] }; containerd: a hosts.toml with server and [host."http://127.0.0.1:5000"]

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cacheFilter, oci } from '../lib/index.ts';

const { PORT = '5000', UPSTREAM = '', CACHE_DIRECTORY = './.cache/images' } = process.env;

const filter = cacheFilter({
  directory: CACHE_DIRECTORY,
  maxBytes: 50 * 2 ** 30,
  ...oci({ upstream: UPSTREAM }),
});

const server = createServer((req, res) => {
  filter(req, res, (error) => {
    const { status = error === undefined ? 404 : 500 } = Object(error) as { status?: number };
    if (res.headersSent) res.destroy();
    else res.writeHead(status).end(`${status}\n`);
  });
});
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await filter.close();
  });
}
