import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { targetProblem } from '../../lib/http/target.ts';

describe('the target of a request that is sent on', () => {
  const sound = ['/', '/a/b', '/a?x=/../b', '//a', '/a%2fb', '/...', '/.a', '/a./b', '/a%2e%2eb'];
  for (const target of sound)
    test(`${target} is sent on`, () => assert.equal(targetProblem(target), undefined));

  const refused: [target: string, why: RegExp][] = [
    ['a', /must be a path/],
    ['http://a/b', /must be a path/],
    ['', /must be a path/],
    ['/a\\b', /neither/],
    ['/a#b', /neither/],
    ['/a?b#c', /neither/],
    ['/..', /'\.' and '\.\.'/],
    ['/a/./b', /'\.' and '\.\.'/],
    ['/a/%2E%2e/b', /'\.' and '\.\.'/],
    ['/a/.%2e?x', /'\.' and '\.\.'/],
  ];
  for (const [target, why] of refused)
    test(`${target} would be another one there`, () => assert.match(targetProblem(target) ?? '', why));
});
