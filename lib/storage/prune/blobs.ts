import { type Place, putBack } from '../aside.ts';
import type { ObjectInfo } from '../backends/backend.ts';
import { layout, places } from '../layout.ts';
import { isName } from '../names.ts';
import type { Run } from './run.ts';

export interface BlobRules {
  isNeeded(digest: string): boolean;
  /** The ids of uploads that stay; undefined where that is not known. */
  uploads: ReadonlySet<string> | undefined;
}

/** Removes the blobs that nothing needs, and that nobody was told of for a while (statement 44); needed ones stay, however old they are. */
export async function pruneBlobs(run: Run, rules: BlobRules): Promise<void> {
  const folder = layout.blobs(run.namespace);
  run.begin('blobs');
  await run.attempt(folder, () =>
    run.each(
      run.backend.list(folder),
      ({ name }) => layout.blob(run.namespace, name),
      async ({ name, isFolder, modifiedAt }) => {
        if (isFolder && isName('digest', name)) await new BlobPruning(run, name, rules).run(modifiedAt);
      },
    ),
  );
  run.end();
}

interface Found {
  data?: ObjectInfo | undefined;
  touched?: ObjectInfo | undefined;
  removing?: ObjectInfo | undefined;
  hasParts: boolean;
}

class BlobPruning {
  readonly #run: Run;
  readonly #digest: string;
  readonly #rules: BlobRules;
  readonly #place: Place;
  readonly #touched: string;

  constructor(run: Run, digest: string, rules: BlobRules) {
    this.#run = run;
    this.#digest = digest;
    this.#rules = rules;
    this.#place = places.data(run.namespace, digest);
    this.#touched = layout.touched(run.namespace, digest);
  }

  async run(modifiedAt: number): Promise<void> {
    const run = this.#run;
    const found = await this.#list();
    if (found.hasParts) await this.#removeParts();
    if (found.removing !== undefined) await this.#recover(found.removing);
    else if (found.data !== undefined) await this.#look(found.data, found.touched);
    else if (found.touched !== undefined) await this.#removeTouched(found.touched);
    else if (!run.isOld({ modifiedAt })) return;
    await run.removeFolder(layout.blob(run.namespace, this.#digest));
  }

  async #list(): Promise<Found> {
    const all = await this.#run.list(layout.blob(this.#run.namespace, this.#digest));
    const find = (wanted: string) => all.find(({ name, isFolder }) => name === wanted && !isFolder);
    return {
      data: find('data'),
      touched: find('touched'),
      removing: find('removing'),
      hasParts: all.some(({ name, isFolder }) => name === 'uploads' && isFolder),
    };
  }

  #isWanted(...found: readonly (ObjectInfo | undefined)[]): boolean {
    const isLate = found.some((each) => each !== undefined && !this.#run.isOld(each));
    return isLate || this.#rules.isNeeded(this.#digest);
  }

  async #look(data: ObjectInfo, touched: ObjectInfo | undefined): Promise<void> {
    const run = this.#run;
    if (this.#isWanted(data, touched)) return this.#keep(data, touched);
    if (!run.options.dryRun) {
      await run.backend.move(this.#place.path, this.#place.aside);
      const late = await this.#list();
      if (this.#isWanted(late.touched)) {
        await putBack(run.backend, this.#place);
        return this.#keep(data, late.touched);
      }
      // Somebody has taken it back at the last moment.
      if (!(await run.backend.delete(this.#place.aside))) return this.#keep(data, late.touched);
      // It has been pushed anew.
      if (late.data !== undefined) return this.#keep(data, late.touched);
    }
    run.removed(data, 'blobs');
    if (touched !== undefined) await this.#removeTouched(touched);
  }

  /** A run that died, or another one that is just at it, has taken it away. Whoever came for it before did so before this looks again. */
  async #recover(removing: ObjectInfo): Promise<void> {
    const run = this.#run;
    const { data, touched } = await this.#list();
    const isWanted = this.#isWanted(touched);
    if (data !== undefined) {
      await run.remove(this.#place.aside, removing);
      return this.#look(data, touched);
    }
    if (isWanted) {
      if (!run.options.dryRun) await putBack(run.backend, this.#place);
      return this.#keep(removing, touched);
    }
    await run.remove(this.#place.aside, removing, 'blobs');
    if (touched !== undefined) await this.#removeTouched(touched);
  }

  #keep(data: ObjectInfo, touched: ObjectInfo | undefined): void {
    this.#run.keep(data, 'blobs');
    if (touched !== undefined) this.#run.keep(touched);
  }

  async #removeTouched(touched: ObjectInfo): Promise<void> {
    if (this.#run.isOld(touched)) await this.#run.remove(this.#touched, touched);
    else this.#run.keep(touched);
  }

  /** Of an upload that stays, all parts stay; those of one that is gone, which died while they were moved, are nobody's. */
  async #removeParts(): Promise<void> {
    const run = this.#run;
    const folder = `${layout.blob(run.namespace, this.#digest)}/uploads`;
    for (const { name: id, isFolder, modifiedAt } of await run.list(folder)) {
      const path = layout.completing(run.namespace, this.#digest, id);
      if (!isFolder || !isName('upload', id)) continue;
      const parts = (await run.list(path)).filter((each) => !each.isFolder);
      // One that is being filled is there before its first part.
      const isYoung = (parts.length > 0 ? parts : [{ modifiedAt }]).some((each) => !run.isOld(each));
      const stays = this.#rules.uploads?.has(id) !== false || isYoung;
      for (const part of parts) {
        if (stays) run.keep(part);
        else await run.remove(`${path}/${part.name}`, part);
      }
      if (!stays || parts.length === 0) await run.removeFolder(path);
    }
    await run.removeFolder(folder);
  }
}
