import type { WorkLock } from '../fs/lock.ts';
import type { Space } from '../fs/space.ts';
import type { Expendable } from './expendable.ts';
import type { HotEntries } from './hot-entries.ts';
import type { Notices } from './notices.ts';
import type { UpkeepOptions } from './upkeep.ts';

/** What the entries have to do with. */
export interface FileEntriesOptions extends UpkeepOptions {
  /** As events name it. */
  directory: string;
  maxBytes: number;
  /** Which stored bytes are checked before they go out. */
  verify: 'first' | 'always' | 'size';
  space: Space;
  notices: Notices;
  /** What goes before any entry when room is needed. */
  expendable: Expendable;
  hot: HotEntries | undefined;
  /** What is charged besides entries, and can be evicted as they are. */
  others(): {
    /** Brings the account of it up to date. */
    look(): Promise<void>;
    /** Undefined where the account is none of these. */
    evict(account: string): Promise<void> | undefined;
  };
  /** Held by who clears up. */
  lock: WorkLock;
  /** Ids of the fills that this process runs. */
  ownFills(): ReadonlySet<string>;
  /** Resolves when the start-up scan is over. Never rejects. */
  scanned(): Promise<unknown>;
}
