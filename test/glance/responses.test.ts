/** Behaviours 37 to 51 of Glance's cache: which responses of the service are kept, and which end what is kept. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { ask } from '../support/client.ts';
import { barrier, said } from '../support/filtered.ts';
import { serve } from '../support/servers.ts';
import { begun, cached, downloads, rest } from './cached.ts';
import { anImage, hexOf, type Image, ImageService } from './image-service.ts';

type Download = NonNullable<Image['download']>;

/** An image whose download is answered like this. */
function answering(status: number, headers: Record<string, string> = {}, body?: string): Image {
  const download: Download = (_req, res, { data }) => {
    const bytes = body === undefined ? data : Buffer.from(body);
    if (status !== 204) res.setHeader('Content-Length', bytes?.length ?? 0);
    res.writeHead(status, headers).end(status === 204 ? undefined : bytes);
  };
  return anImage({ download });
}

test('37. a status outside of 2xx is passed on as it is: nothing is stored, nothing evicted', async (t) => {
  for (const status of [300, 302, 304, 400, 403, 404, 409, 410, 416, 500, 502, 503]) {
    const image = answering(status, { Location: '/elsewhere', 'X-Why': 'because' }, 'as it is');
    const { get, stored, service } = await cached(t, { one: image, two: anImage() });
    const answer = await get();
    assert.deepEqual([answer.status, answer.headers['x-why']], [status, 'because']);
    assert.equal(answer.body.toString(), status === 304 ? '' : 'as it is');
    assert.deepEqual(await stored(), [], String(status));
    // Something is stored, and the service is asked all the same.
    await get('two');
    service.images.set('two', { ...answering(status), status: 'deactivated' });
    assert.equal((await get('two', 'admin')).status, status);
    assert.deepEqual(await stored(), ['glance:two'], String(status));
  }
});

test('38. a 206 of the service is passed on and never stored; a DELETE that it answers evicts nothing', async (t) => {
  const image = answering(206, { 'Content-Range': 'bytes 3-5/2600' }, 'DEF');
  const { get, request, stored } = await cached(t, { one: image, two: anImage({ deletion: 206 }) });
  for (const headers of [{}, { Range: 'bytes=3-5' }]) {
    const answer = await get('one', 'member', headers);
    assert.deepEqual([answer.status, answer.body.toString()], [206, 'DEF']);
    assert.equal(answer.headers['content-range'], 'bytes 3-5/2600');
    assert.deepEqual(await stored(), []);
  }
  await get('two');
  assert.equal((await request('DELETE /v2/images/two')).status, 206);
  assert.deepEqual(await stored(), ['glance:two']);
});

test('39. the 204 of an image without data is not stored', async (t) => {
  const { get, stored, service } = await cached(t, { one: anImage({ data: undefined }) });
  for (let i = 0; i < 2; i++) assert.equal((await get()).status, 204);
  assert.deepEqual(await stored(), []);
  service.images.set('one', anImage());
  assert.deepEqual([(await get()).status, said(await get())], [200, 'hit'], 'once it has been uploaded');
});

test('40. a DELETE that is answered with 204, or another 2xx, evicts; its answer is unchanged', async (t) => {
  for (const deletion of [200, 201, 202, 204, 207]) {
    const { get, request, stored } = await cached(t, { one: anImage({ deletion }), two: anImage() });
    await get();
    await get('two');
    const service = new ImageService({ one: anImage({ deletion }) });
    const plain = await serve('express5', [(req, res) => service.handle(req, res)]);
    t.after(() => plain.close());
    const through = await request('DELETE /v2/images/one');
    assert.deepEqual(await stored(), ['glance:two'], String(deletion));
    const alone = await ask(plain, {
      method: 'DELETE',
      path: '/v2/images/one',
      headers: { 'X-Auth-Token': 'member' },
    });
    const undated = ({ headers, ...answer }: typeof alone) => ({
      ...answer,
      headers: { ...headers, date: '' },
    });
    assert.deepEqual(undated(through), undated(alone));
  }
});

