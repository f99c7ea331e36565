/** A whole answer from memory has two ways to the wire; a client can't tell which one it was. */
import assert from 'node:assert/strict';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import { cacheFilter, MemoryCache } from '../../lib/index.ts';
import { type Handler, serve } from '../support/servers.ts';

type Fields = [name: string, value: string][];

/** What each kind of earlier middleware does to a response, so that its head goes field by field. */
const TOUCHES: Record<string, (res: ServerResponse) => void> = {
  'a listener for its end': (res) => res.on('finish', () => undefined),
  'a listener for its close': (res) => res.on('close', () => undefined),
  'writeHead wrapped': (res) => {
    const { writeHead } = res;
    res.writeHead = ((...args: unknown[]) => Reflect.apply(writeHead, res, args)) as typeof writeHead;
  },
  'end wrapped': (res) => {
    const { end } = res;
    res.end = ((...args: unknown[]) => Reflect.apply(end, res, args)) as typeof end;
  },
  'a header': (res) => res.setHeader('X-Earlier', 'yes'),
};

/** The raw fields and the body of a hit, after `touch`. */
async function hit(
  t: TestContext,
  answer: (res: ServerResponse) => unknown,
  touch?: (res: ServerResponse) => void,
): Promise<{ status: string; fields: Fields; body: string }> {
  const filter = cacheFilter({ cache: new MemoryCache(), freshness: 'immutable', integrity: 'end' });
  let touching = false;
  const server = await serve('http', [
    (_req, res, next) => {
      if (touching) touch?.(res);
      next();
    },
    filter as Handler,
    (_req, res) => answer(res),
  ]);
  t.after(() => server.close());
  const ask = () =>
    new Promise<{ status: string; fields: Fields; body: string }>((resolve, reject) => {
      get({ port: server.port, agent: false }, (res: IncomingMessage) => {
        const fields: Fields = [];
        for (let i = 0; i < res.rawHeaders.length; i += 2)
          fields.push([res.rawHeaders[i] ?? '', res.rawHeaders[i + 1] ?? '']);
        let body = '';
        res.on('data', (chunk: Buffer) => {
          body += chunk.toString('latin1');
        });
        res.on('end', () => resolve({ status: `${res.statusCode} ${res.statusMessage}`, fields, body }));
      }).on('error', reject);
    });
  await ask();
  await filter.idle();
  touching = true;
  return ask();
}

/** In order of names; the order among fields of one name is kept. Age may differ by the second in which it was asked. */
function sorted(fields: Fields): Fields {
  return fields
    .filter(([name]) => !['Age', 'X-Earlier'].includes(name))
    .sort(([a], [b]) => a.toLowerCase().localeCompare(b.toLowerCase()));
}

const ANSWERS: Record<string, (res: ServerResponse) => unknown> = {
  'a plain body': (res) => res.end('body'),
  'fields of one name, any letter case, a reason': (res) => {
    res.writeHead(200, 'Fine', [
      ['link', '<a>'],
      ['LINK', '<b>'],
      ['ETag', '"own"'],
      ['accept-ranges', 'none'],
      ['Repr-Digest', 'md5=:AAAA:'],
      ['Age', '7'],
    ] as never);
    res.end('body');
  },
  'no body': (res) => res.end(),
  'a date of its own': (res) => {
    res.setHeader('Date', new Date(0).toUTCString());
    res.end('body');
  },
};

describe('a whole answer from memory', () => {
  for (const [what, answer] of Object.entries(ANSWERS)) {
    for (const [touched, touch] of Object.entries(TOUCHES)) {
      test(`${what}: the same with ${touched} as without`, async (t) => {
        const pinned = (res: ServerResponse) => {
          if (what !== 'a date of its own') res.setHeader('Date', 'Sun, 06 Nov 1994 08:49:37 GMT');
          return answer(res);
        };
        const untouched = await hit(t, pinned);
        const other = await hit(t, pinned, touch);
        assert.equal(other.status, untouched.status);
        assert.equal(other.body, untouched.body);
        assert.deepEqual(sorted(other.fields), sorted(untouched.fields));
        assert.ok(untouched.fields.some(([name, value]) => name === 'Cache-Status' && /; hit/.test(value)));
        assert.equal(untouched.fields.filter(([name]) => /^age$/i.test(name)).length, 1);
      });
    }
  }

  test('what earlier middleware has set stays, and is seen afterwards', async (t) => {
    const seen: unknown[] = [];
    const { fields } = await hit(t, ANSWERS['a plain body'] as never, (res) => {
      res.setHeader('X-Earlier', 'yes');
      res.setHeader('ETag', '"earlier"');
      res.on('finish', () => seen.push(res.getHeader('content-length'), res.getHeader('etag')));
    });
    assert.deepEqual(
      fields.filter(([name]) => ['X-Earlier', 'ETag'].includes(name)),
      [
        ['X-Earlier', 'yes'],
        ['ETag', '"earlier"'],
      ],
    );
    assert.deepEqual(seen.map(String), ['4', '"earlier"']);
  });

  for (const method of ['setHeader', 'writeHead', 'end'] as const) {
    test(`each field goes by setHeader where the prototype of the response has a ${method} of its own`, async (t) => {
      const seen: unknown[] = [];
      const { body } = await hit(t, ANSWERS['a plain body'] as never, (res) => {
        const before = Object.getPrototypeOf(res) as ServerResponse;
        const wrapped = function (this: ServerResponse, ...args: unknown[]): unknown {
          const result: unknown = Reflect.apply(before[method], this, args);
          if (method !== 'setHeader' || args[0] === 'Content-Length')
            seen.push(this.getHeader('content-length'));
          return result;
        };
        Object.setPrototypeOf(res, Object.create(before, { [method]: { value: wrapped } }));
      });
      assert.equal(body, 'body');
      assert.deepEqual(seen, ['4']);
    });
  }
});
