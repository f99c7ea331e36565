import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HeaderPairs, ResponseHead } from '../../lib/http/body.ts';
import { freshened } from '../../lib/http/freshened.ts';

const DIGEST = `sha-256=:${Buffer.alloc(32, 1).toString('base64')}:`;
const OTHER = `sha-256=:${Buffer.alloc(32, 2).toString('base64')}:`;

const STORED: ResponseHead = {
  status: 200,
  statusMessage: 'Fine',
  headers: [
    ['Content-Type', 'text/plain'],
    ['ETag', '"a"'],
    ['Last-Modified', 'Sun, 06 Nov 1994 08:49:37 GMT'],
    ['Age', '100'],
    ['Date', 'Sun, 06 Nov 1994 08:49:38 GMT'],
    ['X-Twice', '1'],
    ['X-Twice', '2'],
  ],
  removed: ['x-powered-by'],
  merged: ['vary'],
};

/** The values of a field of the stored response, after it was told this. */
function after(update: HeaderPairs, name: string): string[] | undefined {
  return freshened(STORED, { status: 304, headers: update })
    ?.headers.filter(([each]) => each.toLowerCase() === name)
    .map(([, value]) => value);
}

describe('freshened', () => {
  test('status and what is said of earlier middleware stay, and what the update does not have', () => {
    const head = freshened(STORED, { status: 304, statusMessage: 'Not Modified', headers: [] });
    const { headers, ...rest } = STORED;
    const kept = headers.filter(([name]) => !['Age', 'Date'].includes(name));
    assert.deepEqual(head, { ...rest, headers: kept });
  });

  test('a field takes the place of all of its name, in any letter case', () => {
    assert.deepEqual(after([['x-twice', '3']], 'x-twice'), ['3']);
    assert.deepEqual(
      after(
        [
          ['X-New', '1'],
          ['x-new', '2'],
        ],
        'x-new',
      ),
      ['1', '2'],
    );
    assert.deepEqual(after([['Content-Type', 'text/html']], 'content-type'), ['text/html']);
  });

  test('the age is that of the newer message, or not known', () => {
    assert.deepEqual(after([], 'age'), []);
    assert.deepEqual(after([], 'date'), []);
    assert.deepEqual(after([['Age', '3']], 'age'), ['3']);
  });

  for (const name of [
    'Content-Length',
    'Content-Encoding',
    'Content-Range',
    'Content-Digest',
    'Content-MD5',
    'Set-Cookie',
    'Transfer-Encoding',
    'Connection',
    'WWW-Authenticate',
    ':status',
  ])
    test(`${name} is not taken from it`, () => {
      assert.deepEqual(after([[name, 'x']], name.toLowerCase()), []);
    });

  test('nor is what its Connection names', () => {
    const update: HeaderPairs = [
      ['Connection', 'X-Hop'],
      ['X-Hop', '1'],
    ];
    assert.deepEqual(after(update, 'x-hop'), []);
  });

  test('another ETag is another representation; a weak one of the same text is what somebody on the way made of it', () => {
    assert.equal(freshened(STORED, { status: 304, headers: [['ETag', '"b"']] }), undefined);
    assert.deepEqual(after([['ETag', '"a"']], 'etag'), ['"a"']);
    assert.deepEqual(after([['ETag', 'W/"a"']], 'etag'), ['"a"'], 'the stored one says more');
    const weak: ResponseHead = { status: 200, headers: [['ETag', 'W/"a"']] };
    assert.equal(freshened(weak, { status: 304, headers: [['ETag', '"a"']] }), undefined);
    assert.notEqual(freshened(weak, { status: 304, headers: [['ETag', 'W/"a"']] }), undefined);
    const none: ResponseHead = { status: 200, headers: [] };
    assert.equal(freshened(none, { status: 304, headers: [['ETag', '"a"']] }), undefined);
  });

  test('another Last-Modified is, where no ETag says that it is the same', () => {
    const later = ['Last-Modified', 'Mon, 07 Nov 1994 08:49:37 GMT'] as const;
    assert.equal(freshened(STORED, { status: 304, headers: [later] }), undefined);
    assert.deepEqual(after([['ETag', '"a"'], later], 'last-modified'), [later[1]]);
  });

  test('another digest is', () => {
    const stored: ResponseHead = { status: 200, headers: [['Repr-Digest', DIGEST]] };
    assert.equal(freshened(stored, { status: 304, headers: [['Repr-Digest', OTHER]] }), undefined);
    assert.deepEqual(freshened(stored, { status: 304, headers: [['Repr-Digest', DIGEST]] }), stored);
    // Said of the empty content of the 304 itself.
    assert.deepEqual(freshened(stored, { status: 304, headers: [['Content-Digest', OTHER]] }), stored);
  });
});