test('41. a DELETE that is refused or fails leaves the entry where it is', async (t) => {
  for (const deletion of [400, 403, 404, 409, 500, 503]) {
    const { get, request } = await cached(t, { one: anImage({ deletion }) });
    await get();
    assert.equal((await request('DELETE /v2/images/one')).status, deletion);
    assert.equal(said(await get()), 'hit', String(deletion));
  }
});

test('42. a DELETE of an image that is not stored changes nothing', async (t) => {
  const { get, request, stored, service } = await cached(t, { one: anImage(), two: anImage() });
  await get('two');
  assert.equal((await request('DELETE /v2/images/one')).status, 204);
  assert.equal((await request('DELETE /v2/images/none')).status, 404);
  assert.deepEqual([await stored(), [...service.images.keys()]], [['glance:two'], ['two']]);
});

test('43. a DELETE ends a download that runs, as far as the cache goes: its client gets all of it, and nothing is stored', async (t) => {
  const [half, deleted] = [barrier(), barrier()];
  const image = anImage({
    download: async (_req, res, { data }) => {
      res.writeHead(200, { 'Content-Length': data?.length });
      res.write(data?.subarray(0, 1000));
      half.reach();
      await deleted.reached;
      res.end(data?.subarray(1000));
    },
  });
  const under = await cached(t, { one: image });
  const reading = await begun(under);
  await half.reached;
  assert.equal((await under.request('DELETE /v2/images/one')).status, 204);
  deleted.reach();
  assert.ok((await rest(reading)).equals(image.data ?? Buffer.alloc(0)));
  await under.filter.idle();
  assert.deepEqual(await under.stored(), []);
  assert.equal((await under.get()).status, 404);
});

test('45. of all answers only a 200 is stored', async (t) => {
  for (const status of [201, 202, 203, 207, 226]) {
    const { get, stored, log } = await cached(t, { one: answering(status) });
    for (let i = 0; i < 2; i++) {
      const answer = await get();
      assert.deepEqual([answer.status, said(answer)], [status, 'fwd=uri-miss; detail=not-200']);
    }
    assert.deepEqual([await stored(), downloads({ log })], [[], 2], String(status));
  }
});

test('46. a request for a range that the service answers with all of the image is stored', async (t) => {
  const seen: unknown[] = [];
  const download: Download = (req, res, { data }) => {
    seen.push(req.headers.range);
    res.writeHead(200, { 'Content-Length': data?.length }).end(data);
  };
  const { get, filter } = await cached(t, { one: anImage({ download }) });
  const part = await get('one', 'member', { Range: 'bytes=3-5' });
  assert.deepEqual([part.status, part.body.toString()], [206, 'DEF']);
  await filter.idle();
  assert.deepEqual([said(await get()), seen], ['hit', [undefined]]);
});

test('47. checksums come from Content-MD5, x-image-meta-checksum, and the digest fields of today: all of them have to fit', async (t) => {
  const data = anImage().data ?? Buffer.alloc(0);
  const base64 = (algorithm: string, of: Buffer) =>
    Buffer.from(hexOf(algorithm, of), 'hex').toString('base64');
  const fields: [name: string, value: (of: Buffer) => string][] = [
    ['Content-MD5', (of) => hexOf('md5', of)],
    ['x-image-meta-checksum', (of) => hexOf('md5', of)],
    ['Repr-Digest', (of) => `sha-512=:${base64('sha512', of)}:`],
    ['Content-Digest', (of) => `sha-256=:${base64('sha256', of)}:`],
    ['Docker-Content-Digest', (of) => `sha256:${hexOf('sha256', of)}`],
  ];
  const wrong = Buffer.from('wrong');
  const kept = async (headers: Record<string, string>) => {
    const { get, stored } = await cached(t, { one: answering(200, headers) });
    const { complete } = await get();
    assert.equal(complete, (await stored()).length === 1);
    return complete;
  };
  for (const [name, value] of fields) {
    assert.equal(await kept({ [name]: value(data) }), true, name);
    assert.equal(await kept({ [name]: value(wrong) }), false, name);
  }
  const right = { 'Content-MD5': hexOf('md5', data) };
  assert.equal(await kept({ ...right, 'x-image-meta-checksum': hexOf('md5', wrong) }), false);
  assert.equal(await kept({ ...right, 'x-image-meta-checksum': hexOf('md5', data) }), true);
});

