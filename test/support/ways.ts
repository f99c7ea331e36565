import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { basename, dirname } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import express5, { type Response } from 'express';
import express4 from 'express4';
import { createProxyMiddleware } from 'http-proxy-middleware';
import type { Handler, Kind } from './servers.ts';

/** What a handler has to send: the same bytes in memory, as a file, and from another server. */
export interface Material {
  body: Buffer;
  file: string;
  origin: string;
  /** The bytes as they come, in pieces; may wait in between. */
  source(): Readable;
}

export interface Way {
  name: string;
  /** Where it works. Default: everywhere. */
  kinds?: readonly Kind[];
  /** It reads from `source()`, so that a test can hold it in the middle. */
  gated?: boolean;
  handler(material: Material, kind: Kind): Handler;
}

const EXPRESS: readonly Kind[] = ['express5', 'express4'];
const HTTP1: readonly Kind[] = ['express5', 'express4', 'connect', 'http'];

function plain(
  respond: (req: IncomingMessage, res: ServerResponse, material: Material) => unknown,
): Way['handler'] {
  return (material) => (req, res) => respond(req, res, material);
}

function described(res: ServerResponse, { body }: Material): void {
  res.setHeader('Content-Type', 'application/octet-stream');
  res.setHeader('Content-Length', body.length);
  res.setHeader('X-Two', ['first', 'second']);
}

/** Every way of writing a body that the filter promises to understand. */
export const WAYS: readonly Way[] = [
  {
    name: 'write and end',
    handler: plain((_req, res, material) => {
      described(res, material);
      res.write(material.body.subarray(0, 1000));
      res.write(material.body.subarray(1000, 5000));
      res.end(material.body.subarray(5000));
    }),
  },
  {
    name: 'end at once, without a length',
    handler: plain((_req, res, { body }) => {
      res.setHeader('Content-Type', 'text/plain');
      res.end(body);
    }),
  },
  {
    name: 'strings in several encodings',
    handler: plain((_req, res) => {
      res.setHeader('Content-Length', 9);
      res.write('häl', 'utf8');
      res.write('6c6f', 'hex');
      res.end('4pyT', 'base64');
    }),
  },
  {
    name: 'pipe',
    gated: true,
    handler: plain((_req, res, material) => {
      described(res, material);
      material.source().pipe(res);
    }),
  },
  {
    name: 'pipeline',
    gated: true,
    handler: plain(async (_req, res, material) => {
      described(res, material);
      await pipeline(material.source(), res);
    }),
  },
  {
    name: 'write, await drain',
    gated: true,
    handler: plain(async (_req, res, material) => {
      described(res, material);
      for await (const chunk of material.source()) if (!res.write(chunk)) await once(res, 'drain');
      res.end();
    }),
  },
  {
    name: 'write with callbacks, one buffer used again',
    gated: true,
    handler: plain(async (_req, res, material) => {
      described(res, material);
      const buffer = Buffer.alloc(256 * 1024);
      for await (const chunk of material.source() as AsyncIterable<Buffer>) {
        chunk.copy(buffer);
        await new Promise<void>((resolve, reject) => {
          res.write(buffer.subarray(0, chunk.length), (error) => (error ? reject(error) : resolve()));
        });
        buffer.fill(0);
      }
      await new Promise<void>((resolve) => res.end(resolve));
    }),
  },
  {
    name: 'Readable.fromWeb',
    gated: true,
    handler: plain((_req, res, material) => {
      described(res, material);
      Readable.fromWeb(Readable.toWeb(material.source()) as never).pipe(res);
    }),
  },
  {
    name: 'Writable.toWeb',
    gated: true,
    handler: plain(async (_req, res, material) => {
      described(res, material);
      await Readable.toWeb(material.source()).pipeTo(Writable.toWeb(res));
    }),
  },
  {
    name: 'a file stream',
    handler: plain((_req, res, material) => {
      described(res, material);
      createReadStream(material.file).pipe(res);
    }),
  },
  {
    name: 'flushHeaders first',
    gated: true,
    handler: plain((_req, res, material) => {
      described(res, material);
      res.flushHeaders();
      material.source().pipe(res);
    }),
  },
  {
    name: 'cork and uncork',
    handler: plain((_req, res, material) => {
      described(res, material);
      res.cork();
      res.write(material.body.subarray(0, 10));
      res.write(material.body.subarray(10, 20));
      res.uncork();
      res.end(material.body.subarray(20));
    }),
  },
  {
    name: 'writeHead(status, object)',
    handler: plain((_req, res, { body }) => {
      res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
      res.end(body);
    }),
  },
  {
    name: 'writeHead(status, reason, object)',
    handler: plain((_req, res, { body }) => {
      res.setHeader('X-Before', 'yes');
      res.writeHead(200, 'Quite Fine', {
        'Content-Type': 'text/plain',
        'Content-Length': String(body.length),
      });
      res.end(body);
    }),
  },
  {
    name: 'writeHead(status, undefined, object)',
    handler: plain((_req, res, { body }) => {
      res.writeHead(200, undefined, { 'X-Kept': 'yes', 'Content-Length': body.length });
      res.end(body);
    }),
  },
  {
    name: 'writeHead(status, flat array)',
    handler: plain((_req, res, { body }) => {
      res.writeHead(200, [
        'Content-Type',
        'text/plain',
        'Content-Length',
        String(body.length),
        'X-Other',
        'b',
      ]);
      res.end(body);
    }),
  },
  {
    // On HTTP/2 it fails by itself: it copies fields about the connection.
    name: 'http-proxy-middleware',
    gated: true,
    kinds: HTTP1,
    handler: ({ origin }) => createProxyMiddleware({ target: origin }) as unknown as Handler,
  },
  { name: 'res.send', kinds: EXPRESS, handler: plain((_req, res, { body }) => (res as Response).send(body)) },
  {
    name: 'res.send of a string',
    kinds: EXPRESS,
    handler: plain((_req, res) => (res as Response).send('<p>déjà vu</p>')),
  },
  {
    name: 'res.json',
    kinds: EXPRESS,
    handler: plain((_req, res) => (res as Response).json({ answer: [1, 2, 3] })),
  },
  {
    name: 'res.sendFile',
    kinds: EXPRESS,
    handler: plain((_req, res, { file }) => (res as Response).sendFile(file)),
  },
  {
    name: 'res.download',
    kinds: EXPRESS,
    handler: plain((_req, res, { file }) => (res as Response).download(file, 'image.bin')),
  },
  {
    name: 'express.static',
    handler: ({ file }, kind) => {
      const serve = (kind === 'express4' ? express4.static : express5.static)(dirname(file));
      return (req, res, next) => {
        req.url = `/${basename(file)}`;
        serve(req as never, res as never, next);
      };
    },
  },
];
