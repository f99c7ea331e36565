/** Behaviours 1 to 7 of Glance's cache middleware: which requests it looks at. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { glance } from '../../lib/routes/glance.ts';
import { meaning } from './matching.ts';

const ID = '71c675ab-d94f-49cd-a114-e12490b328d9';

const MATCHES: [statement: string, line: string, action: 'read' | 'purge', id: string][] = [
  ['a v1 download', `GET /v1/images/${ID}`, 'read', ID],
  ['a v1 deletion', `DELETE /v1/images/${ID}`, 'purge', ID],
  ['a v2 download', `GET /v2/images/${ID}/file`, 'read', ID],
  ['a v2 deletion', `DELETE /v2/images/${ID}`, 'purge', ID],
  ['an id is whatever has no slash in it', 'GET /v1/images/not-a-uuid', 'read', 'not-a-uuid'],
  ['a query is no part of it', `GET /v2/images/${ID}/file?detail&x=/y`, 'read', ID],
  ['an escaped id is decoded', 'GET /v2/images/a%20b/file', 'read', 'a b'],
  ['an id may begin with a reserved word', 'GET /v2/images/details/file', 'read', 'details'],
  ['a reserved word in another letter case is an id', 'GET /v2/images/Detail/file', 'read', 'Detail'],
  ['HEAD reads, as everywhere', `HEAD /v2/images/${ID}/file`, 'read', ID],
];

const MATCHES_NOT: [statement: string, line: string][] = [
  ['v2 metadata', `GET /v2/images/${ID}`],
  ['a deletion of the file', `DELETE /v2/images/${ID}/file`],
  ['an upload', `PUT /v2/images/${ID}/file`],
  ['another method on a v1 image', `PUT /v1/images/${ID}`],
  ['PATCH', `PATCH /v2/images/${ID}`],
  ['POST', 'POST /v2/images'],
  ['OPTIONS', `OPTIONS /v2/images/${ID}/file`],
  ['a method in another letter case', `get /v1/images/${ID}`],
  ['a method nobody knows', `DELETED /v2/images/${ID}`],
  ['the list of images', 'GET /v1/images'],
  ['the list of images, with a slash', 'GET /v1/images/'],
  ['no id', 'GET /v2/images//file'],
  ['members', `GET /v1/images/${ID}/members`],
  ['v2 members', `DELETE /v2/images/${ID}/members/x`],
  ['tags', `DELETE /v2/images/${ID}/tags/x`],
  ['something below the file', `GET /v2/images/${ID}/file/x`],
  ['a slash at the end of a v1 image', `GET /v1/images/${ID}/`],
  ['a slash at the end of a file', `GET /v2/images/${ID}/file/`],
  ['a slash at the end of a v2 image', `DELETE /v2/images/${ID}/`],
  ['an unknown version', `GET /v3/images/${ID}/file`],
  ['a version alone', 'GET /v1'],
  ['the v1 image in v2', `GET /v2/images/${ID}/data`],
  ['something before it', `GET /x/v1/images/${ID}`],
  ['another resource', `GET /v2/metadefs/${ID}/file`],
  ['letter case matters', `GET /V1/images/${ID}`],
  ['letter case matters in the word for the file', `GET /v2/images/${ID}/FILE`],
  ['the word detail is no v1 id', 'GET /v1/images/detail'],
  ['the word detail is no v2 id', 'GET /v2/images/detail/file'],
  ['the word detail can not be deleted', 'DELETE /v2/images/detail'],
  ['an escaped detail', 'GET /v1/images/%64etail'],
  ['a wholly escaped detail', 'DELETE /v2/images/%64%65%74%61%69%6C'],
  ['an escaped detail in v2', 'GET /v2/images/deta%69l/file'],
  ['a malformed escape', 'GET /v2/images/%/file'],
  ['an escape that is no UTF-8', 'GET /v2/images/%ff/file'],
  ['an absolute URL', `GET http://host/v1/images/${ID}`],
];

describe('glance()', () => {
  for (const [statement, line, action, id] of MATCHES) {
    test(`matches: ${statement}`, () => {
      const found = meaning(glance(), line);
      assert.deepEqual([found?.action, found?.id, found?.params], [action, id, { id }]);
    });
  }

  for (const [statement, line] of MATCHES_NOT) {
    test(`does not match: ${statement}`, () => {
      assert.equal(meaning(glance(), line), undefined, line);
    });
  }

  test('one image has one key, in v1 and v2, to read and to purge, whatever the query', () => {
    const lines = [
      `GET /v1/images/${ID}`,
      `DELETE /v1/images/${ID}`,
      `GET /v2/images/${ID}/file?a=1`,
      `DELETE /v2/images/${ID}?b`,
      `GET /v2/images/${ID.replace('7', '%37')}/file`,
    ];
    for (const line of lines) {
      const { key, query } = meaning(glance(), line) ?? {};
      assert.deepEqual([key, query], [`glance:${ID}`, ''], line);
    }
    assert.notEqual(meaning(glance(), 'GET /v1/images/a')?.key, meaning(glance(), 'GET /v1/images/A')?.key);
  });

  test('images never change under their id', () => {
    for (const line of [`GET /v1/images/${ID}`, `GET /v2/images/${ID}/file`]) {
      assert.equal(meaning(glance(), line)?.route.freshness, 'immutable');
    }
  });

  test('the SHA-512 that Glance describes an image by is computed', () => {
    assert.deepEqual(meaning(glance(), `GET /v2/images/${ID}/file`)?.route.digests, ['sha512']);
  });

  test('each call gives routes of its own', () => {
    const [one, two] = [glance(), glance()];
    one.pop();
    assert.equal(two.length, 3);
  });
});
