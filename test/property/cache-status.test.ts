import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { appendCacheStatus, type CacheStatus, formatCacheStatus } from '../../lib/http/cache-status.ts';

type Bare = { token: string } | { string: string } | { integer: number } | true;
interface Member {
  name: Bare;
  parameters: Record<string, Bare>;
}

/** A strict reader of lists of items with parameters (RFC 8941 4.2), as far as Cache-Status needs it. */
function readList(text: string): Member[] {
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    const sticky = new RegExp(pattern.source, 'y');
    sticky.lastIndex = at;
    const found = sticky.exec(text)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const bare = (): Bare => {
    const string = take(/"(?:[ !#-[\]-~]|\\["\\])*"/);
    if (string !== undefined) return { string: string.slice(1, -1).replace(/\\(.)/g, '$1') };
    const integer = take(/-?[0-9]{1,15}(?![0-9.])/);
    if (integer !== undefined) return { integer: Number(integer) };
    const token = take(/[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*/);
    assert.ok(token !== undefined, `an item at ${at} of ${text}`);
    return { token };
  };
  const members: Member[] = [];
  do {
    const member: Member = { name: bare(), parameters: {} };
    while (take(/; */) !== undefined) {
      const key = take(/[a-z*][a-z0-9_.*-]*/);
      assert.ok(key !== undefined, `a key at ${at} of ${text}`);
      assert.ok(!(key in member.parameters), `${key} only once in ${text}`);
      member.parameters[key] = take(/=/) === undefined ? true : bare();
    }
    members.push(member);
  } while (take(/[ \t]*,[ \t]*/) !== undefined);
  assert.equal(at, text.length, `nothing behind the list in ${text}`);
  return members;
}

const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('a', '-', '"', '\\', ';', ',', '=', ' ', '\n', 'ü', '\ud800') }),
);
const status: fc.Arbitrary<CacheStatus> = fc.record(
  {
    hit: fc.boolean(),
    fwd: fc.constantFrom('bypass', 'method', 'uri-miss', 'vary-miss', 'miss', 'request', 'stale', 'partial'),
    fwdStatus: fc.integer({ min: 100, max: 999 }),
    stored: fc.boolean(),
    collapsed: fc.boolean(),
    ttl: fc.oneof(fc.integer(), fc.double({ noNaN: true })),
    key: anyText,
    detail: anyText,
  },
  { requiredKeys: [] },
);

/** What a string or token says; strings are decoded as URLs are, lone surrogates are lost. */
function said(item: Bare | undefined): string | undefined {
  if (item === undefined || item === true || 'integer' in item) return undefined;
  return 'token' in item ? item.token : item.string;
}
const wellFormed = (text: string) => Buffer.from(text).toString();
const encoded = (text: string) => wellFormed(text).replace(/[^ -~]/gu, (char) => encodeURIComponent(char));

describe('formatCacheStatus', () => {
  test('writes a list member that a strict parser reads back', () => {
    fc.assert(
      fc.property(anyText, status, (name, given) => {
        const members = readList(formatCacheStatus(name, given));
        assert.equal(members.length, 1);
        const [member] = members;
        const { parameters = {} } = member ?? {};
        assert.equal(said(member?.name), encoded(name));
        assert.equal(parameters['hit'] === true, given.hit === true);
        assert.equal(parameters['stored'] === true, given.stored === true);
        assert.equal(parameters['collapsed'] === true, given.collapsed === true);
        assert.deepEqual(parameters['fwd'], given.fwd && { token: given.fwd });
        assert.deepEqual(parameters['fwd-status'], given.fwdStatus && { integer: given.fwdStatus });
        assert.equal(parameters['ttl'] !== undefined, given.ttl !== undefined);
        assert.deepEqual(
          parameters['key'],
          given.key === undefined ? undefined : { string: encoded(given.key) },
        );
        assert.equal(
          said(parameters['detail']),
          given.detail === undefined ? undefined : encoded(given.detail),
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe('appendCacheStatus', () => {
  test('makes a list with our member last', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyText, status), { minLength: 1, maxLength: 4 }), (caches) => {
        const members = caches.map(([name, given]) => formatCacheStatus(name, given));
        const list = members.reduce<string | undefined>(appendCacheStatus, undefined);
        assert.deepEqual(readList(list ?? ''), members.flatMap(readList));
      }),
    );
  });
});
