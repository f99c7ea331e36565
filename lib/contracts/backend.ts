// docs/reference/backend-contract.md

import { appends } from './backend/appends.ts';
import { concatenation } from './backend/concatenation.ts';
import { lists } from './backend/lists.ts';
import { locks } from './backend/locks.ts';
import { moves } from './backend/moves.ts';
import { paths } from './backend/paths.ts';
import { puts } from './backend/puts.ts';
import { reads } from './backend/reads.ts';
import { removal } from './backend/removal.ts';
import { type BackendFactory, type BackendKit, BackendSuite } from './backend/suite.ts';

export type { BackendFactory, BackendKit, BackendTestContext, MadeBackend } from './backend/suite.ts';

/**
 * Registers the tests that every StorageBackend must pass, wherever it keeps its objects.
 *
 * @param kit of the test runner: `test(name, fn)`, and what `node:assert/strict` has
 * @param factory makes a new, empty backend for each test; `cleanup` is called afterwards
 */
export function testBackend(kit: BackendKit, factory: BackendFactory): void {
  const suite = new BackendSuite(kit, factory);
  for (const statements of [lists, puts, reads, removal, moves, concatenation, appends, locks, paths]) {
    statements(suite);
  }
}
