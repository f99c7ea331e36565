import type { ObjectInfo } from '../backends/backend.ts';
import { layout } from '../layout.ts';
import { isName } from '../names.ts';
import { decodeUpload } from '../upload-record.ts';
import type { Run } from './run.ts';

/**
 * Removes the uploads that nobody has touched for too long: each as a whole, by what of it was changed last (statements 38 and 41), the parts that have
 * been moved to where they become a blob included.
 * @returns the ids of those that stay; undefined where that is not known
 */
export async function pruneUploads(run: Run): Promise<Set<string> | undefined> {
  const kept = new Set<string>();
  const folder = layout.uploads(run.namespace);
  run.begin('uploads');
  const isWhole = await run.attempt(folder, async () => {
    await run.each(
      run.backend.list(folder),
      ({ name }) => layout.upload(run.namespace, name),
      async (upload) => {
        if (!upload.isFolder || !isName('upload', upload.name)) return;
        kept.add(upload.name);
        if (await pruneUpload(run, upload)) kept.delete(upload.name);
      },
    );
    return true;
  });
  run.end();
  return isWhole ? kept : undefined;
}

/** Whether it is gone. */
async function pruneUpload(run: Run, upload: ObjectInfo): Promise<boolean> {
  const path = layout.upload(run.namespace, upload.name);
  let objects = await run.list(path);
  if (await isAlive(run, upload, objects)) return keep(run, objects);
  if (run.options.dryRun) {
    await remove(run, path, objects);
    return true;
  }
  let isGone = false;
  await run.options.hold(path, async () => {
    // Somebody may have come before it was held.
    objects = await run.list(path);
    if (await isAlive(run, upload, objects)) return;
    await remove(run, path, objects);
    isGone = true;
  });
  return isGone || keep(run, objects);
}

async function isAlive(run: Run, { name, modifiedAt }: ObjectInfo, objects: ObjectInfo[]): Promise<boolean> {
  // One that is being started has a folder before it has a record.
  if (objects.length === 0) return !run.isOld({ modifiedAt });
  if (objects.some((each) => !run.isOld(each))) return true;
  const bytes = await run.backend.get(layout.uploadRecord(run.namespace, name));
  const completing = bytes && decodeUpload(bytes)?.completing;
  if (completing === undefined) return false;
  const parts = await run.list(layout.completing(run.namespace, completing, name));
  return parts.some((each) => !run.isOld(each));
}

/** The record first: what is left of one that has none is nobody's. */
async function remove(run: Run, path: string, objects: readonly ObjectInfo[]): Promise<void> {
  const isRecord = ({ name }: ObjectInfo) => name === 'metadata';
  for (const each of [...objects].sort((a, b) => Number(isRecord(b)) - Number(isRecord(a)))) {
    if (!each.isFolder) await run.remove(`${path}/${each.name}`, each);
  }
  if (objects.length > 0) run.report.removed.uploads++;
  await run.removeFolder(path);
}

function keep(run: Run, objects: readonly ObjectInfo[]): false {
  for (const each of objects) if (!each.isFolder) run.keep(each);
  if (objects.length > 0) run.report.kept.uploads++;
  return false;
}
