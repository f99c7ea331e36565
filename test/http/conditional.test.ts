import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, test } from 'node:test';
import type { HeaderPairs } from '../../lib/http/body.ts';
import {
  evaluate,
  ifRangeHolds,
  isConditional,
  type Validators,
  validatorsOf,
} from '../../lib/http/conditional.ts';

const BEFORE = 'Sat, 05 Nov 1994 08:49:37 GMT';
const MODIFIED = 'Sun, 06 Nov 1994 08:49:37 GMT';
const AFTER = 'Mon, 07 Nov 1994 08:49:37 GMT';

test('validatorsOf finds ETag, Last-Modified and Date among the fields of a response, and what is absent is absent', () => {
  const fields: HeaderPairs = [
    ['etag', '"a"'],
    ['Last-Modified', MODIFIED],
    ['DATE', AFTER],
  ];
  assert.deepEqual(validatorsOf(fields), { etag: '"a"', lastModified: MODIFIED, date: AFTER });
  assert.deepEqual(validatorsOf([['Content-Type', 'text/plain']]), {});
});

describe('isConditional', () => {
  for (const name of ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since']) {
    test(`is true for a request with ${name}, even an empty one`, () => {
      assert.equal(isConditional({ [name]: 'x' }), true);
      assert.equal(isConditional({ [name]: '' }), true);
    });
  }

  test('is false for a request with If-Range, which changes only what Range means', () => {
    assert.equal(isConditional({ 'if-range': '"a"', range: 'bytes=0-' }), false);
    assert.equal(isConditional({}), false);
  });
});

// RFC 9110 8.8.3.2, the table of examples.
describe('entity tags', () => {
  for (const [one, other, strong, weak] of [
    ['W/"1"', 'W/"1"', false, true],
    ['W/"1"', 'W/"2"', false, false],
    ['W/"1"', '"1"', false, true],
    ['"1"', 'W/"1"', false, true],
    ['"1"', '"1"', true, true],
  ] as const) {
    test(`${one} and ${other} match strongly: ${strong}, weakly: ${weak}`, () => {
      const validators = { etag: other };
      assert.equal(evaluate('GET', { 'if-match': one }, validators), strong ? 'proceed' : 'failed');
      assert.equal(evaluate('GET', { 'if-none-match': one }, validators), weak ? 'not-modified' : 'proceed');
      assert.equal(ifRangeHolds({ 'if-range': one }, validators), strong);
    });
  }

  const lists: [what: string, list: string, etag: string | undefined, listed: boolean][] = [
    ['the first member', '"a", "b"', '"a"', true],
    ['the last member', '"a", "b"', '"b"', true],
    ['a member between empty ones', ', ,"a",,', '"a"', true],
    ['a member without spaces around it', '"x","a","y"', '"a"', true],
    ['a member after a tab', '"x",\t"a"', '"a"', true],
    ['a tag with a comma in it', '"a,b"', '"a,b"', true],
    ['a tag with a comma in it, after another', '"x", "a,b"', '"a,b"', true],
    ['only a part of a tag with a comma in it', '"a", "x,"b""', '"b"', false],
    ['a tag inside a tag', '"x, "a", y"', '"a"', false],
    ['a backslash, which escapes nothing', '"a\\", "b"', '"b"', true],
    ['the same backslash', '"a\\"', '"a\\"', true],
    ['the empty tag', '""', '""', true],
    ['a tag with obs-text', '"ü"', '"ü"', true],
    ['a tag in other letters', '"A"', '"a"', false],
    ['a tag that begins the same', '"ab"', '"a"', false],
    ['a tag without quotes', 'a', '"a"', false],
    ['a stored tag without quotes', '"a"', 'a', false],
    ['a tag whose quote never closes', '"a', '"a"', false],
    ['a good tag after a malformed one', 'a, "a', '"a"', false],
    ['a good tag after an unquoted one', 'x, "a"', '"a"', true],
    ['a tag with something behind it', '"a"x', '"a"', false],
    ['a star', '*', '"a"', true],
    ['a star with space around it', ' *\t', '"a"', true],
    ['a star, of a representation without a tag', '*', undefined, true],
    ['a star among tags, which is malformed', '*, "b"', '"a"', false],
    ['a star in quotes, which is a tag', '"*"', '"a"', false],
    ['nothing', '', '"a"', false],
    ['a tag, of a representation without one', '"a"', undefined, false],
  ];
  for (const [what, list, etag, listed] of lists) {
    test(`a list ${listed ? 'names' : "doesn't name"} a representation by ${what}`, () => {
      const validators: Validators = etag === undefined ? {} : { etag };
      assert.equal(evaluate('GET', { 'if-match': list }, validators), listed ? 'proceed' : 'failed');
      assert.equal(
        evaluate('GET', { 'if-none-match': list }, validators),
        listed ? 'not-modified' : 'proceed',
      );
    });
  }

  test('w/ in lower case is not the mark of a weak tag', () => {
    assert.equal(evaluate('GET', { 'if-none-match': 'w/"a"' }, { etag: '"a"' }), 'proceed');
  });
});

