import { layout } from '../layout.ts';
import { isName } from '../names.ts';
import { pruneRepository } from './repository.ts';
import type { Run } from './run.ts';

/** Of the whole namespace: what its repositories need. */
export interface Needed {
  digests: Set<string>;
  /** Whether there is any repository. */
  hasRepositories: boolean;
}

const INNER = ['_removing/_manifests', '_removing/_blobs'];
const PARTS = ['_removing', '_manifests', '_blobs', '_referrers', '_used'];

/** Prunes one after the other (statement 46): what all of them together need stays. */
export async function pruneRepositories(run: Run): Promise<Needed> {
  const needed: Needed = { digests: new Set(), hasRepositories: false };
  run.begin('repositories');
  const folders = [layout.repositories(run.namespace)];
  // The list grows while it is gone through: what lies below a folder comes after it.
  for (const folder of folders) {
    const entries = await run.attempt(folder, () => run.list(folder));
    if (entries === undefined) run.unsure = true;
    const names = (entries ?? []).flatMap(({ name, isFolder }) => (isFolder ? [name] : []));
    for (const name of names) if (isName('repository', name)) folders.push(`${folder}/${name}`);
    const repository = folder.slice((folders[0] ?? '').length + 1);
    if (!isName('repository', repository) || !names.some((name) => PARTS.includes(name))) continue;
    needed.hasRepositories = true;
    const digests = await pruneRepository(run, repository);
    for await (const digest of run.inSlices(digests)) needed.digests.add(digest);
    for (const part of [...INNER, ...PARTS]) await run.removeFolder(`${folder}/${part}`);
  }
  for (const folder of folders.reverse()) await run.removeFolder(folder);
  run.end();
  return needed;
}
