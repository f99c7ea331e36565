import { BackendError, ManifestError } from '../../errors.ts';
import { getEither } from '../aside.ts';
import { layout, places } from '../layout.ts';
import { parseManifest } from '../manifest.ts';
import { isName } from '../names.ts';
import { readTag } from '../tag-document.ts';
import type { Run } from './run.ts';

/** A manifest as far as it matters here. */
export interface Needs {
  /** Manifests, by their digests. */
  manifests: readonly string[];
  /** Configs and layers. */
  blobs: readonly string[];
  subject?: string | undefined;
}

/** One on the way to be looked at, and whether it should be there. */
interface Step {
  digest: string;
  isNeeded: boolean;
  /** Whether it may as well be a blob: nobody but the index says that it is a manifest. */
  isGuess: boolean;
}

const NOTHING: Needs = { manifests: [], blobs: [] };

/** What the manifests of a repository that stay lead to. */
export class Marks {
  /** Digests of manifests, and of everything else that is needed. */
  readonly all: Set<string> = new Set();
  /** A manifest could not be read: there may be more. */
  unsure = false;
  readonly #manifests = new Set<string>();
  readonly #run: Run;
  readonly #documents: ReadonlyMap<string, string>;
  readonly #referrers = new Map<string, Set<string>>();

  /** @param documents the digests that the repository has as manifests, with the paths of what says so */
  constructor(run: Run, documents: ReadonlyMap<string, string>) {
    this.#run = run;
    this.#documents = documents;
  }

  /** Whether a manifest stays. */
  has(digest: string): boolean {
    return this.#manifests.has(digest);
  }

  /** Who stays with its subject. */
  addReferrer(subject: string, digest: string): void {
    const referrers = this.#referrers.get(subject) ?? new Set();
    this.#referrers.set(subject, referrers.add(digest));
  }

  /**
   * Marks these manifests with everything that they lead to: what they consist of to any depth (statements 43, 45 and 48), their subject, and the manifests
   * that have them as their subject.
   */
  async follow(digests: Iterable<string>): Promise<void> {
    let level: Step[] = [...digests].map((digest) => ({ digest, isNeeded: true, isGuess: false }));
    while (level.length > 0) {
      const next: Step[] = [];
      await this.#run.each(
        level.filter(({ digest }) => !this.#manifests.has(digest)),
        ({ digest }) => layout.blob(this.#run.namespace, digest),
        async (step) => {
          if (this.#manifests.has(step.digest)) return;
          this.#manifests.add(step.digest);
          this.all.add(step.digest);
          for (const referrer of this.#referrers.get(step.digest) ?? [])
            next.push({ digest: referrer, isNeeded: false, isGuess: false });
          const { manifests, blobs, subject } = await this.read(step);
          for (const digest of blobs) this.all.add(digest);
          for (const digest of manifests) {
            this.all.add(digest);
            next.push({ digest, isNeeded: true, isGuess: !this.#documents.has(digest) });
          }
          if (subject !== undefined) {
            this.all.add(subject);
            next.push({ digest: subject, isNeeded: false, isGuess: !this.#documents.has(subject) });
          }
        },
      );
      level = next;
    }
  }

  /** What a manifest leads to; nothing where it can't be had, and that is a problem then. */
  async read({ digest, isNeeded, isGuess }: Step): Promise<Needs> {
    const run = this.#run;
    const path = layout.data(run.namespace, digest);
    try {
      // An index may list anything, as build caches do: layers of any size.
      if (isGuess && ((await run.backend.size(path)) ?? 0) > run.options.maxManifestBytes) return NOTHING;
      const bytes = await getEither(run.backend, places.data(run.namespace, digest));
      if (bytes === undefined) {
        if (isNeeded)
          run.problem(
            path,
            new BackendError('the content of the manifest is missing', { reason: 'missing' }),
          );
        return NOTHING;
      }
      return await this.#needsOf(digest, bytes, isGuess);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      this.unsure = true;
      run.problem(path, error);
      return NOTHING;
    }
  }

  async #needsOf(digest: string, bytes: Buffer, isGuess: boolean): Promise<Needs> {
    try {
      return needsOf(bytes);
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error;
      // What it does not say of itself, its Content-Type may have said.
      const known = await this.#pushedAs(digest, bytes);
      if (known !== undefined) return known;
      // Another program may know better what it is.
      if (!isGuess) this.#run.problem(layout.data(this.#run.namespace, digest), error);
      return { manifests: [], blobs: digestsIn(bytes) };
    }
  }

  /** What it leads to as a manifest of the media type that it was pushed as; undefined where that is not known, or it is none. */
  async #pushedAs(digest: string, bytes: Buffer): Promise<Needs | undefined> {
    const path = this.#documents.get(digest);
    const document = path === undefined ? undefined : await this.#run.backend.get(path);
    const [mediaType] = Object.keys((document && readTag(document)) ?? {});
    if (mediaType === undefined) return undefined;
    try {
      return needsOf(bytes, mediaType);
    } catch (error) {
      if (error instanceof ManifestError) return undefined;
      throw error;
    }
  }
}

/** @throws ManifestError */
function needsOf(bytes: Buffer, mediaType?: string): Needs {
  const { references, subject } = parseManifest(bytes, mediaType);
  return {
    manifests: references.flatMap(({ kind, digest }) => (kind === 'manifest' ? [digest] : [])),
    blobs: references.flatMap(({ kind, digest }) => (kind === 'manifest' ? [] : [digest])),
    subject: subject?.digest,
  };
}

/** Of a document that is not what it should be: everything in it that could be content it needs. */
export function digestsIn(bytes: Buffer): string[] {
  const found = bytes.toString('latin1').match(/sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}/g) ?? [];
  return [...new Set(found)].filter((digest) => isName('digest', digest));
}
