// A small image service after OpenStack Glance's API. It knows nothing of the cache.

import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import express, { type Request, type RequestHandler, type Response, Router } from 'express';

export interface Image {
  id: string;
  name: string;
  status: 'queued' | 'active' | 'deactivated';
  visibility: 'public' | 'private';
  size?: number;
  /** MD5 in hex. */
  checksum?: string;
  os_hash_algo?: 'sha512';
  /** SHA-512 in hex. */
  os_hash_value?: string;
}

type OfImage = Request<{ id: string }>;

export type Role = 'admin' | 'member';

/** Who asks: the X-Roles header, in place of a real identity service. */
function roleOf(req: IncomingMessage): Role | undefined {
  const role = req.headers['x-roles'];
  return role === 'admin' || role === 'member' ? role : undefined;
}

export const requireRole: RequestHandler = (req, res, next) => {
  if (roleOf(req) === undefined) res.status(401).json({ message: 'X-Roles must be admin or member' });
  else next();
};

/** The download policy, without regard to the image's status. */
export function mayDownload(req: IncomingMessage, image: Image): boolean {
  return roleOf(req) === 'admin' || image.visibility === 'public';
}

/** The way to the store where the bytes lie: all downloads share its speed. */
class Link {
  readonly #bytesPerSecond: number;
  #free = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  async *send(bytes: Buffer): AsyncGenerator<Buffer> {
    const step = 256 * 1024;
    for (let from = 0; from < bytes.length; from += step) {
      const chunk = bytes.subarray(from, from + step);
      const now = performance.now();
      this.#free = Math.max(this.#free, now) + (chunk.length / this.#bytesPerSecond) * 1000;
      await sleep(this.#free - now);
      yield chunk;
    }
  }
}

export class ImageService {
  readonly router: Router = Router();
  /** Requests that have reached the service. */
  requests = 0;
  readonly #images = new Map<string, Image>();
  readonly #bytes = new Map<string, Buffer>();
  readonly #link: Link;

  constructor(options: { bytesPerSecond: number }) {
    this.#link = new Link(options.bytesPerSecond);
    this.router.use((_req, _res, next) => {
      this.requests += 1;
      next();
    });
    this.router.get('/v2/images', (_req, res) => {
      res.json({ images: [...this.#images.values()] });
    });
    this.router.post('/v2/images', express.json(), (req, res) => this.#create(req, res));
    this.router.get('/v2/images/:id', (req, res) => this.#withImage(req, res, (image) => res.json(image)));
    this.router.delete('/v2/images/:id', (req, res) => this.#delete(req, res));
    this.router.put('/v2/images/:id/file', (req, res) => this.#upload(req, res));
    this.router.get('/v2/images/:id/file', (req, res) => this.#download(req, res));
    this.router.post('/v2/images/:id/actions/:action', (req, res) => this.#act(req, res));
  }

  /** The catalogue, as a policy hook may ask it. */
  image(id: string): Image | undefined {
    return this.#images.get(id);
  }

  #create(req: Request, res: Response): void {
    const { name = 'unnamed', visibility } = (req.body ?? {}) as Partial<Image>;
    const image: Image = {
      id: randomUUID(),
      name: String(name),
      status: 'queued',
      visibility: visibility === 'private' ? 'private' : 'public',
    };
    this.#images.set(image.id, image);
    res.status(201).location(`/v2/images/${image.id}`).json(image);
  }

  async #upload(req: OfImage, res: Response): Promise<void> {
    const chunks: Buffer[] = [];
    const md5 = createHash('md5');
    const sha512 = createHash('sha512');
    for await (const chunk of req as AsyncIterable<Buffer>) {
      md5.update(chunk);
      sha512.update(chunk);
      chunks.push(chunk);
    }
    this.#withImage(req, res, (image) => {
      if (image.status !== 'queued') {
        res.status(409).json({ message: 'the image has its data already' });
        return;
      }
      const bytes = Buffer.concat(chunks);
      this.#bytes.set(image.id, bytes);
      Object.assign(image, {
        status: 'active',
        size: bytes.length,
        checksum: md5.digest('hex'),
        os_hash_algo: 'sha512',
        os_hash_value: sha512.digest('hex'),
      } satisfies Partial<Image>);
      res.status(204).end();
    });
  }

  async #download(req: OfImage, res: Response): Promise<void> {
    const image = this.#images.get(req.params.id);
    if (image === undefined) {
      res.status(404).json({ message: 'no such image' });
      return;
    }
    const barred = image.status === 'deactivated' && roleOf(req) !== 'admin';
    if (barred || !mayDownload(req, image)) {
      res.status(403).json({ message: barred ? 'the image is deactivated' : 'not for you' });
      return;
    }
    const bytes = this.#bytes.get(image.id);
    if (bytes === undefined) {
      res.status(204).end();
      return;
    }
    res.set({
      'Content-Type': 'application/octet-stream',
      'Content-Length': String(bytes.length),
      'Content-MD5': image.checksum, // in hex, as Glance does
    });
    if (req.method === 'HEAD') res.end();
    else await pipeline(Readable.from(this.#link.send(bytes), { objectMode: false }), res);
  }

  #delete(req: OfImage, res: Response): void {
    this.#withImage(req, res, (image) => {
      if (!this.#adminOnly(req, res)) return;
      this.#images.delete(image.id);
      this.#bytes.delete(image.id);
      res.status(204).end();
    });
  }

  #act(req: Request<{ id: string; action: string }>, res: Response): void {
    const states = { deactivate: 'deactivated', reactivate: 'active' } as const;
    const status = states[req.params.action as keyof typeof states];
    this.#withImage(req, res, (image) => {
      if (status === undefined)
        res.status(404).json({ message: 'the actions are deactivate and reactivate' });
      else if (!this.#adminOnly(req, res)) return;
      else if (image.status === 'queued') res.status(403).json({ message: 'the image has no data' });
      else {
        image.status = status;
        res.status(204).end();
      }
    });
  }

  #withImage(req: OfImage, res: Response, use: (image: Image) => void): void {
    const image = this.#images.get(req.params.id);
    if (image === undefined) res.status(404).json({ message: 'no such image' });
    else use(image);
  }

  #adminOnly(req: IncomingMessage, res: Response): boolean {
    if (roleOf(req) === 'admin') return true;
    res.status(403).json({ message: 'only for admins' });
    return false;
  }
}
