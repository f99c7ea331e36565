import type { CacheStats, StoreState } from './cache.ts';
import type { FileEntries } from './file-entries.ts';
import type { HotEntries } from './hot-entries.ts';
import type { InvalidBodies } from './invalid.ts';
import type { Notices } from './notices.ts';
import { countOf } from './parts/resting-parts.ts';

/** What a cache on disk holds, and what has gone from it. */
export function statsOf({
  state,
  entries: { ledger, openFiles },
  fills,
  notices: { corrupt, unknown },
  invalid,
  hot,
}: {
  state: StoreState;
  entries: FileEntries;
  fills: number;
  notices: Notices;
  invalid: InvalidBodies;
  hot: HotEntries | undefined;
}): CacheStats {
  const { bytes, maxBytes, evictions, expired, pinned } = ledger;
  return {
    state,
    entries: ledger.entries - countOf(ledger),
    bytes,
    maxBytes,
    fills,
    evictions,
    expired,
    pinned,
    corrupt,
    unknown,
    invalid: { files: invalid.files, bytes: invalid.bytes },
    unlinked: openFiles.unlinked,
    ...(hot && { memory: hot.stats }),
  };
}
