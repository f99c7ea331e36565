import { isDigest } from '../names.ts';
import { type Document, readDocuments, removeDocument } from './documents.ts';
import { type Extras, readExtras, removeExtras } from './extras.ts';
import { Marks, type Needs } from './mark.ts';
import { levels } from './order.ts';
import { expiredTags } from './retention.ts';
import type { Run } from './run.ts';

/**
 * Removes the tags of a repository that have expired (statement 42), the manifests that nothing leads to any more, and what is kept for those.
 * @returns digests of everything that what stays of it needs; where that is not known, the run is not sure any more
 */
export async function pruneRepository(run: Run, repository: string): Promise<ReadonlySet<string>> {
  const documents = await readDocuments(run, repository);
  const extras = await readExtras(run, repository);
  if (documents === undefined || extras === undefined) {
    run.unsure = true;
    return new Set();
  }
  const pruning = new Pruning(run, repository, documents, extras);
  await pruning.removeTags();
  await pruning.removeManifests();
  const { marks } = pruning;
  run.unsure ||= marks.unsure;
  for (const document of documents.values())
    run.keep(document, isDigest(document.reference) ? 'manifests' : 'tags');
  await removeExtras(run, repository, { documents, extras, marks });
  return marks.all;
}

class Pruning {
  readonly marks: Marks;
  readonly #run: Run;
  readonly #repository: string;
  readonly #documents: Map<string, Document>;
  readonly #extras: Extras;

  /** @param documents those that go are taken out of it */
  constructor(run: Run, repository: string, documents: Map<string, Document>, extras: Extras) {
    this.#run = run;
    this.#repository = repository;
    this.#documents = documents;
    this.#extras = extras;
    const manifests = [...documents.values()].filter(({ reference }) => isDigest(reference));
    this.marks = new Marks(run, new Map(manifests.map(({ reference, path }) => [reference, path])));
    for (const { subject, digest } of extras.referrers)
      if (documents.has(digest)) this.marks.addReferrer(subject, digest);
  }

  async removeTags(): Promise<void> {
    const tags = [...this.#documents.values()].filter(({ reference }) => !isDigest(reference));
    const expired = await expiredTags(
      tags.map(({ reference: name, modifiedAt }) => ({ name, modifiedAt, usedAt: this.#usedAt(name) })),
      this.#run.cutoffs,
      this.#run.slices,
    );
    await this.#remove(
      tags.filter(({ reference }) => expired.has(reference)),
      'tags',
    );
  }

  async removeManifests(): Promise<void> {
    await this.marks.follow(this.#roots());
    const candidates = [...this.#documents.values()].filter(
      ({ reference }) => isDigest(reference) && !this.marks.has(reference),
    );
    const needs = await this.#read(candidates);
    const graph = new Map([...needs].map(([digest, { manifests }]) => [digest, [...manifests]]));
    for (const [digest, { subject }] of needs) if (subject !== undefined) graph.get(subject)?.push(digest);
    // Those first that lead to others: whoever pushes one of them anew must find all that it leads to, or be told that something is missing.
    for (const level of await levels(graph, this.#run.slices)) {
      const documents = level
        .filter((digest) => !this.marks.has(digest))
        .flatMap((digest) => this.#documents.get(digest) ?? []);
      if (this.marks.unsure) return;
      await this.marks.follow(await this.#remove(documents, 'manifests'));
    }
  }

  /** What tags lead to, and manifests that may stay by themselves: all of them, where there is no limit (statement 39). */
  *#roots(): Generator<string> {
    const { hasLimits, cutoffs } = this.#run;
    const oldest = Math.min(cutoffs.upload, cutoffs.manifest ?? cutoffs.upload);
    for (const { reference, digests, modifiedAt } of this.#documents.values()) {
      const isUsed = cutoffs.used !== undefined && (this.#usedAt(reference) ?? -1) >= cutoffs.used;
      if (!isDigest(reference) || !hasLimits || modifiedAt >= oldest || isUsed) yield* digests;
    }
  }

  #usedAt(reference: string): number | undefined {
    return this.#extras.used.get(reference)?.modifiedAt;
  }

  /** What manifests need that nothing leads to. They may be about one that stays, though nothing says so but they themselves. */
  async #read(candidates: readonly Document[]): Promise<Map<string, Needs>> {
    const found = new Map<string, Needs>();
    await this.#run.each(
      candidates,
      ({ path }) => path,
      async ({ reference: digest }) => {
        const needs = await this.marks.read({ digest, isNeeded: false, isGuess: false });
        found.set(digest, needs);
        if (needs.subject !== undefined) this.marks.addReferrer(needs.subject, digest);
      },
    );
    const isStaying = ([, { subject }]: [string, Needs]) => subject !== undefined && this.marks.has(subject);
    await this.marks.follow([...found].filter(isStaying).map(([digest]) => digest));
    return found;
  }

  /** @returns digests that those lead to that stay all the same */
  async #remove(documents: readonly Document[], kind: 'tags' | 'manifests'): Promise<string[]> {
    const stay: string[] = [];
    await this.#run.each(
      documents,
      ({ path }) => path,
      async (document) => {
        const left = await removeDocument(this.#run, this.#repository, document);
        if (left !== undefined) {
          this.#documents.set(document.reference, left);
          stay.push(...left.digests);
          return;
        }
        this.#documents.delete(document.reference);
        this.#run.removed(document, kind);
      },
    );
    return stay;
  }
}
