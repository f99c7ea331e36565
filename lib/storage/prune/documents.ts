import { ManifestError } from '../../errors.ts';
import { type Place, putBack } from '../aside.ts';
import { places, within } from '../layout.ts';
import { isDigest, isName } from '../names.ts';
import { readTag } from '../tag-document.ts';
import { digestsIn } from './mark.ts';
import type { Run } from './run.ts';

/** What names a manifest of a repository: a tag, or its digest. */
export interface Document {
  reference: string;
  path: string;
  size: number;
  /** Milliseconds since the epoch. */
  modifiedAt: number;
  /** What it leads to. */
  digests: readonly string[];
  /** As it was read; that of a digest says nothing else than its name does. */
  bytes?: Buffer | undefined;
}

/** Those of a repository, by their references; undefined where one could not be read. */
export async function readDocuments(
  run: Run,
  repository: string,
): Promise<Map<string, Document> | undefined> {
  const documents = new Map<string, Document>();
  let isWhole = true;
  const place = places.manifests(run.namespace, repository);
  await recover(run, place);
  for (const folder of [place.path, place.aside]) {
    const isListed = await run.attempt(folder, async () => {
      await run.each(
        run.backend.list(folder),
        ({ name }) => `${folder}/${name}`,
        async ({ name, isFolder, size, modifiedAt }) => {
          if (isFolder || !(isName('tag', name) || isName('digest', name)) || documents.has(name)) return;
          // What has been taken away, and is put back, is as good as new.
          const isAside = folder === place.aside;
          const document = {
            reference: name,
            path: `${folder}/${name}`,
            size,
            modifiedAt: isAside ? Number.POSITIVE_INFINITY : modifiedAt,
          };
          if (isDigest(name)) {
            documents.set(name, { ...document, digests: [name] });
            return;
          }
          isWhole &&=
            (await run.attempt(document.path, async () => {
              const bytes = await run.backend.get(document.path);
              if (bytes !== undefined)
                documents.set(name, { ...document, bytes, digests: ledTo(run, document.path, bytes) });
              return true;
            })) === true;
        },
      );
      return true;
    });
    isWhole &&= isListed === true;
  }
  return isWhole ? documents : undefined;
}

function ledTo(run: Run, path: string, bytes: Buffer): string[] {
  const document = readTag(bytes);
  if (document !== undefined) return Object.values(document);
  run.problem(path, new ManifestError('the document of the tag is damaged'));
  return digestsIn(bytes);
}

/**
 * Removes a document of which nobody wants to know any more. Who puts one notes first that its content is wanted, so it is taken away first, and then it is
 * looked whether that is noted, and whether it is the one that was read.
 * @returns what stays of it; undefined where it is gone
 */
export async function removeDocument(
  run: Run,
  repository: string,
  document: Document,
): Promise<Document | undefined> {
  const { reference, digests } = document;
  if (await isAnyWanted(run, digests)) return document;
  if (run.options.dryRun) return undefined;
  const place = places.manifest(run.namespace, repository, reference);
  // Who is pushing the tag has it stay.
  let left: Document | undefined = document;
  await holdTag(run, reference, place.path, async () => {
    left = await moveAndRemove(run, place, document);
  });
  return left;
}

async function moveAndRemove(run: Run, place: Place, document: Document): Promise<Document | undefined> {
  const { path, bytes, digests } = document;
  // One that could not be put back, as somebody was pushing its tag, is there already.
  if (path === place.path) await run.backend.move(place.path, place.aside);
  const found = await run.backend.get(place.aside);
  // Another run has put it back.
  if (found === undefined) return document;
  const isSame = bytes === undefined || bytes.equals(found);
  if (isSame && !(await isAnyWanted(run, digests))) {
    // Somebody may have taken it back at the last moment.
    return (await run.backend.delete(place.aside)) ? undefined : document;
  }
  await putBack(run.backend, place);
  return isSame ? document : { ...document, bytes: found, digests: [...digests, ...ledTo(run, path, found)] };
}

async function isAnyWanted(run: Run, digests: readonly string[]): Promise<boolean> {
  for (const digest of digests) if (await run.isWanted(digest)) return true;
  return false;
}

/** Puts back what a run that died had moved from one folder to another; a dry run looks at it where it lies. */
export async function recover(run: Run, folders: Place): Promise<void> {
  if (run.options.dryRun) return;
  await run.attempt(folders.aside, async () => {
    for (const { name, isFolder } of await run.list(folders.aside)) {
      const place = within(folders, name);
      if (!isFolder) await holdTag(run, name, place.path, () => putBack(run.backend, place));
    }
  });
}

/** Whatever is put under a digest is the same; of a tag what is put back must not replace what is being pushed. */
async function holdTag(run: Run, name: string, path: string, work: () => Promise<void>): Promise<void> {
  if (isDigest(name)) await work();
  else await run.options.hold(path, work);
}
