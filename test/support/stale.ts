/** An entry that was stored some time ago, without waiting for so long. */
import assert from 'node:assert/strict';
import type { Cache } from '../../lib/cache/cache.ts';
import type { HeaderPairs } from '../../lib/http/body.ts';
import { BODY } from './filtered.ts';

/** Stores the body under the path, as if its head had arrived so many seconds ago. */
export async function putStale(
  cache: Cache,
  path: string,
  { seconds = 100, headers = [['ETag', '"one"']] as HeaderPairs, control = 'max-age=60' } = {},
): Promise<void> {
  const claim = await cache.claim({ primary: path });
  assert.equal(claim?.role, 'leader');
  if (claim?.role !== 'leader') return;
  const fill = await claim.start(
    { status: 200, headers: [['Content-Type', 'text/plain'], ['Cache-Control', control], ...headers] },
    { size: BODY.length, storedAt: Date.now() - seconds * 1000, tags: [`:all:${path}`] },
  );
  if ('declined' in fill) assert.fail(fill.declined);
  fill.write(BODY);
  await fill.commit({ length: BODY.length });
}

/** A Cache-Status without what depends on the clock. */
export function timeless(status: string): string {
  return status.replace(/ttl=-?\d+/, (ttl) => (ttl.includes('-') ? 'ttl=-N' : 'ttl=N'));
}