test('48. an image without a checksum is stored if its length is right; with integrity: digest it is not', async (t) => {
  const outcomes: Record<string, string> = {};
  for (const integrity of ['length', 'digest', 'end'] as const) {
    const { get } = await cached(t, { one: anImage({ checksum: undefined }) }, { integrity });
    await get();
    outcomes[integrity] = said(await get());
  }
  assert.deepEqual(outcomes, { length: 'hit', digest: 'fwd=uri-miss; detail=no-digest', end: 'hit' });
  const { get, stored } = await cached(
    t,
    { one: anImage({ checksum: undefined }) },
    { integrity: 'digest', digest: () => `md5:${anImage().checksum}` },
  );
  await get();
  assert.deepEqual(await stored(), ['glance:one'], 'a hook may know one');
});

test('49. whether an image without a checksum is stored is one option, whose default is as it is written down', async (t) => {
  const page = readFileSync(new URL('../../docs/reference/options.md', import.meta.url), 'utf8');
  const row = page.split('\n').find((line) => line.startsWith('| `integrity` |')) ?? '';
  const [values, standard] = row
    .split('|')
    .slice(2, 4)
    .map((cell) => cell.trim());
  assert.deepEqual([values, standard], ["`'length'`, `'digest'`, `'end'`", "`'length'`"]);
  const { get, stored } = await cached(t, { one: anImage({ checksum: undefined }) });
  await get();
  assert.deepEqual(await stored(), ['glance:one']);
});

test('50. who may have a download is asked once, and before it begins: a 200 of the service stays one', async (t) => {
  let asked = 0;
  const image = anImage();
  const { get, service, log } = await cached(
    t,
    { one: image },
    {
      authorize: () => {
        asked++;
        return false;
      },
    },
  );
  image.download = (_req, res, { data }) => {
    // Gone before its last byte.
    service.images.delete('one');
    res.writeHead(200, { 'Content-Length': data?.length }).end(data);
  };
  const answer = await get();
  assert.deepEqual([answer.status, answer.complete, said(answer)], [200, true, 'fwd=uri-miss; stored']);
  assert.deepEqual([asked, log], [0, ['GET /v2/images/one/file member']]);
  service.images.set('one', image);
  assert.deepEqual([(await get()).status, asked], [403, 1], 'and on a hit once, before any byte');
});

test('51. no opened body is left behind: it is read to its end, or destroyed when nobody wants it', async (t) => {
  const data = bytesOf(32 * 2 ** 20);
  const sources: Readable[] = [];
  const closed = barrier();
  const download = async (_req: IncomingMessage, res: ServerResponse) => {
    const source = Readable.from(pieces(data));
    sources.push(source.once('close', () => closed.reach()));
    res.writeHead(200, { 'Content-Length': data.length });
    await pipeline(source, res).catch(() => undefined);
  };
  let keep = false;
  const under = await cached(t, { one: anImage({ data, download }) }, { shouldStore: () => keep });
  const leaving = await begun(under);
  leaving.destroy();
  await closed.reached;
  assert.deepEqual([sources.length, sources[0]?.destroyed, sources[0]?.readableEnded], [1, true, false]);
  assert.ok((await under.get()).body.equals(data));
  keep = true;
  assert.ok((await under.get()).body.equals(data));
  assert.equal((await under.get('one', 'reader')).status, 403);
  assert.equal(sources.length, 3, 'who is refused on a hit opens none');
  assert.deepEqual(
    sources.slice(1).map((source) => source.readableEnded && source.destroyed),
    [true, true],
  );
});

function* pieces(data: Buffer): Generator<Buffer> {
  for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536);
}
