/** A registry on a real socket, and what clients send to it. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type RegistryOptions, type RegistryStorage, registry } from '../../lib/registry/index.ts';
import type { StorageBackend } from '../../lib/storage/backends/backend.ts';
import { FilesystemBackend } from '../../lib/storage/backends/filesystem.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';
import type { Answer } from '../support/client.ts';
import { type Handler, type Kind, serve, type TestServer } from '../support/servers.ts';

export const REPO = 'team/app';
export const UPLOADS = `/v2/${REPO}/blobs/uploads/`;

export const BACKENDS: Record<string, (t: TestContext) => Promise<StorageBackend>> = {
  'in memory': async () => new MemoryBackend(),
  'in memory, without append': async () => new MemoryBackend({ append: false }),
  'on disk': async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'cache-filter-registry-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    return new FilesystemBackend({ directory, durability: 'none' });
  },
};

export interface Call {
  headers?: Record<string, string>;
  body?: Buffer | string;
  /** Node's own Content-Length and chunks otherwise. */
  chunked?: boolean;
}

export interface Json {
  errors?: { code: string; message: string; detail?: unknown }[];
  name?: string;
  tags?: string[];
  repositories?: string[];
  mediaType?: string;
  schemaVersion?: number;
  manifests?: { mediaType: string; digest: string; size: number; artifactType?: string }[];
}

export interface Said extends Answer {
  json: Json;
  /** The first error's. */
  code: string | undefined;
}

export interface Served {
  server: TestServer;
  storage: RegistryStorage;
  call(method: string, path: string, options?: Call): Promise<Said>;
  /** Pushes a blob in one request. */
  push(bytes: Buffer, repository?: string): Promise<string>;
  /** Pushes a manifest with its config and layer. */
  pushImage(
    reference: string,
    more?: object,
    repository?: string,
  ): Promise<{ digest: string; bytes: Buffer }>;
}

export interface Serving extends Partial<Omit<RegistryOptions, 'storage'>> {
  kind?: Kind;
  storage?: RegistryStorage;
  backend?: StorageBackend;
  before?: Handler[];
  /** Without `authorize`. */
  closed?: boolean;
  after?: Handler[];
}

export async function serving(t: TestContext, given: Serving = {}): Promise<Served> {
  const { kind = 'http', before = [], after = [], backend = new MemoryBackend(), closed, ...options } = given;
  const storage = options.storage ?? new Storage(backend);
  const handler = registry({ ...(closed ? {} : { authorize: 'anyone' as const }), ...options, storage });
  const server = await serve(kind, [...before, handler as Handler, ...after]);
  t.after(() => server.close());
  return client(server, storage);
}

export function client(server: TestServer, storage: RegistryStorage): Served {
  const call: Served['call'] = async (method, path, options = {}) => {
    const answer = await (server.kind === 'http2' ? askHttp2 : askHttp1)(server.port, method, path, options);
    const isJson = /json/.test(String(answer.headers['content-type'])) && answer.body.length > 0;
    const json = isJson ? (JSON.parse(answer.body.toString()) as Json) : {};
    return { ...answer, json, code: json.errors?.[0]?.code };
  };
  const push: Served['push'] = async (bytes, repository = REPO) => {
    const digest = digestOf(bytes);
    const { status } = await call('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
      body: bytes,
    });
    if (status !== 201) throw new Error(`pushing a blob: ${status}`);
    return digest;
  };
  return {
    server,
    storage,
    call,
    push,
    async pushImage(reference, more = {}, repository = REPO) {
      const config = Buffer.from('{}');
      const layer = Buffer.from(`layer of ${reference}`);
      await push(config, repository);
      await push(layer, repository);
      const bytes = imageOf(config, [layer], more);
      const { status, body } = await call('PUT', `/v2/${repository}/manifests/${reference}`, {
        headers: { 'Content-Type': IMAGE },
        body: bytes,
      });
      if (status !== 201) throw new Error(`pushing a manifest: ${status} ${body}`);
      return { digest: digestOf(bytes), bytes };
    },
  };
}

export const IMAGE = 'application/vnd.oci.image.manifest.v1+json';
export const INDEX = 'application/vnd.oci.image.index.v1+json';

export function imageOf(config: Buffer, layers: Buffer[], more: object = {}): Buffer {
  const descriptor = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: IMAGE,
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar', layer)),
      ...more,
    }),
  );
}

export function digestOf(bytes: Buffer | string, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

export function blobPath(digest: string, repository = REPO): string {
  return `/v2/${repository}/blobs/${digest}`;
}

function askHttp1(
  port: number,
  method: string,
  path: string,
  { headers = {}, body, chunked }: Call,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined || chunked ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
    const req = request({
      port,
      host: '127.0.0.1',
      path,
      method,
      headers: { ...length, ...headers },
      agent: false,
    });
    req.on('error', reject);
    req.on('response', (res) => {
      // The answer may come before all has been sent: what happens to the rest is not of interest then.
      req.off('error', reject).on('error', () => undefined);
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', () => undefined);
      res.on('close', () =>
        resolve({
          status: res.statusCode ?? 0,
          statusMessage: res.statusMessage ?? '',
          headers: res.headers,
          trailers: {},
          body: Buffer.concat(chunks),
          complete: res.complete,
        }),
      );
    });
    if (chunked) req.setHeader('Transfer-Encoding', 'chunked');
    req.end(body);
  });
}

function askHttp2(port: number, method: string, path: string, { headers = {}, body }: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', reject);
    const stream = session.request(
      { ':path': path, ':method': method, ...headers },
      { endStream: body === undefined },
    );
    const chunks: Buffer[] = [];
    let head: Record<string, string | string[] | undefined> = {};
    stream.on('error', () => undefined);
    stream.on('response', (given) => {
      head = given as typeof head;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('close', () => {
      session.close();
      resolve({
        status: Number(head[':status'] ?? 0),
        statusMessage: '',
        headers: head,
        trailers: {},
        body: Buffer.concat(chunks),
        complete: stream.rstCode === 0,
      });
    });
    if (body !== undefined) stream.end(body);
  });
}
