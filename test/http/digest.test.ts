import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import type { HeaderPairs } from '../../lib/http/body.ts';
import {
  conflicts,
  type Digest,
  type DigestAlgorithm,
  declaredDigests,
  digestsOf,
  formatReprDigest,
  parseDigest,
  wantedReprDigest,
} from '../../lib/http/digest.ts';

const digest = (algorithm: DigestAlgorithm, text = 'hello world'): Digest => ({
  algorithm,
  hex: createHash(algorithm).update(text).digest('hex'),
});
const base64 = ({ hex }: Digest) => Buffer.from(hex, 'hex').toString('base64');

const md5 = digest('md5');
const sha256 = digest('sha256');
const sha512 = digest('sha512');

describe('parseDigest', () => {
  for (const algorithm of ['md5', 'sha1', 'sha256', 'sha384', 'sha512'] as const) {
    const expected = digest(algorithm);
    test(`reads ${algorithm} in hex and in base64`, () => {
      assert.deepEqual(parseDigest(`${algorithm}:${expected.hex}`), expected);
      assert.deepEqual(parseDigest(`${algorithm.toUpperCase()}:${expected.hex.toUpperCase()}`), expected);
      assert.deepEqual(parseDigest(`${algorithm}-${base64(expected)}`), expected);
    });
  }

  const zeros = base64({ algorithm: 'sha256', hex: '00'.repeat(32) });
  for (const [why, text] of [
    ['nothing', ''],
    ['no algorithm', sha256.hex],
    ['another algorithm', `sha224:${sha256.hex.slice(0, 56)}`],
    ['an algorithm with something before it', `xsha256:${sha256.hex}`],
    ['a digit less', `sha256:${sha256.hex.slice(1)}`],
    ['a digit more', `sha256:${sha256.hex}0`],
    ['the length of another algorithm', `sha512:${sha256.hex}`],
    ['a letter that is no digit', `sha256:g${sha256.hex.slice(1)}`],
    ['base64 after a colon', `sha256:${base64(sha256)}`],
    ['hex after a dash', `sha256-${sha256.hex}`],
    ['base64 without its padding', `sha256-${base64(sha256).slice(0, -1)}`],
    ['base64 with bits left over', `sha256-${zeros.slice(0, -2)}B=`],
    ['base64 with a space in it', `sha256- ${base64(sha256)}`],
    ['URL-safe base64', `sha256-${'_'.repeat(42)}8=`],
    ['two digests', `sha256-${base64(sha256)} sha256-${base64(sha256)}`],
    ['a line end', `sha256:${sha256.hex}\n`],
  ] as const) {
    test(`refuses ${why}`, () => assert.equal(parseDigest(text), undefined));
  }
});

describe('declaredDigests', () => {
  const cases: [what: string, headers: HeaderPairs, digests: Digest[]][] = [
    ['no headers', [], []],
    ['Repr-Digest', [['Repr-Digest', `sha-256=:${base64(sha256)}:`]], [sha256]],
    ['Content-Digest', [['content-digest', `sha-512=:${base64(sha512)}:`]], [sha512]],
    [
      'several members',
      [['Repr-Digest', `sha-512=:${base64(sha512)}:, sha-256=:${base64(sha256)}:`]],
      [sha512, sha256],
    ],
    [
      'several lines of one field',
      [
        ['Repr-Digest', `sha-512=:${base64(sha512)}:`],
        ['repr-digest', `sha-256=:${base64(sha256)}:`],
      ],
      [sha512, sha256],
    ],
    ['members with parameters', [['Repr-Digest', `sha-256=:${base64(sha256)}:;a="x, y";b`]], [sha256]],
    [
      'other algorithms',
      [['Repr-Digest', `md5=:${base64(md5)}:, unixsum=5, sha-256=:${base64(sha256)}:`]],
      [sha256],
    ],
    [
      'malformed members',
      [['Repr-Digest', `sha-512=${base64(sha512)}, sha-512=:x:, sha-512, =, sha-256=:${base64(sha256)}:`]],
      [sha256],
    ],
    ['something behind a member', [['Repr-Digest', `sha-256=:${base64(sha256)}:x`]], []],
    ['a key in upper case, which no dictionary has', [['Repr-Digest', `SHA-256=:${base64(sha256)}:`]], []],
    ['Content-MD5 in base64', [['Content-MD5', base64(md5)]], [md5]],
    ['Content-MD5 in hex, as Glance sends it', [['Content-MD5', md5.hex]], [md5]],
    ['Content-MD5 in upper-case hex', [['Content-MD5', md5.hex.toUpperCase()]], [md5]],
    ['Content-MD5 that is neither', [['Content-MD5', 'None']], []],
    ['the checksum of an image', [['X-Image-Meta-Checksum', md5.hex]], [md5]],
    ['the checksum of an image that has none', [['X-Image-Meta-Checksum', 'None']], []],
    ['the digest of a registry', [['Docker-Content-Digest', `sha256:${sha256.hex}`]], [sha256]],
    ['the digest of a registry in another form', [['Docker-Content-Digest', `sha256-${base64(sha256)}`]], []],
    [
      'the same digest in several fields once',
      [
        ['Repr-Digest', `sha-256=:${base64(sha256)}:`],
        ['Content-Digest', `sha-256=:${base64(sha256)}:`],
        ['Docker-Content-Digest', `sha256:${sha256.hex}`],
        ['Content-MD5', base64(md5)],
        ['X-Image-Meta-Checksum', md5.hex],
      ],
      [sha256, md5],
    ],
    [
      'a contradiction as two digests',
      [
        ['Content-MD5', md5.hex],
        ['Content-MD5', digest('md5', 'other').hex],
      ],
      [md5, digest('md5', 'other')],
    ],
    ['what is no digest field', [['ETag', `"${md5.hex}"`]], []],
  ];
  for (const [what, headers, digests] of cases) {
    test(`reads ${what}`, () => assert.deepEqual(declaredDigests(headers), digests));
  }
});