describe('dates', () => {
  const modified: Validators = { lastModified: MODIFIED };
  const cases: [what: string, validators: Validators, date: string, since: string, unmodified: string][] = [
    ['an earlier date', modified, BEFORE, 'proceed', 'failed'],
    ['the same date', modified, MODIFIED, 'not-modified', 'proceed'],
    ['the same date in another form', modified, 'Sun Nov  6 08:49:37 1994', 'not-modified', 'proceed'],
    ['a later date', modified, AFTER, 'not-modified', 'proceed'],
    ['an invalid date, which is ignored', modified, 'yesterday', 'proceed', 'proceed'],
    ['two dates, which are ignored', modified, `${AFTER}, ${AFTER}`, 'proceed', 'proceed'],
    ['an empty date, which is ignored', modified, '', 'proceed', 'proceed'],
    ['no date to compare with', { etag: '"a"' }, AFTER, 'proceed', 'proceed'],
    ['no valid date to compare with', { lastModified: '0' }, AFTER, 'proceed', 'proceed'],
  ];
  for (const [what, validators, date, since, unmodified] of cases) {
    test(`${what}: If-Modified-Since ${since}, If-Unmodified-Since ${unmodified}`, () => {
      assert.equal(evaluate('GET', { 'if-modified-since': date }, validators), since);
      assert.equal(evaluate('GET', { 'if-unmodified-since': date }, validators), unmodified);
    });
  }

  test('If-Modified-Since means nothing in methods other than GET and HEAD', () => {
    assert.equal(evaluate('HEAD', { 'if-modified-since': AFTER }, modified), 'not-modified');
    assert.equal(evaluate('DELETE', { 'if-modified-since': AFTER }, modified), 'proceed');
    assert.equal(evaluate('DELETE', { 'if-unmodified-since': BEFORE }, modified), 'failed');
  });
});

