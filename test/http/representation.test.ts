import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HeaderPairs } from '../../lib/http/body.ts';
import { isSameRepresentation } from '../../lib/http/representation.ts';

const DIGEST = `sha-256=:${Buffer.alloc(32, 1).toString('base64')}:`;
const OTHER = `sha-256=:${Buffer.alloc(32, 2).toString('base64')}:`;

/** A head with these fields, of a body of so many bytes. */
function of(headers: HeaderPairs, { status = 200, size = 10 }: { status?: number; size?: number } = {}) {
  return { head: { status, headers }, size };
}

describe('isSameRepresentation', () => {
  const tagged: HeaderPairs = [
    ['ETag', '"a"'],
    ['Content-Type', 'text/plain'],
  ];

  test('two heads with the same strong validator are, whatever else they say', () => {
    assert.equal(
      isSameRepresentation(of([...tagged, ['X-Request', '1']]), of([...tagged, ['X-Request', '2']])),
      true,
    );
    assert.equal(
      isSameRepresentation(of(tagged), of(tagged.map(([name, value]) => [name.toLowerCase(), value]))),
      true,
    );
  });

  for (const [name, one, other] of [
    ['status', of(tagged), of(tagged, { status: 203 })],
    ['length', of(tagged), of(tagged, { size: 11 })],
    ['ETag', of(tagged), of([['ETag', '"b"'], tagged[1] as HeaderPairs[number]])],
    ['Content-Type', of(tagged), of([tagged[0] as HeaderPairs[number], ['Content-Type', 'text/html']])],
    ['Content-Encoding', of(tagged), of([...tagged, ['Content-Encoding', 'gzip']])],
    ['Content-Language', of(tagged), of([...tagged, ['Content-Language', 'sl']])],
    ['Last-Modified', of(tagged), of([...tagged, ['Last-Modified', 'Sun, 06 Nov 1994 08:49:37 GMT']])],
  ] as const) {
    test(`not where the ${name} differs`, () => {
      assert.equal(isSameRepresentation(one, other), false);
      assert.equal(isSameRepresentation(other, one), false);
    });
  }

  test('the same declared digest identifies, too; another one does not', () => {
    const declared = (digest: string, more: string): HeaderPairs => [
      ['Repr-Digest', digest],
      ['X-Request', more],
    ];
    assert.equal(isSameRepresentation(of(declared(DIGEST, '1')), of(declared(DIGEST, '2'))), true);
    assert.equal(isSameRepresentation(of(declared(DIGEST, '1')), of(declared(OTHER, '1'))), false);
  });

  test('without either, or with a weak validator, every field has to be the same, in whatever order', () => {
    for (const begin of [[], [['ETag', 'W/"a"']]] as HeaderPairs[]) {
      const one: HeaderPairs = [...begin, ['X-A', '1'], ['X-B', '2']];
      const turned: HeaderPairs = [['x-b', '2'], ...begin, ['X-A', '1']];
      assert.equal(isSameRepresentation(of(one), of(turned)), true);
      assert.equal(isSameRepresentation(of(one), of([...begin, ['X-A', '1']])), false);
      assert.equal(isSameRepresentation(of(one), of([...begin, ['X-A', '1'], ['X-B', '3']])), false);
    }
  });

  test('but for those that differ from one response to the next', () => {
    const at = (second: number): HeaderPairs => [
      ['Date', `Sun, 06 Nov 1994 08:49:3${second} GMT`],
      ['Age', String(second)],
      ['Cache-Control', `max-age=${second}`],
      ['Expires', `Sun, 06 Nov 1994 09:49:3${second} GMT`],
      ['X-A', '1'],
    ];
    assert.equal(isSameRepresentation(of(at(1)), of(at(2))), true);
  });
});