describe('conflicts', () => {
  const other = digest('sha256', 'other');

  test('finds nothing where all agree or nothing is in common', () => {
    assert.equal(conflicts([], []), undefined);
    assert.equal(conflicts([sha256, md5], [md5, sha256]), undefined);
    assert.equal(conflicts([sha256], [md5, sha512]), undefined);
  });

  test('finds the first of the left whose algorithm has another value on the right', () => {
    assert.deepEqual(conflicts([md5, sha256, sha512], [digest('sha512', 'other'), other]), sha256);
    assert.deepEqual(conflicts([sha256], [sha256, other]), sha256);
  });

  test('finds a contradiction of a list with itself', () => {
    assert.deepEqual(conflicts([sha256, other], [sha256, other]), sha256);
  });
});

describe('formatReprDigest', () => {
  test('writes SHA-256 and SHA-512, once each', () => {
    assert.equal(
      formatReprDigest([sha512, md5, sha256, digest('sha1'), sha256]),
      `sha-256=:${base64(sha256)}:, sha-512=:${base64(sha512)}:`,
    );
  });

  test('writes nothing where the field has no name for any of them', () => {
    assert.equal(formatReprDigest([]), undefined);
    assert.equal(formatReprDigest([md5, digest('sha1'), digest('sha384')]), undefined);
  });
});

describe('wantedReprDigest (RFC 9530, 4)', () => {
  const both = [sha256, sha512, md5];
  const in256 = `sha-256=:${base64(sha256)}:`;
  const in512 = `sha-512=:${base64(sha512)}:`;

  test('is SHA-256 where nothing is said, or nothing that is known', () => {
    for (const want of [undefined, '', 'md5=10', 'sha-256', 'sha-512=11', 'SHA-512=3', 'unixsum=3, nonsense'])
      assert.equal(wantedReprDigest(want, both), in256, want);
  });

  test('is what is wanted most, of what there is', () => {
    for (const [want, expected] of [
      ['sha-512=3, sha-256=10', in256],
      ['sha-512=10, sha-256=3', in512],
      ['sha-512=1', in512],
      ['sha-512=1;x=2', in512],
      ['sha-256=0', in512],
      ['sha-256=0, sha-512=0', undefined],
    ] as const)
      assert.equal(wantedReprDigest(want, both), expected, want);
    assert.equal(wantedReprDigest('sha-512=10', [sha256]), in256, 'rather than none');
    assert.equal(wantedReprDigest('sha-512=10, sha-256=0', [sha256]), undefined);
    assert.equal(wantedReprDigest(undefined, [md5]), undefined);
  });
});

describe('digestsOf', () => {
  test('is what node:crypto says, for each algorithm that is named', () => {
    const bytes = Buffer.from('abc');
    assert.deepEqual(digestsOf(bytes, []), []);
    assert.deepEqual(digestsOf(bytes, ['md5', 'sha1']), [
      { algorithm: 'md5', hex: '900150983cd24fb0d6963f7d28e17f72' },
      { algorithm: 'sha1', hex: 'a9993e364706816aba3e25717850c26c9cd0d89d' },
    ]);
  });
});
