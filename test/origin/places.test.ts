/** What counts as credentials of ours: who has none may ask for everybody. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OptionError } from '../../lib/errors.ts';
import { hasCredentials, placesOf } from '../../lib/origin/places.ts';

const URL = 'https://files.example';

function credentials(more: object): boolean[] {
  return placesOf({ url: URL, ...more }).map(hasCredentials);
}

describe('a place', () => {
  test('has credentials where anything is sent there that says more than what is wanted', () => {
    assert.deepEqual(credentials({}), [false]);
    assert.deepEqual(credentials({ headers: { Accept: 'a/b', 'User-Agent': 'ours' } }), [false]);
    assert.deepEqual(credentials({ headers: { Accept: 'a/b', 'X-Whatever': 'x' } }), [true]);
    assert.deepEqual(credentials({ headers: { Authorization: 'Bearer ours' } }), [true]);
  });

  test('has credentials where it can answer a challenge', () => {
    const authenticate = async () => undefined;
    assert.deepEqual(credentials({ authenticate }), [true]);
    assert.equal(placesOf({ url: URL, authenticate })[0]?.authenticate, authenticate);
    assert.throws(() => placesOf({ url: URL, authenticate: 'Basic' }), OptionError);
  });
});
