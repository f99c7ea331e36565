/** What may be kept: each refusal has its reason, and the first that applies is given. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HeaderPairs } from '../../lib/http/body.ts';
import {
  type Candidate,
  isLasting,
  isPublic,
  refusal,
  type StoringRules,
  unprovable,
} from '../../lib/policy/storable.ts';
import { REASONS, type Reason } from '../../lib/reasons.ts';

const RULES: StoringRules = {
  freshness: 'response',
  vary: [],
  minEntryBytes: 10,
  maxEntryBytes: 1000,
  credentials: false,
};

interface Given {
  status?: number;
  /** The handler's own. */
  headers?: Record<string, string>;
  /** What earlier middleware has set. */
  earlier?: Record<string, string>;
  length?: number;
}

const FRESH = 'max-age=60';
const SHA256 = `sha-256=:${Buffer.alloc(32).toString('base64')}:`;

function candidate({ status = 200, headers = {}, earlier = {}, ...rest }: Given): Candidate {
  const own: HeaderPairs = Object.entries({ 'Cache-Control': FRESH, ...headers }).filter(
    ([, value]) => value !== '',
  );
  return {
    status,
    headers: own,
    all: [...Object.entries(earlier), ...own],
    ...('length' in rest ? rest : {}),
  };
}

function sized(given: Given): Candidate {
  const each = candidate({ length: 100, ...given });
  if (given.length === undefined && 'length' in given) delete each.length;
  return each;
}

function reason(given: Given, rules: Partial<StoringRules> = {}): Reason | undefined {
  return refusal(sized(given), { ...RULES, ...rules }, Date.now());
}

const VARIES = { vary: ['accept', 'accept-encoding'] };

const unknown = { length: undefined } as unknown as Given;

const TABLE: [statement: string, Reason | undefined, Given, Partial<StoringRules>?][] = [
  ['a fresh 200 of a known length', undefined, {}],
  ['other statuses, though they might be stored elsewhere', 'not-200', { status: 203 }],
  ['a part', 'not-200', { status: 206 }],
  ['a redirect', 'not-200', { status: 301 }],
  ['an error', 'not-200', { status: 404 }],
  ['a cookie', 'set-cookie', { headers: { 'set-cookie': 'a=1' } }],
  [
    'a cookie of earlier middleware belongs to each response',
    undefined,
    { earlier: { 'Set-Cookie': 'a=1' } },
  ],
  ['private', 'private', { headers: { 'Cache-Control': `private, ${FRESH}` } }],
  ['private for some fields only', 'private', { headers: { 'Cache-Control': `private="x", ${FRESH}` } }],
  ['private, said by earlier middleware', 'private', { earlier: { 'Cache-Control': 'private' } }],
  [
    'private, though immutable',
    'private',
    { headers: { 'Cache-Control': 'private' } },
    { freshness: 'immutable' },
  ],
  ['no-store', 'no-store', { headers: { 'Cache-Control': `no-store, ${FRESH}` } }],
  [
    'no-store, though immutable',
    'no-store',
    { headers: { 'Cache-Control': 'no-store' } },
    { freshness: 'immutable' },
  ],
  ['no-cache', 'no-store', { headers: { 'Cache-Control': `no-cache, ${FRESH}` } }],
  [
    'no-cache, though a ttl overrides what the response says',
    undefined,
    { headers: { 'Cache-Control': 'no-cache' } },
    { freshness: { ttlMs: 1 } },
  ],
  [
    'no-cache for some fields, though a ttl overrides what the response says',
    'no-store',
    { headers: { 'Cache-Control': 'no-cache="x-user"' } },
    { freshness: { ttlMs: 1 } },
  ],
  ['Vary', 'vary', { headers: { Vary: 'Accept' } }],
  ['Vary: *', 'vary', { headers: { Vary: '*' } }],
  ['Vary of earlier middleware belongs to each response', undefined, { earlier: { Vary: 'Origin' } }],
  ['an encoding that earlier middleware chose', 'encoding', { earlier: { 'Content-Encoding': 'gzip' } }],
  ['an encoding of the handler’s own', undefined, { headers: { 'Content-Encoding': 'gzip' } }],
  ['credentials', 'credentials', {}, { credentials: true }],
  [
    'credentials, but public',
    undefined,
    { headers: { 'Cache-Control': `public, ${FRESH}` } },
    { credentials: true },
  ],
  [
    'credentials, but s-maxage',
    undefined,
    { headers: { 'Cache-Control': 's-maxage=60' } },
    { credentials: true },
  ],
  [
    'credentials, and public only by earlier middleware',
    'credentials',
    { earlier: { 'Cache-Control': 'public' } },
    { credentials: true },
  ],
  ['nothing about freshness', 'no-freshness', { headers: { 'Cache-Control': '' } }],
  ['not fresh for a moment', 'no-freshness', { headers: { 'Cache-Control': 'max-age=0' } }],
  [
    'nothing about freshness, though immutable',
    undefined,
    { headers: { 'Cache-Control': '' } },
    { freshness: 'immutable' },
  ],
  [
    'freshness that only earlier middleware says: a hit could not go by it',
    'no-freshness',
    { headers: { 'Cache-Control': '' }, earlier: { 'Cache-Control': FRESH } },
  ],
  ['the largest that may be kept', undefined, { length: 1000 }],
  ['too large', 'too-large', { length: 1001 }],
  ['the smallest that may be kept', undefined, { length: 10 }],
  ['too small', 'too-small', { length: 9 }],
  ['empty', 'too-small', { length: 0 }],
  ['empty, where that is enough', undefined, { length: 0 }, { minEntryBytes: 0 }],
  ['a Vary that the key has', undefined, { headers: { Vary: 'ACCEPT, accept-encoding' } }, VARIES],
  ['a Vary that the key has a part of', 'vary', { headers: { Vary: 'Accept, Cookie' } }, VARIES],
  [
    'a Vary by what whoever answered was not told',
    undefined,
    { headers: { Vary: 'Accept-Encoding, Accept' } },
    { told: ['accept'], vary: ['accept'] },
  ],
  [
    'a Vary by what was told and is no part of the key',
    'vary',
    { headers: { Vary: 'Accept-Encoding, Accept' } },
    { told: ['accept'] },
  ],
  ['Vary: *, whatever was told', 'vary', { headers: { Vary: '*' } }, { told: [] }],
  ['Vary: *, whatever the key has', 'vary', { headers: { Vary: '*' } }, { vary: ['*'] }],
];

