/**
 * Writes an OCI image layout: one image of several layers, or a list of one for each of two architectures.
 *
 *   node test/e2e/make-image.mjs DIRECTORY [--list] [--bytes N]
 *
 * Layers are gzipped tar files of random bytes, so that no two runs push the same.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: 'boolean', default: false }, bytes: { type: 'string', default: '3000000' } },
});
const [directory] = positionals;
const size = Number(values.bytes);
const blobs = join(directory, 'blobs', 'sha256');
mkdirSync(blobs, { recursive: true });

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function store(mediaType, bytes) {
  const hex = sha256(bytes);
  writeFileSync(join(blobs, hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

function storeJson(mediaType, document) {
  return store(mediaType, Buffer.from(JSON.stringify(document)));
}

/** A tar file with one member (POSIX.1-1988, ustar). */
function tar(name, content) {
  const header = Buffer.alloc(512);
  const field = (text, at) => header.write(text, at, 'latin1');
  field(name, 0);
  field('0000644\0', 100);
  field('0000000\0', 108);
  field('0000000\0', 116);
  field(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  field('00000000000\0', 136);
  field('        ', 148);
  field('0', 156);
  field('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  field(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}

function image(architecture) {
  const archives = [1, 2, 3].map((n) => tar(`file-${n}`, randomBytes(Math.ceil(size / 3))));
  const layers = archives.map((bytes) =>
    store('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(bytes, { level: 1 })),
  );
  const config = storeJson('application/vnd.oci.image.config.v1+json', {
    architecture,
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: archives.map((bytes) => `sha256:${sha256(bytes)}`) },
    history: archives.map(() => ({ created_by: 'make-image' })),
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = storeJson(mediaType, { schemaVersion: 2, mediaType, config, layers });
  return { ...manifest, platform: { architecture, os: 'linux' } };
}

const mediaType = 'application/vnd.oci.image.index.v1+json';
const top = values.list
  ? storeJson(mediaType, { schemaVersion: 2, mediaType, manifests: [image('amd64'), image('arm64')] })
  : image('amd64');
const annotations = { 'org.opencontainers.image.ref.name': 'made' };
writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
writeFileSync(
  join(directory, 'index.json'),
  JSON.stringify({ schemaVersion: 2, manifests: [{ ...top, annotations }] }),
);
console.log(top.digest);
