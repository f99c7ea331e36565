// docs/guides/registry-command.md

import { exists } from '../../fs/files.ts';
import { objectsIn } from '../../storage/backends/filesystem.ts';
import { FilesystemBackend, Storage } from '../../storage/index.ts';
import { layout } from '../../storage/layout.ts';
import type { PruneOptions, PruneReport, Tally } from '../../storage/prune.ts';
import { count, inUnits } from '../doctor/size.ts';
import { errorText } from '../error-text.ts';
import { Failure } from '../failure.ts';

type Limits = 'uploadMaxAgeMs' | 'manifestMaxAgeMs' | 'keepTags' | 'usedWithinMs' | 'namespaces';

export type PruneCommandOptions = { [Name in Limits]?: PruneOptions[Name] | undefined } & {
  directory: string;
  dryRun: boolean;
  /** One JSON object instead of lines for people. */
  json: boolean;
  signal: AbortSignal;
  print: (line: string) => void;
};

/** Removes what is not needed, and prints what that was; whether there were no problems. */
export async function prune(options: PruneCommandOptions): Promise<boolean> {
  const { directory, json, print, ...limits } = options;
  const { dryRun } = limits;
  const backend = new FilesystemBackend({ directory });
  // A storage makes its directory, which one that was mistyped is not to be.
  const hasObjects = await exists(objectsIn(directory));
  const isStorage = hasObjects && (await backend.size(layout.format)) !== undefined;
  if (!isStorage) throw new Failure(`${directory} has nothing of a registry in it`);
  // Whether use was tracked is not known from what is on the disk.
  const storage = new Storage(backend, { trackUse: true });
  const given = Object.entries(limits).filter(([, value]) => value !== undefined);
  const report = await storage.prune(Object.fromEntries(given));
  if (json) print(JSON.stringify({ directory, dryRun, ...plain(report) }, null, 2));
  else for (const line of linesOf(report, dryRun)) print(line);
  return report.problems.length === 0;
}

function plain({ problems, ...others }: PruneReport): object {
  const told = problems.map(({ namespace, what, error }) => ({ namespace, what, message: errorText(error) }));
  return { ...others, problems: told };
}

export function linesOf({ removed, kept, problems, namespaces }: PruneReport, dryRun: boolean): string[] {
  const unswept = Object.entries(namespaces).filter(([, { swept }]) => !swept);
  return [
    ...problems.map(({ namespace, what, error }) => `problem   ${namespace}: ${what}: ${errorText(error)}`),
    ...unswept.map(
      ([name]) => `unswept   ${name}: no blob of it was removed, since what needs them is not known`,
    ),
    `${dryRun ? 'to remove' : 'removed  '} ${inWords(removed)}`,
    `${dryRun ? 'to keep  ' : 'kept     '} ${inWords(kept)}`,
  ];
}

/** '12 objects, 3.4 MiB (3565158 bytes): no uploads, 2 tags, 2 manifests, 4 blobs' */
function inWords({ objects, bytes, uploads, tags, manifests, blobs }: Tally): string {
  const kinds = [
    count(uploads, 'upload'),
    count(tags, 'tag'),
    count(manifests, 'manifest'),
    count(blobs, 'blob'),
  ];
  return `${count(objects, 'object')}, ${inUnits(bytes)} (${bytes} bytes): ${kinds.join(', ')}`;
}
