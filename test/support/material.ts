import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { temporaryDirectory } from './directory.ts';
import { serve } from './servers.ts';
import type { Material } from './ways.ts';

/** Where the pieces of a source may be held up: called with the bytes delivered so far, before the next piece. */
export type Gate = (delivered: number) => Promise<void>;

const PIECE = 50_000;

/** A body of `size` random bytes in every form that a handler may want. */
export async function material(t: TestContext, size: number): Promise<Material & { gate: { wait: Gate } }> {
  const body = randomBytes(size);
  const file = join(temporaryDirectory(t), 'body.bin');
  writeFileSync(file, body);
  const gate = { wait: (async () => undefined) as Gate };
  const source = () =>
    Readable.from(
      pieces(body, (delivered) => gate.wait(delivered)),
      { objectMode: false, highWaterMark: PIECE },
    );
  const origin = await serve('http', [
    (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': size });
      source().pipe(res);
    },
  ]);
  t.after(() => origin.close());
  return { body, file, origin: `http://127.0.0.1:${origin.port}`, source, gate };
}

async function* pieces(body: Buffer, wait: Gate): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += PIECE) {
    await wait(at);
    yield body.subarray(at, at + PIECE);
  }
}
