import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeRecord, type EntryRecord, encodeRecord } from '../../lib/cache/record.ts';

const RECORD: EntryRecord = {
  key: { primary: '/files/a\u001f\ud800ü', variant: '?b=1' },
  head: {
    status: 200,
    statusMessage: 'OK',
    headers: [['Content-Type', 'text/plain']],
    removed: ['x-powered-by'],
    merged: ['vary'],
  },
  size: 123_456,
  digests: [{ algorithm: 'sha256', hex: 'ab'.repeat(32) }],
  storedAt: 1_700_000_000_000,
  tags: ['files:a'],
  fill: '0123456789abcdef',
};

const text = fc.string({ unit: 'binary', maxLength: 20 });
const texts = fc.array(text, { maxLength: 4 });
const record: fc.Arbitrary<EntryRecord> = fc.record(
  {
    key: fc.record({ primary: text, variant: text }, { requiredKeys: ['primary'], noNullPrototype: true }),
    head: fc.record(
      {
        status: fc.integer({ min: 100, max: 999 }),
        headers: fc.array(fc.tuple(text, text), { maxLength: 5 }),
        statusMessage: text,
        removed: texts,
        merged: texts,
      },
      { requiredKeys: ['status', 'headers'], noNullPrototype: true },
    ),
    size: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    digests: fc.array(
      fc.record(
        {
          algorithm: fc.constantFrom('md5' as const, 'sha1' as const, 'sha256' as const, 'sha512' as const),
          hex: fc.uint8Array({ maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
        },
        { noNullPrototype: true },
      ),
      { maxLength: 3 },
    ),
    storedAt: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    tags: texts,
    fill: text,
  },
  { noNullPrototype: true },
);

describe('record', () => {
  test('what was encoded comes back as it was', () => {
    fc.assert(fc.property(record, (each) => assert.deepEqual(decodeRecord(encodeRecord(each)), each)));
  });

  test('with any single bit flipped it is none', () => {
    const bytes = encodeRecord(RECORD);
    assert.deepEqual(decodeRecord(bytes), RECORD);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(decodeRecord(damaged), undefined, `bit ${bit}: ${damaged}`);
    }
  });

  test('any record with any bit flipped, cut short, or with bytes after it, is none', () => {
    fc.assert(
      fc.property(record, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), (each, at, tail) => {
        const bytes = encodeRecord(each);
        const flipped = Buffer.from(bytes);
        const bit = at % (bytes.length * 8);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        assert.equal(decodeRecord(flipped), undefined, `bit ${bit}`);
        assert.equal(
          decodeRecord(bytes.subarray(0, at % bytes.length)),
          undefined,
          `${at % bytes.length} bytes`,
        );
        assert.equal(decodeRecord(Buffer.concat([bytes, tail])), undefined, 'bytes after it');
      }),
    );
  });

  test('cut short at any byte it is none', () => {
    const bytes = encodeRecord(RECORD);
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(decodeRecord(bytes.subarray(0, length)), undefined, `${length} bytes`);
    }
  });

  test('with white space after it, as an editor leaves it, it is none', () => {
    for (const tail of ['\n', ' ', '\r\n', '\t', '\0']) {
      assert.equal(decodeRecord(Buffer.concat([encodeRecord(RECORD), Buffer.from(tail)])), undefined);
    }
  });

  test('no bytes make it throw', () => {
    const jsonish = fc.json().map((json) => Buffer.from(json));
    const bytes = fc.oneof(fc.uint8Array(), jsonish);
    fc.assert(fc.property(bytes, (each) => assert.equal(decodeRecord(each), undefined)));
  });

  test('fields that this version does not know are ignored', () => {
    const content = { ...unsealed(RECORD), later: { a: [1] }, '5': null };
    assert.deepEqual(decodeRecord(seal(content)), RECORD);
  });

  test('a sealed record of another format, or with a field of another type, is none', () => {
    const { key, head, digests } = RECORD;
    const other: Record<string, unknown>[] = [
      { format: 2 },
      { format: '1' },
      { key: '/files/a' },
      { key: { variant: '?' } },
      { key: { ...key, variant: 1 } },
      { key: [] },
      { head: null },
      { head: { ...head, status: '200' } },
      { head: { ...head, headers: {} } },
      { head: { ...head, headers: [['A']] } },
      { head: { ...head, headers: [['A', 1]] } },
      { head: { ...head, removed: 'a' } },
      { head: { ...head, merged: [1] } },
      { head: { ...head, statusMessage: 1 } },
      { size: -1 },
      { size: 1.5 },
      { size: '1' },
      { size: 2 ** 53 },
      { digests: {} },
      { digests: [null] },
      { digests: [{ ...digests[0], hex: 1 }] },
      { storedAt: 'now' },
      { storedAt: undefined },
      { tags: 'a' },
      { tags: [1] },
      { fill: 1 },
      { fill: undefined },
    ];
    assert.deepEqual(decodeRecord(seal(unsealed(RECORD))), RECORD, 'the seal itself is right');
    for (const change of other) {
      assert.equal(decodeRecord(seal({ ...unsealed(RECORD), ...change })), undefined, JSON.stringify(change));
    }
  });
});

function unsealed(each: EntryRecord): Record<string, unknown> {
  return { format: 1, ...each };
}

/** Seals as the documentation of the format says: a SHA-256 of all other members, as the last one. */
function seal(content: Record<string, unknown>): Buffer {
  const checksum = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  return Buffer.from(JSON.stringify({ ...content, checksum }));
}
