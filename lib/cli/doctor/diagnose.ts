// docs/guides/command-line.md

import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { resolve } from 'node:path';
import { isMissing } from '../../fs/files.ts';
import { Layout } from '../../fs/layout.ts';
import { userName } from '../../fs/prepare.ts';
import { capacityProbes, descriptors } from './capacity.ts';
import { type Finding, fail, LOCAL_DISK, type Look, ok, type Probe, type Site, said } from './check.ts';
import { clock } from './clock.ts';
import { contents, inUse } from './contents.ts';
import { durabilityProbes } from './durability.ts';
import { exclusiveCreate, exclusiveRace } from './exclusive.ts';
import { filesystem, oneFilesystem } from './filesystem.ts';
import { enter, nearest, ProbeFolder } from './folder.ts';
import { readMounts } from './mounts.ts';
import { nameProbes } from './names.ts';
import { directory, judgeUnusable, place } from './place.ts';
import { inodes, space } from './space.ts';
import { survey } from './survey.ts';
import { timeProbes } from './times.ts';

export interface DiagnoseOptions {
  directory: string;
  maxBytes?: number | undefined;
  /** What is to stay free. */
  minFreeBytes?: number | undefined;
  /** Ends it after the check that runs, with everything cleared away. */
  signal?: AbortSignal | undefined;
  /** Told of each check when it is over. */
  onResult?: ((result: Result) => void) | undefined;
}

export interface Result extends Finding {
  name: string;
}

export interface Diagnosis {
  /** Absolute. */
  directory: string;
  /** Who asks: what holds for this user need not hold for another. */
  user: string;
  /** `fit`: no check failed. `interrupted`: not all were made. */
  verdict: 'fit' | 'unfit' | 'interrupted';
  checks: Result[];
  /** Names of checks that could not be made, because of one that failed. */
  skipped: string[];
}

const LOOKS: readonly Look[] = [
  filesystem,
  oneFilesystem,
  place,
  space,
  inodes,
  contents,
  inUse,
  clock,
  descriptors,
];

const PROBES: readonly Probe[] = [
  exclusiveCreate,
  exclusiveRace,
  ...nameProbes,
  ...timeProbes,
  ...durabilityProbes,
  ...capacityProbes,
];

const WRITABLE = 'writable';
const CLEAN_UP = 'clean-up';

/** Names of all checks, in their order. */
export const CHECKS: readonly string[] = [
  directory,
  { name: WRITABLE },
  ...LOOKS,
  ...PROBES,
  { name: CLEAN_UP },
].map(({ name }) => name);

/**
 * Finds out whether a directory is fit for a cache. What it writes, it removes; nothing that was there is changed, but for the
 * modification time of the directory itself.
 */
export async function diagnose(options: DiagnoseOptions): Promise<Diagnosis> {
  const { maxBytes, minFreeBytes, signal, onResult } = options;
  const asked = resolve(options.directory);
  const user = userName();
  const checks: Result[] = [];
  const add = (name: string, finding: Finding) => {
    const result = { name, ...finding };
    checks.push(result);
    onResult?.(result);
  };
  const conclude = (): Diagnosis => {
    const made = new Set(checks.map(({ name }) => name));
    const failed = checks.some(({ status }) => status === 'fail');
    const verdict = signal?.aborted ? 'interrupted' : failed ? 'unfit' : 'fit';
    return { directory: asked, user, verdict, checks, skipped: CHECKS.filter((name) => !made.has(name)) };
  };

  const found = await nearest(asked).catch(async (error: unknown) => {
    add(directory.name, await judgeUnusable(error, asked, user));
    return undefined;
  });
  if (found === undefined) return conclude();

  const layout = new Layout(asked);
  const site: Site = {
    directory: asked,
    ...found,
    layout,
    maxBytes,
    minFreeBytes,
    mounts: await readMounts(),
    contents: survey(asked, layout),
  };
  // Several checks ask for it, and maybe none does.
  site.contents.catch(() => undefined);
  await site.contents.catch(() => undefined);
  add(directory.name, await attempt(() => directory.look(site)));

  let folder: ProbeFolder | undefined;
  try {
    let probes = PROBES;
    try {
      await accessible(site);
      folder = ProbeFolder.create(asked);
      await folder.fill();
      add(
        WRITABLE,
        ok(`by ${user}${site.missing ? '; created for the checks, and removed after them' : ''}`, { user }),
      );
    } catch (error) {
      add(WRITABLE, await judgeUnusable(error, asked, user));
      probes = [];
    }
    for (const { name, look } of LOOKS) {
      if (signal?.aborted) break;
      add(name, await attempt(() => look(site)));
    }
    for (const probe of probes) {
      if (signal?.aborted || folder === undefined) break;
      const lent = folder.lend(probe.name, (room) => probe.probe(room));
      add(probe.name, await attempt(() => lent, probe.needs));
    }
  } finally {
    if (folder !== undefined) add(CLEAN_UP, await cleanUp(folder));
  }
  return conclude();
}

/** Whether what is there of a cache can be entered and written to, as a cache that starts demands. */
async function accessible({
  directory,
  missing,
  layout: { root, entries, incomplete, tag },
}: Site): Promise<void> {
  const { W_OK, X_OK } = constants;
  try {
    for (const path of missing ? [] : [directory, root, entries, incomplete]) {
      await enter(path);
      await fs.access(path, W_OK | X_OK);
    }
    if (!missing) await fs.access(tag, W_OK);
  } catch (error) {
    // What is missing, and all below it, a cache creates.
    if (!isMissing(error)) throw error;
  }
}

async function attempt(check: () => Promise<Finding> | Finding, needs?: string): Promise<Finding> {
  try {
    return await check();
  } catch (error) {
    if (['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      return fail(
        said(error),
        'no space, no inodes or no quota is left to try it',
        'Free some, or choose another disk.',
      );
    }
    return fail(said(error), needs ?? 'what can not be looked at can not be used either', LOCAL_DISK);
  }
}

async function cleanUp(folder: ProbeFolder): Promise<Finding> {
  try {
    await folder.remove();
    return ok('everything that was written is removed');
  } catch (error) {
    return fail(said(error), 'what can be created can not be deleted', `Delete ${folder.path}.`);
  }
}
