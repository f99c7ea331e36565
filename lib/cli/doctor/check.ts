// docs/guides/command-line.md

import type { Layout } from '../../fs/layout.ts';
import type { Mount } from './mounts.ts';
import type { Contents } from './survey.ts';

/** `warn`: the cache works, less well or less safely. `fail`: it does not. */
export type Status = 'ok' | 'warn' | 'fail';

/** Figures behind a fact, for programs; units are in the names. */
export type Measured = Readonly<Record<string, string | number | boolean>>;

/** What a check found out. */
export interface Finding {
  status: Status;
  /** What was measured, in one line. */
  fact: string;
  /** Where it is not ok: what that means for the cache. */
  meaning?: string;
  /** Where it is not ok: what to do. */
  advice?: string;
  measured?: Measured;
}

/** The directory as it was found, before anything was written. */
export interface Site {
  /** Absolute, as it was asked for. */
  directory: string;
  /** The directory itself or, where it is missing, the nearest one above it; without symbolic links. */
  existing: string;
  missing: boolean;
  layout: Layout;
  /** The file systems that this process sees. */
  mounts: readonly Mount[];
  /** What of ours is in it; rejects where that can't be read. */
  contents: Promise<Contents>;
  maxBytes: number | undefined;
  minFreeBytes: number | undefined;
}

/** Looks, and writes nothing. */
export interface Look {
  /** Stable: programs go by it. */
  name: string;
  look(site: Site): Promise<Finding> | Finding;
}

/** Tries something out. */
export interface Probe {
  /** Stable: programs go by it. */
  name: string;
  /** What the cache needs it for; said where it fails without a reason of its own. */
  needs: string;
  /** @param folder an empty one, for this check alone */
  probe(folder: string): Promise<Finding> | Finding;
}

/** What helps where the file system itself is the problem. */
export const LOCAL_DISK = 'Use a disk of this machine, with ext4, XFS, Btrfs, ZFS or APFS.';

export function ok(fact: string, measured?: Measured): Finding {
  return { status: 'ok', fact, ...(measured && { measured }) };
}

export function warn(fact: string, meaning: string, advice: string, measured?: Measured): Finding {
  return { status: 'warn', fact, meaning, advice, ...(measured && { measured }) };
}

export function fail(fact: string, meaning: string, advice: string, measured?: Measured): Finding {
  return { status: 'fail', fact, meaning, advice, ...(measured && { measured }) };
}

/** `EROFS: read-only file system, mkdir '…'`, or whatever else the error says of itself. */
export function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
