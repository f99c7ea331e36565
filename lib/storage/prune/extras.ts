import type { ObjectInfo } from '../backends/backend.ts';
import { layout } from '../layout.ts';
import { isName } from '../names.ts';
import type { Document } from './documents.ts';
import type { Marks } from './mark.ts';
import type { Run } from './run.ts';

/** What a repository has besides its documents. */
export interface Extras {
  /** When tags and manifests were pulled. */
  used: Map<string, ObjectInfo>;
  /** That a manifest is about another one. */
  referrers: { subject: string; digest: string; info: ObjectInfo }[];
  /** What they are about. */
  subjects: string[];
}

/** Undefined where not all of it can be read. */
export async function readExtras(run: Run, repository: string): Promise<Extras | undefined> {
  const [allUsed, allReferrers] = [
    layout.allUsed(run.namespace, repository),
    layout.allReferrers(run.namespace, repository),
  ];
  const extras: Extras = { used: new Map(), referrers: [], subjects: [] };
  return run.attempt(allReferrers, async () => {
    for await (const info of run.backend.list(allUsed)) if (!info.isFolder) extras.used.set(info.name, info);
    for await (const { name: subject, isFolder } of run.backend.list(allReferrers)) {
      if (!isFolder || !isName('digest', subject)) continue;
      extras.subjects.push(subject);
      for (const info of await run.list(layout.referrers(run.namespace, repository, subject)))
        if (isName('digest', info.name)) extras.referrers.push({ subject, digest: info.name, info });
    }
    return extras;
  });
}

/**
 * Removes the links to blobs that no manifest of the repository needs, and what is said of manifests that have gone; nothing of it that is
 * younger than an unfinished push may be.
 */
export async function removeExtras(
  run: Run,
  repository: string,
  { documents, extras, marks }: { documents: ReadonlyMap<string, Document>; extras: Extras; marks: Marks },
): Promise<void> {
  const { namespace } = run;
  const links = layout.links(namespace, repository);
  await run.attempt(links, () =>
    run.each(
      run.backend.list(links),
      ({ name }) => `${links}/${name}`,
      async (info) => {
        if (!isName('digest', info.name)) return;
        const isNeeded = marks.unsure || marks.all.has(info.name);
        await removeUnwanted(run, { path: `${links}/${info.name}`, digest: info.name, info, isNeeded });
      },
    ),
  );
  await run.each(
    extras.referrers,
    ({ subject, digest }) => layout.referrer(namespace, repository, subject, digest),
    async ({ subject, digest, info }) => {
      const path = layout.referrer(namespace, repository, subject, digest);
      await removeUnwanted(run, { path, digest, info, isNeeded: marks.unsure || documents.has(digest) });
    },
  );
  for (const subject of extras.subjects)
    await run.removeFolder(layout.referrers(namespace, repository, subject));
  await run.each(
    extras.used,
    ([reference]) => layout.used(namespace, repository, reference),
    async ([reference, info]) => {
      if (documents.has(reference) || !run.isOld(info)) run.keep(info);
      else await run.remove(layout.used(namespace, repository, reference), info);
    },
  );
}

/** Removes what says something of a digest, and puts it back where somebody wants that just then: who does so notes it before he looks. */
async function removeUnwanted(
  run: Run,
  { path, digest, info, isNeeded }: { path: string; digest: string; info: ObjectInfo; isNeeded: boolean },
): Promise<void> {
  if (isNeeded || !run.isOld(info) || (await run.isWanted(digest))) return run.keep(info);
  if (run.options.dryRun) return run.removed(info);
  const bytes = await run.backend.get(path);
  if (bytes === undefined || !(await run.backend.delete(path))) return;
  if (!(await run.isWanted(digest))) return run.removed(info);
  await run.backend.put(path, bytes);
  run.keep(info);
}