describe('evaluate', () => {
  const validators: Validators = { etag: '"a"', lastModified: MODIFIED };

  test('proceeds without preconditions', () => {
    assert.equal(evaluate('GET', { range: 'bytes=0-', 'if-range': '"x"' }, validators), 'proceed');
  });

  test('answers a matching If-None-Match with 304 to GET and HEAD, with 412 to others', () => {
    const headers = { 'if-none-match': '"a"' };
    assert.equal(evaluate('GET', headers, validators), 'not-modified');
    assert.equal(evaluate('HEAD', headers, validators), 'not-modified');
    assert.equal(evaluate('PUT', headers, validators), 'failed');
    assert.equal(evaluate('PUT', { 'if-none-match': '*' }, {}), 'failed');
  });

  /**
   * RFC 9110 13.2.2 for GET, written out: each condition absent (-), true (T) or false (F). If-Modified-Since is true
   * when the representation has changed since.
   */
  const TABLE = `
    If-Match  If-Unmodified-Since  If-None-Match  If-Modified-Since  outcome
    -         -                    -              -                  proceed
    -         -                    -              T                  proceed
    -         -                    -              F                  not-modified
    -         -                    T              -                  proceed
    -         -                    T              T                  proceed
    -         -                    T              F                  proceed
    -         -                    F              -                  not-modified
    -         -                    F              T                  not-modified
    -         -                    F              F                  not-modified
    -         T                    -              -                  proceed
    -         T                    -              T                  proceed
    -         T                    -              F                  not-modified
    -         T                    T              -                  proceed
    -         T                    T              T                  proceed
    -         T                    T              F                  proceed
    -         T                    F              -                  not-modified
    -         T                    F              T                  not-modified
    -         T                    F              F                  not-modified
    -         F                    -              -                  failed
    -         F                    -              T                  failed
    -         F                    -              F                  failed
    -         F                    T              -                  failed
    -         F                    T              T                  failed
    -         F                    T              F                  failed
    -         F                    F              -                  failed
    -         F                    F              T                  failed
    -         F                    F              F                  failed
    T         -                    -              -                  proceed
    T         -                    -              T                  proceed
    T         -                    -              F                  not-modified
    T         -                    T              -                  proceed
    T         -                    T              T                  proceed
    T         -                    T              F                  proceed
    T         -                    F              -                  not-modified
    T         -                    F              T                  not-modified
    T         -                    F              F                  not-modified
    T         T                    -              -                  proceed
    T         T                    -              T                  proceed
    T         T                    -              F                  not-modified
    T         T                    T              -                  proceed
    T         T                    T              T                  proceed
    T         T                    T              F                  proceed
    T         T                    F              -                  not-modified
    T         T                    F              T                  not-modified
    T         T                    F              F                  not-modified
    T         F                    -              -                  proceed
    T         F                    -              T                  proceed
    T         F                    -              F                  not-modified
    T         F                    T              -                  proceed
    T         F                    T              T                  proceed
    T         F                    T              F                  proceed
    T         F                    F              -                  not-modified
    T         F                    F              T                  not-modified
    T         F                    F              F                  not-modified
    F         -                    -              -                  failed
    F         -                    -              T                  failed
    F         -                    -              F                  failed
    F         -                    T              -                  failed
    F         -                    T              T                  failed
    F         -                    T              F                  failed
    F         -                    F              -                  failed
    F         -                    F              T                  failed
    F         -                    F              F                  failed
    F         T                    -              -                  failed
    F         T                    -              T                  failed
    F         T                    -              F                  failed
    F         T                    T              -                  failed
    F         T                    T              T                  failed
    F         T                    T              F                  failed
    F         T                    F              -                  failed
    F         T                    F              T                  failed
    F         T                    F              F                  failed
    F         F                    -              -                  failed
    F         F                    -              T                  failed
    F         F                    -              F                  failed
    F         F                    T              -                  failed
    F         F                    T              T                  failed
    F         F                    T              F                  failed
    F         F                    F              -                  failed
    F         F                    F              T                  failed
    F         F                    F              F                  failed
  `;
  const CONDITIONS: [name: string, values: Record<string, string>][] = [
    ['if-match', { T: '"a"', F: '"x"' }],
    ['if-unmodified-since', { T: AFTER, F: BEFORE }],
    ['if-none-match', { T: '"x"', F: 'W/"a"' }],
    ['if-modified-since', { T: BEFORE, F: AFTER }],
  ];
  const rows = TABLE.trim().split('\n').slice(1);

  test('has a row for every combination of the four', () => {
    assert.equal(new Set(rows.map((row) => row.trim().split(/\s+/).slice(0, 4).join())).size, 81);
  });

  for (const row of rows) {
    const cells = row.trim().split(/\s+/);
    test(`takes the four in the order of RFC 9110 13.2.2: ${cells.join(' ')}`, () => {
      const headers: IncomingHttpHeaders = {};
      for (const [index, [name, values]] of CONDITIONS.entries()) {
        const value = values[cells[index] ?? ''];
        if (value !== undefined) headers[name] = value;
      }
      assert.equal(evaluate('GET', headers, validators), cells[4]);
    });
  }
});

describe('ifRangeHolds', () => {
  const validators: Validators = { etag: '"a"', lastModified: MODIFIED };
  const cases: [what: string, ifRange: string | undefined, validators: Validators, holds: boolean][] = [
    ['nothing', undefined, validators, true],
    ['nothing, without validators', undefined, {}, true],
    ['the tag', '"a"', validators, true],
    ['the tag with space around it', ' "a" ', validators, true],
    ['another tag', '"b"', validators, false],
    ['a list of tags', '"a", "b"', validators, false],
    ['a star', '*', validators, false],
    ['a tag without quotes', 'a', validators, false],
    ['a tag where there is none', '"a"', { lastModified: MODIFIED }, false],
    ['the date', MODIFIED, validators, true],
    ['the date in another form', 'Sun Nov  6 08:49:37 1994', validators, true],
    ['an earlier date', BEFORE, validators, false],
    ['a later date', AFTER, validators, false],
    ['a date where there is none', MODIFIED, { etag: '"a"' }, false],
    ['an invalid date', 'yesterday', { lastModified: 'yesterday' }, false],
    ['an empty field', '', validators, false],
    [
      'a date as new as the response, which may stand for two states of it',
      MODIFIED,
      { lastModified: MODIFIED, date: MODIFIED },
      false,
    ],
    ['a date older than the response', MODIFIED, { lastModified: MODIFIED, date: AFTER }, true],
  ];
  for (const [what, ifRange, against, holds] of cases) {
    test(`is ${holds} for ${what}`, () => {
      assert.equal(ifRangeHolds(ifRange === undefined ? {} : { 'if-range': ifRange }, against), holds);
    });
  }

  test('is false for what Node does not hand over, a list of fields', () => {
    assert.equal(ifRangeHolds({ 'if-range': ['"a"'] }, validators), false);
  });
});
