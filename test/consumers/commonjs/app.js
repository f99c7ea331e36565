// An application of CommonJS on Express 4.
const assert = require('node:assert/strict');
const {
  cacheFilter,
  default: cacheFilterDefault,
  FileCache,
  getCacheInfo,
  glance,
  MemoryCache,
} = require('cache-filter');
const { testCache } = require('cache-filter/contracts');
const express = require('express');

assert.equal(cacheFilterDefault, cacheFilter);
for (const exported of [FileCache, MemoryCache, getCacheInfo, glance, testCache]) {
  assert.equal(typeof exported, 'function');
}

const filter = cacheFilter({
  directory: process.argv[2],
  routes: [{ path: '/files/:id', freshness: 'immutable' }],
  metadata: () => ({ size: 3, owner: 'x' }),
  authorize: ({ req, resource }) => req.get('x-user') === resource.owner,
});

const app = express();
app.use(filter);
app.get('/files/:id', (_req, res) => {
  res.type('application/octet-stream').send('abc');
});

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  filter.close();
});
