import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import {
  type AuthorizeOutcome,
  type CacheFilter,
  type CacheFilterOptions,
  cacheFilter,
  type FileCache,
  type FileCacheOptions,
  glance,
} from '../../lib/index.ts';
import { Disk } from '../cache/disk.ts';
import { type Answer, ask } from '../support/client.ts';
import { type Handler, type Kind, serve, type TestServer } from '../support/servers.ts';
import { type Image, ImageService } from './image-service.ts';

export interface CachedGlance {
  service: ImageService;
  filter: CacheFilter;
  server: TestServer;
  disk: Disk;
  cache: FileCache;
  /** What happened, in order: `metadata one`, `authorize one`, and what the service was asked. */
  log: string[];
  /** A v2 download; by `member` unless said otherwise. */
  get(id?: string, token?: string, headers?: Record<string, string>): Promise<Answer>;
  /** `GET /v2/images/one/file`, by `member` unless said otherwise. */
  request(
    line: string,
    token?: string,
    headers?: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<Answer>;
  /** What is stored, by key. */
  stored(): Promise<string[]>;
}

export interface CachedOptions extends Partial<CacheFilterOptions<IncomingMessage, Image>> {
  kind?: Kind;
  store?: Omit<FileCacheOptions, 'directory'>;
  disk?: Disk;
  /** Around the filter and the service, in place of a plain row of the two. */
  arrange?: (filter: Handler, service: Handler) => Handler[];
}

/** An image service with a filter before it, which asks the service's catalogue what Glance's middleware asks Glance's. */
export async function cached(
  t: TestContext,
  images: Record<string, Image>,
  { kind = 'express5', store = {}, disk = new Disk(t), arrange = inARow, ...options }: CachedOptions = {},
): Promise<CachedGlance> {
  const service = new ImageService(images);
  const log = service.asked;
  const cache = await disk.cache(store);
  const filter = cacheFilter<IncomingMessage, Image>({
    cache,
    routes: glance(),
    metadata: ({ id, req }) => {
      log.push(`metadata ${id}`);
      return resourceOf(service, id, tokenOf(req));
    },
    authorize: ({ id, req, resource }): AuthorizeOutcome => {
      log.push(`authorize ${id}`);
      return service.mayDownload(resource, tokenOf(req));
    },
    ...options,
  });
  const app = (req: IncomingMessage, res: ServerResponse) => service.handle(req, res);
  const server = await serve(kind, arrange(filter as Handler, app));
  t.after(async () => {
    await filter.close();
    await server.close();
  });
  const asking: CachedGlance['request'] = (line, token = 'member', headers = {}, signal) => {
    const [method = '', path = ''] = line.split(' ');
    return ask(server, {
      method,
      path,
      headers: { 'X-Auth-Token': token, ...headers },
      ...(signal === undefined ? {} : { signal }),
    });
  };
  return {
    service,
    filter,
    server,
    disk,
    cache,
    log,
    request: asking,
    get: (id = 'one', token, headers) => asking(`GET /v2/images/${id}/file`, token, headers),
    stored: async () => {
      const keys: string[] = [];
      for await (const { key } of cache.list()) keys.push(key.primary);
      return keys.sort();
    },
  };
}

function inARow(filter: Handler, service: Handler): Handler[] {
  return [filter, service];
}

export function tokenOf(req: IncomingMessage): string {
  return String(req.headers['x-auth-token'] ?? '');
}

/** What an application tells the filter of an image; a size of zero was never recorded. */
function resourceOf(service: ImageService, id: string, token: string): Image | 'deleted' | undefined {
  const image = service.visible(id, token);
  if (image?.status === 'deleted') return 'deleted';
  return image && { ...image, size: image.size || undefined };
}

/** How often the service was asked for this image's data. */
export function downloads({ log }: Pick<CachedGlance, 'log'>, id = 'one'): number {
  return log.filter((line) => line.startsWith(`GET /v2/images/${id}/file`)).length;
}

/** A v2 download that has begun: its head is here, its body waits to be read. */
export function begun({ server }: Pick<CachedGlance, 'server'>, id = 'one'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'X-Auth-Token': 'member' };
    const path = `/v2/images/${id}/file`;
    const req = request({ host: '127.0.0.1', port: server.port, path, headers, agent: false });
    req.once('response', (res) => {
      // One who leaves is cut off.
      res.on('error', () => undefined);
      resolve(res);
    });
    req.once('error', reject);
    req.end();
  });
}

/** The rest of it. */
export async function rest(res: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of res) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
