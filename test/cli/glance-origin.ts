import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import { type Origin, startOrigin } from './support.ts';

export interface Image {
  status: string;
  data: string;
  /** In place of what `data` gives. */
  described?: Record<string, unknown>;
  /** Tokens of those who may see it, and of those who may download it. */
  see: string[];
  download: string[];
}

export function digest(algorithm: string, data: string): string {
  return createHash(algorithm).update(data).digest('hex');
}

export interface GlanceOrigin extends Origin {
  /** Statuses to answer with in place of what is asked for; 0: none. */
  faults: { metadata: number; file: number };
  /** How many whole downloads were asked for. */
  downloads(): number;
}

/** Answers as Glance does: who is asked for by token; the policy before the range; no ranges but past the end. */
export async function glanceOrigin(t: TestContext, images: Record<string, Image>): Promise<GlanceOrigin> {
  const faults = { metadata: 0, file: 0 };
  const origin = await startOrigin(t, (req, res) => {
    const [, id = '', file] = /^\/v2\/images\/([^/]+)(\/file)?$/.exec(req.url ?? '') ?? [];
    const token = String(req.headers['x-auth-token'] ?? '');
    const image = images[id];
    const say = (status: number, body: string | object = '') => {
      if (status === 401) res.setHeader('WWW-Authenticate', 'Keystone uri="http://keystone"');
      res.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    const fault = file ? faults.file : faults.metadata;
    if (fault !== 0) return say(fault, 'out of order');
    if (token === '') return say(401, 'who are you');
    if (image === undefined || !image.see.includes(token)) return say(404, 'no such image');
    if (req.method === 'DELETE') {
      delete images[id];
      return say(204);
    }
    const { data, status, described } = image;
    if (!file) {
      return say(200, {
        id,
        status,
        size: data.length,
        checksum: digest('md5', data),
        os_hash_algo: 'sha512',
        os_hash_value: digest('sha512', data),
        ...described,
      });
    }
    if (status === 'deactivated' && token !== 'admin') return say(403, 'deactivated');
    if (!image.download.includes(token)) return say(403, 'not for you');
    if (req.headers.range !== undefined) return say(416);
    res.setHeader('Content-Type', 'application/octet-stream');
    res.setHeader('Content-Length', data.length);
    res.setHeader('Content-MD5', digest('md5', data));
    res.writeHead(200).end(data);
  });
  const downloads = () => origin.seen.filter((each) => /file$/.test(each.url) && !each.headers.range).length;
  return { ...origin, faults, downloads };
}

export function anImage(more: Partial<Image> = {}): Image {
  return {
    status: 'active',
    data: 'image '.repeat(1000),
    see: ['owner', 'admin', 'reader'],
    download: ['owner', 'admin'],
    ...more,
  };
}
