/**
 * Stands before a real upstream, so that what a mirror asks of it is seen, and can be spoilt.
 *   node test/e2e/upstream.mjs PORT URL FOLDER
 * FOLDER/asked has a line for each request. While FOLDER/spoil is there, answers to paths with what it says in them come with one byte
 * changed. In JSON the upstream's URL becomes ours. At paths that end in -forged.tgz is what nobody published.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [port, upstream, folder] = process.argv.slice(2);
const base = upstream.replace(/\/$/, '');

const server = createServer(async (req, res) => {
  appendFileSync(join(folder, 'asked'), `${req.method} ${req.url}\n`);
  if (req.url.endsWith('-forged.tgz')) {
    res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': 6 }).end('forged');
    return;
  }
  try {
    const headers = { 'accept-encoding': 'identity' };
    for (const name of ['accept', 'range', 'if-none-match', 'if-modified-since']) {
      if (req.headers[name] !== undefined) headers[name] = req.headers[name];
    }
    const answer = await fetch(base + req.url, { method: req.method, headers });
    let body = Buffer.from(await answer.arrayBuffer());
    if (answer.headers.get('content-type')?.includes('json'))
      body = Buffer.from(body.toString().replaceAll(`${base}/`, `http://127.0.0.1:${port}/`));
    const spoil = join(folder, 'spoil');
    if (existsSync(spoil) && req.url.includes(readFileSync(spoil, 'utf8').trim()) && body.length > 0)
      body[body.length >> 1] ^= 1;
    const kept = ['content-type', 'etag', 'last-modified', 'cache-control', 'vary', 'content-range']
      .map((name) => [name, answer.headers.get(name)])
      .filter(([, value]) => value !== null);
    res.writeHead(answer.status, { ...Object.fromEntries(kept), 'Content-Length': body.length });
    res.end(req.method === 'HEAD' ? undefined : body);
  } catch (error) {
    console.error(req.url, error);
    res.writeHead(502).end();
  }
});
server.listen(Number(port), '127.0.0.1');
