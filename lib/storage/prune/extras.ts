import { putBack } from '../aside.ts';
import type { ObjectInfo } from '../backends/backend.ts';
import { layout, places, within } from '../layout.ts';
import { isName } from '../names.ts';
import { type Document, recover } from './documents.ts';
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
  await removeLinks(run, repository, marks);
  await run.each(
    extras.referrers,
    ({ subject, digest }) => layout.referrer(namespace, repository, subject, digest),
    async ({ subject, digest, info }) => {
      const path = layout.referrer(namespace, repository, subject, digest);
      const isNeeded = marks.unsure || documents.has(digest) || !run.isOld(info);
      if (isNeeded || (await run.isWanted(digest))) return run.keep(info);
      if (run.options.dryRun) return run.removed(info);
      const bytes = await run.backend.get(path);
      if (bytes === undefined || !(await run.backend.delete(path))) return;
      if (!(await run.isWanted(digest))) return run.removed(info);
      await run.backend.put(path, bytes);
      run.keep(info);
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

async function removeLinks(run: Run, repository: string, marks: Marks): Promise<void> {
  const links = places.links(run.namespace, repository);
  const seen = new Set<string>();
  const each = (folder: string, work: (info: ObjectInfo) => Promise<void>): Promise<unknown> =>
    run.attempt(folder, () =>
      run.each(
        run.backend.list(folder),
        ({ name }) => `${folder}/${name}`,
        async (info) => {
          if (info.isFolder || !isName('digest', info.name) || seen.has(info.name)) return;
          seen.add(info.name);
          await work(info);
        },
      ),
    );
  await recover(run, links);
  await each(links.path, async (info) => {
    const { name: digest } = info;
    if (marks.unsure || marks.all.has(digest) || !run.isOld(info) || (await run.isWanted(digest)))
      return run.keep(info);
    if (run.options.dryRun) return run.removed(info);
    const place = within(links, digest);
    await run.backend.move(place.path, place.aside);
    const isWanted = await run.isWanted(digest);
    if (isWanted) await putBack(run.backend, place);
    // Somebody may have taken it back at the last moment.
    const isGone = !isWanted && (await run.backend.delete(place.aside));
    if (isGone) run.removed(info);
    else run.keep(info);
  });
  // Only where nothing was put back.
  if (run.options.dryRun) await each(links.aside, async (info) => run.keep(info));
}
