import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Who asks, by token: `reader` may see what the project has, `member` may download it, `admin` may all. */
const CALLERS: Readonly<Record<string, { project: string; roles: string[] }>> = {
  admin: { project: 'operators', roles: ['admin'] },
  member: { project: 'ours', roles: ['member', 'reader'] },
  reader: { project: 'ours', roles: ['reader'] },
  stranger: { project: 'theirs', roles: ['member', 'reader'] },
};

export interface Image {
  status: 'queued' | 'active' | 'deactivated' | 'deleted';
  owner: string;
  visibility: 'public' | 'private';
  protected: boolean;
  /** Members may not download an image that has `x_restricted`. */
  properties: Record<string, string>;
  /** undefined: nothing has been uploaded yet. */
  data: Buffer | undefined;
  /** As recorded: it may be missing, or wrong. */
  size: number | undefined;
  /** MD5 in hex; undefined: none was recorded. */
  checksum: string | undefined;
  osHash: string | undefined;
  /** Answers a download in place of the service. */
  download?: (req: IncomingMessage, res: ServerResponse, image: Image) => unknown;
  /** What a DELETE is answered with, in place of what it would be. */
  deletion?: number;
}

export function hexOf(algorithm: string, data: Uint8Array): string {
  return createHash(algorithm).update(data).digest('hex');
}

export function anImage(more: Partial<Image> = {}): Image {
  const data = 'data' in more ? more.data : Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ'.repeat(100));
  return {
    status: data === undefined ? 'queued' : 'active',
    owner: 'ours',
    visibility: 'private',
    protected: false,
    properties: {},
    data,
    size: data?.length,
    checksum: data && hexOf('md5', data),
    osHash: data && hexOf('sha512', data),
    ...more,
  };
}

/** An image service in the manner of Glance: its v1 and v2 API as far as a cache in front of it can tell. */
export class ImageService {
  readonly images: Map<string, Image>;
  /** Every request that came here: method, path with query, token. */
  readonly asked: string[] = [];

  constructor(images: Record<string, Image>) {
    this.images = new Map(Object.entries(images));
  }

  /** What a caller may see; an admin also sees what has been deleted. */
  visible(id: string, token: string): Image | undefined {
    const image = this.images.get(id);
    const caller = CALLERS[token];
    if (image === undefined || caller === undefined) return undefined;
    if (caller.roles.includes('admin')) return image;
    if (image.status === 'deleted') return undefined;
    return image.visibility === 'public' || image.owner === caller.project ? image : undefined;
  }

  /** The policy for downloads: by role, and by a property of the image. */
  mayDownload(image: Image, token: string): boolean {
    const roles = CALLERS[token]?.roles ?? [];
    if (roles.includes('admin')) return true;
    return roles.includes('member') && image.properties['x_restricted'] === undefined;
  }

  handle(req: IncomingMessage, res: ServerResponse): unknown {
    const token = String(req.headers['x-auth-token'] ?? '');
    this.asked.push(`${req.method} ${req.url} ${token}`);
    const [path = '', query] = (req.url ?? '').split('?');
    const [, version, collection, id = '', below] = path.split('/').map(decodeURIComponent);
    if (!/^v[12]$/.test(version ?? '') || collection !== 'images') return say(res, 404, 'no such resource');
    const image = this.visible(id, token);
    if (id === 'detail') return say(res, 200, { images: [...this.images.keys()] });
    if (image === undefined) return say(res, 404, `no image ${id}`);
    const route = `${req.method} ${version} ${below ?? ''}`;
    switch (route) {
      case 'GET v2 ':
      case 'HEAD v2 ':
        return say(res, 200, describe(id, image));
      case 'GET v1 ':
      case 'GET v2 file':
        return this.#download(req, res, image, { token, v1: version === 'v1', query });
      case 'PUT v2 file':
      case 'PATCH v2 ':
      case 'POST v2 members':
      case 'DELETE v2 members':
      case 'DELETE v2 tags':
        req.resume();
        return say(res, route.startsWith('PATCH') ? 200 : 204);
      case 'GET v2 members':
        return say(res, 200, { members: [] });
      case 'DELETE v1 ':
      case 'DELETE v2 ':
        return this.#delete(res, id, image, version === 'v1');
      default:
        return say(res, 405, `${req.method} is not for this`);
    }
  }

  #delete(res: ServerResponse, id: string, image: Image, v1: boolean): void {
    const status = image.deletion ?? (image.protected ? 403 : v1 ? 200 : 204);
    if (status >= 200 && status < 300 && status !== 206) this.images.delete(id);
    say(res, status);
  }

  #download(
    req: IncomingMessage,
    res: ServerResponse,
    image: Image,
    { token, v1, query }: { token: string; v1: boolean; query: string | undefined },
  ): unknown {
    const prefer = new URLSearchParams(query).get('prefer');
    if (prefer !== null && prefer !== 'fast') return say(res, 400, `there is no store ${prefer}`);
    if (image.status === 'deleted') return say(res, 404, 'deleted');
    if (image.status === 'deactivated' && token !== 'admin') return say(res, 403, 'deactivated');
    if (!this.mayDownload(image, token)) return say(res, 403, 'not for you');
    if (image.download !== undefined) return image.download(req, res, image);
    const { data, checksum } = image;
    if (data === undefined) return say(res, 204);
    const range = rangeOf(req, data.length);
    if (range === 'several') return say(res, 400, 'one range, please');
    if (range === 'none') {
      res.setHeader('Content-Range', `bytes */${data.length}`);
      return say(res, 416);
    }
    const { start, end } = range ?? { start: 0, end: data.length };
    res.setHeader('Content-Type', 'application/octet-stream');
    res.setHeader('Content-Length', end - start);
    if (v1 && checksum !== undefined) res.setHeader('x-image-meta-checksum', checksum);
    if (range !== undefined) res.setHeader('Content-Range', `bytes ${start}-${end - 1}/${data.length}`);
    else if (!v1 && checksum !== undefined) res.setHeader('Content-MD5', checksum);
    res.writeHead(range === undefined ? 200 : 206);
    return res.end(data.subarray(start, end));
  }
}

function say(res: ServerResponse, status: number, body: string | object = ''): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  if (status !== 204) res.setHeader('Content-Length', Buffer.byteLength(text));
  res.writeHead(status).end(status === 204 ? undefined : text);
}

function describe(
  id: string,
  { status, owner, visibility, size, checksum, osHash, properties }: Image,
): object {
  return { ...properties, id, status, owner, visibility, size, checksum, os_hash_value: osHash };
}

/** As Glance understands it: one range, from Range or from Content-Range; clipped to what there is. */
function rangeOf(
  { headers }: IncomingMessage,
  size: number,
): { start: number; end: number } | 'several' | 'none' | undefined {
  const asked = headers.range || headers['content-range'];
  if (!asked) return undefined;
  const [, first = '', last = ''] = /^bytes[ =](\d*)-(\d*)(?:\/.*)?$/.exec(asked) ?? [];
  if (asked.includes(',')) return 'several';
  if (first === '' && last === '') return 'none';
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  return start < end ? { start, end } : 'none';
}
