/**
 * Writes a cache directory as this version does, for the tests of all later ones: `node --import tsx scripts/write-fixture.mjs [folder]`.
 *
 * Once a release is out its fixture never changes; so a folder that is there already is refused. What is written is the same each
 * time: the fill ids, which are random otherwise, are counted.
 */
import crypto from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const folder = resolve(process.argv[2] ?? join(root, 'test/fixtures/v1', version));
if (existsSync(folder)) {
  console.error(`${relative(root, folder)} is there already; what a release has written never changes`);
  process.exit(1);
}

let ids = 0;
crypto.randomBytes = (size) => {
  const bytes = Buffer.alloc(size);
  bytes.writeUInt32BE(++ids, size - 4);
  return bytes;
};
syncBuiltinESMExports();
const { FileCache } = await import('../lib/cache/file-cache.ts');

const STORED_AT = Date.UTC(2026, 10, 21);

/** Every byte, and what a version control system might take for the end of a line. */
const BINARY = Buffer.from([...Array(256).keys(), 13, 10, 10, 13, 0, 26, 0xef, 0xbb, 0xbf]);

const ENTRIES = [
  {
    key: { primary: '/files/plain' },
    head: {
      status: 200,
      statusMessage: 'Fine',
      headers: [
        ['Content-Type', 'text/plain; charset=utf-8'],
        ['ETag', '"1"'],
        ['Link', '</a>; rel="next"'],
        ['link', '</b>; rel="prev"'],
      ],
    },
    options: { algorithms: ['md5', 'sha512'], tags: ['files:plain', 'a tag with ü'], size: 30 },
    body: Buffer.from('Lines\nthat end\r\nin many ways.\r'),
  },
  {
    key: { primary: '/files/binary' },
    head: {
      status: 200,
      headers: [['Content-Type', 'application/octet-stream']],
      removed: ['x-powered-by'],
      merged: ['vary'],
    },
    options: { tags: [] },
    body: Buffer.concat(Array.from({ length: 20 }, () => BINARY)),
  },
  {
    key: { primary: '/files/variant' },
    head: { status: 200, headers: [['X-Variant', 'none']] },
    options: { size: 4 },
    body: Buffer.from('none'),
  },
  {
    key: { primary: '/files/variant', variant: '?lang=de' },
    head: {
      status: 200,
      headers: [
        ['X-Variant', 'de'],
        ['Content-Language', 'de'],
      ],
    },
    options: { size: 2 },
    body: Buffer.from('de'),
  },
  {
    key: { primary: '/files/empty' },
    head: { status: 200, headers: [['Content-Length', '0']] },
    options: { size: 0 },
    body: Buffer.alloc(0),
  },
  {
    key: { primary: '/files/Ünïcödé/\u{1f4e6}/..%2f', variant: 'ü' },
    head: {
      status: 200,
      statusMessage: '',
      headers: [
        ['X-Latin', 'é'],
        ['X-Empty', ''],
      ],
    },
    options: {},
    body: Buffer.from('{"format":2}\n'),
  },
  {
    key: { primary: '/files/of-two-blocks' },
    head: { status: 200, headers: [['Content-Type', 'application/octet-stream']] },
    options: { version: '2' },
    body: BINARY,
    times: Math.ceil((2 ** 20 + 1) / BINARY.byteLength),
    pinned: true,
  },
];

const directory = join(folder, 'cache');
mkdirSync(directory, { recursive: true });
const cache = new FileCache({ directory });
const expected = [];
for (const { key, head, options, body, times = 1, pinned = false } of ENTRIES) {
  const claim = await cache.claim(key);
  const fill = await claim.start(head, { storedAt: STORED_AT, ...options });
  fill.write(Buffer.concat(Array.from({ length: times }, () => body)));
  const info = await fill.commit({ length: times * body.byteLength });
  if (pinned) await cache.pin(key.primary, true);
  expected.push({ ...info, head, body: body.toString('base64'), times, pinned });
}
await cache.close();
// Version control has no empty folders.
rmSync(join(directory, 'v1', 'incomplete'), { recursive: true });
writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(expected, undefined, 2)}\n`);
console.log(`${expected.length} entries in ${relative(root, folder)}`);