/** A body, what else is said of it, and why nothing would prove it. */
const PROOFS: [
  statement: string,
  expected: Reason | undefined,
  given: Given,
  integrity?: 'length' | 'digest' | 'end',
  known?: boolean,
][] = [
  ['a length', undefined, {}],
  ['no length', 'no-length', unknown],
  ['no length, but Repr-Digest', undefined, { ...unknown, headers: { 'Repr-Digest': SHA256 } }],
  ['no length, but Content-MD5', undefined, { ...unknown, headers: { 'Content-MD5': '0'.repeat(32) } }],
  [
    'no length, and a digest that is none',
    'no-length',
    { ...unknown, headers: { 'Repr-Digest': 'sha-256=:AAAA:' } },
  ],
  [
    'no length, but a digest is to come in a trailer',
    undefined,
    { ...unknown, headers: { Trailer: 'X-Time, Repr-Digest' } },
  ],
  ['no length, and another trailer', 'no-length', { ...unknown, headers: { Trailer: 'X-Time' } }],
  [
    'a digest of earlier middleware is not about this body',
    'no-length',
    { ...unknown, earlier: { 'Repr-Digest': SHA256 } },
  ],
  ['no length, where a clean end is enough', undefined, unknown, 'end'],
  ['a length, where a digest is required', 'no-digest', {}, 'digest'],
  ['no length, but a digest that is known from elsewhere', undefined, unknown, 'length', true],
  ['the same, where one is required', undefined, unknown, 'digest', true],
  ['a digest, where one is required', undefined, { headers: { 'Content-Digest': SHA256 } }, 'digest'],
];

describe('what is refused', () => {
  for (const [statement, expected, given, rules] of TABLE) {
    test(`${statement}: ${expected ?? 'kept'}`, () => assert.equal(reason(given, rules), expected));
  }

  test('every reason that a response can be refused for is in this table, and explained', () => {
    const found = new Set(TABLE.map(([, expected]) => expected).filter((each) => each !== undefined));
    for (const each of found) assert.ok(Object.hasOwn(REASONS, each), each);
    assert.deepEqual([...found].sort(), [
      'credentials',
      'encoding',
      'no-freshness',
      'no-store',
      'not-200',
      'private',
      'set-cookie',
      'too-large',
      'too-small',
      'vary',
    ]);
  });
});

describe('what proves a body', () => {
  for (const [statement, expected, given, integrity = 'length', known = false] of PROOFS) {
    test(`${statement}: ${expected ?? 'enough'}`, () =>
      assert.equal(unprovable(sized(given), integrity, known), expected));
  }
});

describe('which refusals are remembered', () => {
  test('those about the representation, not those about this one request', () => {
    const lasting = (Object.keys(REASONS) as Reason[]).filter(isLasting).sort();
    assert.deepEqual(lasting, [
      'no-digest',
      'no-freshness',
      'no-length',
      'no-store',
      'private',
      'set-cookie',
      'too-large',
      'too-small',
      'vary',
    ]);
  });
});

describe('what is for everybody', () => {
  test('public and s-maxage say so, in any letter case; nothing else does', () => {
    const says = (value: string) => isPublic({ status: 200, headers: [['cache-control', value]] });
    for (const value of ['public', 'PUBLIC', 'max-age=1, public', 's-maxage=0', 'S-MaxAge=60'])
      assert.equal(says(value), true, value);
    for (const value of ['', 'max-age=60', 'x-public', 'immutable', 'publicly', 'ext="public"'])
      assert.equal(says(value), false, value);
    assert.equal(isPublic({ status: 200, headers: [] }), false);
  });
});
