// docs/reference/cache-contract.md

import { bodies } from './cache/bodies.ts';
import { budget } from './cache/budget.ts';
import { claims } from './cache/claims.ts';
import { cleaning } from './cache/cleaning.ts';
import { followers } from './cache/followers.ts';
import { integrity } from './cache/integrity.ts';
import { invalidation } from './cache/invalidation.ts';
import { keys } from './cache/keys.ts';
import { overflow } from './cache/overflow.ts';
import { parts } from './cache/parts.ts';
import { pins } from './cache/pins.ts';
import { queue } from './cache/queue.ts';
import { succession } from './cache/succession.ts';
import { type CacheFactory, type Kit, Suite } from './cache/suite.ts';
import { use } from './cache/use.ts';
import { verify } from './cache/verify.ts';

export type { Assert, CacheFactory, CacheFactoryOptions, Kit } from './cache/suite.ts';

/**
 * Registers the tests that every Cache must pass, whatever it keeps its bodies in.
 *
 * @param kit of the test runner: `test(name, fn)`, and what `node:assert/strict` has
 * @param factory makes a new, empty cache for each test. It is closed afterwards, then `cleanup` is called
 */
export function testCache(kit: Kit, factory: CacheFactory): void {
  const suite = new Suite(kit, factory);
  for (const statements of [
    claims,
    bodies,
    followers,
    succession,
    integrity,
    invalidation,
    budget,
    overflow,
    keys,
    cleaning,
    use,
    pins,
    queue,
    verify,
    parts,
  ]) {
    statements(suite);
  }
}
