import { existsSync } from 'node:fs';
import type { Claim, FillReader, Key } from '../cache.ts';
import type { ClaimFile } from './claim.ts';
import { Run } from './runs.ts';

/** What can be joined: a fill of this process, or of another. */
export interface Joinable {
  join(): FillReader | undefined;
}

/** One key being fetched, by this process or, as far as this process follows it, by another. */
export class FileRun extends Run<Joinable> {
  /** What this process fetches it under, from the moment it is there. */
  claim: ClaimFile | undefined;
  /** Resolves when that moment has come, or will not come. */
  readonly claimed: Promise<void>;
  #settleClaim!: () => void;
  /** Where the claim is that it is fetched under. */
  path: string | undefined;

  constructor(key: Key) {
    super(key);
    this.claimed = new Promise((resolve) => {
      this.#settleClaim = resolve;
    });
  }

  claimUnder(claim: ClaimFile | undefined): void {
    this.claim = claim;
    if (claim !== undefined) this.path = claim.path;
    this.#settleClaim();
  }

  /** Another process has purged it: who comes now is not to get it. */
  get isPurged(): boolean {
    return this.path !== undefined && !existsSync(this.path);
  }
}

/** The part of somebody who comes along. */
export function joining(run: FileRun): Claim {
  return {
    role: 'follower',
    fill: run.shared().then((fill) => fill?.join()),
    get again() {
      return run.isOpen;
    },
  };
}
