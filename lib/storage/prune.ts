// docs/operating/prune.md

import { OptionReader, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { StorageBackend } from './backends/backend.ts';
import { isName, requireName } from './names.ts';
import { pruneBlobs } from './prune/blobs.ts';
import { type NamespaceReport, type PruneReport, sumUp } from './prune/report.ts';
import { pruneRepositories } from './prune/repositories.ts';
import { type PruneEvent, Run, type RunOptions } from './prune/run.ts';
import { pruneUploads } from './prune/uploads.ts';

export type { NamespaceReport, PruneProblem, PruneReport, Tally } from './prune/report.ts';
export type { PruneEvent } from './prune/run.ts';

export interface PruneOptions {
  /** Nothing is removed, only counted. Default false. */
  dryRun?: boolean;
  /** In place of those of the storage, for this once. */
  uploadMaxAgeMs?: number;
  manifestMaxAgeMs?: number;
  /** Of each repository the tags that were pushed last stay, so many of them. */
  keepTags?: number;
  /** A tag or manifest that was pulled within that time stays. Needs `trackUse`. */
  usedWithinMs?: number;
  /** Only these. Default: all. */
  namespaces?: readonly string[];
  /** Ends it between two steps: rejects with its reason; what was removed until then is gone. */
  signal?: AbortSignal;
  /** Called after every few dozen, and at the end of each stage. */
  onProgress?: (event: PruneEvent) => void;
}

/** What is pruned, and what its storage says. */
export interface PrunePlace {
  backend: StorageBackend;
  /** Milliseconds since the epoch; of the clock that the backend goes by. Default `Date.now`. */
  now?: () => number;
  uploadMaxAgeMs: number;
  manifestMaxAgeMs?: number;
  /** Whether it is noted when something is pulled. */
  trackUse: boolean;
  /** The most that a manifest may have. Default 4 MiB, and never less. */
  maxManifestBytes?: number;
  /** Does the work unless somebody writes to the upload, or the tag, with that path at the moment; whether it was done. Absent: nobody does. */
  hold?(path: string, work: () => Promise<void>): Promise<boolean>;
}

const DEFAULT_MANIFEST_BYTES = 4 * 2 ** 20;

/**
 * Removes uploads that were given up, tags and manifests that are too old, and what nothing refers to any more. It may be run while others push and pull, and
 * while another one runs; each namespace is looked at by itself. What can't be read, or is damaged, is among the `problems`, and nothing that
 * it may need is removed.
 * @throws OptionError, NameError; BackendError where the namespaces can't be listed; the reason of the signal
 */
export async function prune(place: PrunePlace, options: PruneOptions = {}): Promise<PruneReport> {
  const { namespaces, run } = resolve(place, options);
  const reports: [string, NamespaceReport][] = [];
  const problems: PruneReport['problems'] = [];
  for (const namespace of namespaces ?? (await namespacesOf(place.backend))) {
    const each = new Run(place.backend, namespace, run);
    await pruneNamespace(each);
    reports.push([namespace, each.report]);
    problems.push(...each.problems);
  }
  return {
    removed: sumUp(reports.map(([, { removed }]) => removed)),
    kept: sumUp(reports.map(([, { kept }]) => kept)),
    problems,
    namespaces: Object.fromEntries(reports),
  };
}

async function pruneNamespace(run: Run): Promise<void> {
  run.options.signal?.throwIfAborted();
  const uploads = await pruneUploads(run);
  const { digests, hasRepositories } = await pruneRepositories(run);
  // Where nothing ever refers to blobs, they are what somebody stores; only who sets a limit has them removed (statement 38).
  run.report.swept = !run.unsure && (hasRepositories || run.hasLimits);
  const isNeeded = run.report.swept ? (digest: string) => digests.has(digest) : () => true;
  await pruneBlobs(run, { isNeeded, uploads });
  const { namespace } = run;
  for (const folder of ['uploads', 'repos', 'blobs']) await run.removeFolder(`${namespace}/${folder}`);
  await run.removeFolder(namespace);
}

async function namespacesOf(backend: StorageBackend): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isFolder } of backend.list(''))
    if (isFolder && isName('namespace', name)) names.push(name);
  return names.sort();
}

function resolve(place: PrunePlace, options: PruneOptions): { namespaces?: string[]; run: RunOptions } {
  const read = new OptionReader(options, {
    dryRun: true,
    uploadMaxAgeMs: true,
    manifestMaxAgeMs: true,
    keepTags: true,
    usedWithinMs: true,
    namespaces: true,
    signal: true,
    onProgress: true,
  });
  const { namespaces, signal } = options;
  read.hook('onProgress');
  if (namespaces !== undefined && !Array.isArray(namespaces))
    throw new OptionError('namespaces', `namespaces must be an array of names, got ${show(namespaces)}`);
  for (const name of namespaces ?? []) requireName('namespace', name);
  const usedWithinMs = read.duration('usedWithinMs', undefined);
  if (usedWithinMs !== undefined && !place.trackUse) {
    throw new OptionError(
      'usedWithinMs',
      'usedWithinMs needs a storage with the option trackUse: this one does not know what was pulled',
    );
  }
  // Once for all of it (statement 37).
  const now = (place.now ?? Date.now)();
  const before = (ms: number | undefined) => (ms === undefined ? undefined : now - ms);
  return {
    ...(namespaces === undefined ? {} : { namespaces: [...new Set(namespaces)] }),
    run: {
      dryRun: read.flag('dryRun', false),
      cutoffs: {
        upload: now - read.duration('uploadMaxAgeMs', place.uploadMaxAgeMs),
        manifest: before(read.duration('manifestMaxAgeMs', place.manifestMaxAgeMs)),
        used: before(usedWithinMs),
        keepTags: options.keepTags === undefined ? undefined : read.count('keepTags', 1),
      },
      signal,
      onProgress: options.onProgress,
      hold: async (path, work) => {
        if (place.hold !== undefined) return place.hold(path, work);
        await work();
        return true;
      },
      maxManifestBytes: Math.max(DEFAULT_MANIFEST_BYTES, place.maxManifestBytes ?? 0),
    },
  };
}
