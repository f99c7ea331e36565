import { createHash } from 'node:crypto';
import createDebug from 'debug';
import { LRUCache } from 'lru-cache';
import { BackendError, DigestError, TooLargeError } from '../errors.ts';
import type { ByteRange } from '../http/body.ts';
import { isThere, type Place, removeEither, takeBack } from './aside.ts';
import type { Bytes, ObjectStream, StorageBackend } from './backends/backend.ts';
import { requireBytesOf, requirePiece } from './backends/bytes.ts';
import { layout, places } from './layout.ts';
import { algorithmOf, requireName } from './names.ts';
import type { ResolvedStorageOptions } from './options.ts';

const debug = createDebug('cache-filter:storage');

/** Who was told of a blob is good for so long without being noted again, in milliseconds; or for less, as a part of the grace of `prune`. */
const TOUCH_MS = 60_000;
const TOUCH_PART = 1 / 4;

/** So many of them are remembered. */
const MOST_TOUCHED = 100_000;

const NOTHING = Buffer.alloc(0);

interface Noting {
  mustNote?: boolean;
}

/**
 * Content by its digest, once for each namespace; and which of it is whose. Who is told that a blob is there may rely on it for the grace of
 * `prune`: that is noted first, and then it is looked whether it is (still) there. `prune` takes it away first, and then looks at the note.
 */
export class Blobs {
  readonly #backend: StorageBackend;
  readonly #maxBytes: number;
  readonly #touched: LRUCache<string, true>;

  constructor(
    backend: StorageBackend,
    { maxBlobBytes, uploadMaxAgeMs }: Pick<ResolvedStorageOptions, 'maxBlobBytes' | 'uploadMaxAgeMs'>,
  ) {
    this.#backend = backend;
    this.#maxBytes = maxBlobBytes;
    const ttl = Math.min(TOUCH_MS, Math.floor(uploadMaxAgeMs * TOUCH_PART));
    // 0 would be for ever.
    this.#touched = new LRUCache({ max: MOST_TOUCHED, ttl: Math.max(1, ttl), ttlResolution: 0 });
  }

  /**
   * Its size in bytes; undefined where there is none. It will not be pruned for a while.
   * @param options `mustNote`: rejects where that can't be noted; false: then it may be pruned
   */
  async size(
    namespace: string,
    digest: string,
    { mustNote = true }: Noting = {},
  ): Promise<number | undefined> {
    const place = placeOf(namespace, digest);
    const size = await this.#look(place);
    if (size === undefined || this.#touched.has(place.path)) return size;
    try {
      await this.#backend.put(layout.touched(namespace, digest), NOTHING);
      this.#touched.set(place.path, true);
    } catch (error) {
      if (mustNote || !(error instanceof BackendError)) throw error;
      debug('that %s was asked for is not noted: %o', place.path, error);
    }
    return this.#look(place);
  }

  /** @throws DigestError, TooLargeError; nothing has changed then */
  async put(namespace: string, digest: string, bytes: Bytes): Promise<void> {
    const { path } = placeOf(namespace, digest);
    requireBytesOf(bytes);
    const checked = this.#checked(digest, bytes);
    if ((await this.size(namespace, digest)) === undefined) await this.#backend.put(path, checked);
    else for await (const _ of checked);
  }

  async get(namespace: string, digest: string): Promise<Buffer | undefined> {
    return this.#read(placeOf(namespace, digest), (path) => this.#backend.get(path));
  }

  async stream(namespace: string, digest: string, range?: ByteRange): Promise<ObjectStream | undefined> {
    return this.#read(placeOf(namespace, digest), (path) => this.#backend.stream(path, range));
  }

  /** For every repository of the namespace; whether there was one. */
  async delete(namespace: string, digest: string): Promise<boolean> {
    const place = placeOf(namespace, digest);
    this.#touched.delete(place.path);
    const removed = await removeEither(this.#backend, place);
    await this.#backend.delete(layout.touched(namespace, digest));
    await this.#backend.delete(layout.blob(namespace, digest));
    return removed;
  }

  /** The size of one that was pushed to, or mounted into, the repository; it will not be pruned for a while. */
  async linkedSize(
    namespace: string,
    repository: string,
    digest: string,
    noting?: Noting,
  ): Promise<number | undefined> {
    const link = linkOf(namespace, repository, digest);
    // In this order: `prune` takes a link away, and then looks whether it was noted that somebody is about to be told of the blob.
    const size = await this.size(namespace, digest, noting);
    return size !== undefined && (await isThere(this.#backend, link)) ? size : undefined;
  }

  /** Makes one that is in the namespace one of the repository's; whether it is there. */
  async link(namespace: string, repository: string, digest: string): Promise<boolean> {
    requireName('repository', repository);
    if ((await this.size(namespace, digest)) === undefined) return false;
    await this.linkAhead(namespace, repository, digest);
    return true;
  }

  /** The same, of one that is about to be there. */
  async linkAhead(namespace: string, repository: string, digest: string): Promise<void> {
    await this.#backend.put(linkOf(namespace, repository, digest).path, NOTHING);
  }

  /** It is none of the repository's any more; whether it was. What nobody refers to `prune` removes. */
  async unlink(namespace: string, repository: string, digest: string): Promise<boolean> {
    const had = (await this.linkedSize(namespace, repository, digest)) !== undefined;
    await removeEither(this.#backend, linkOf(namespace, repository, digest));
    return had;
  }

  /** Its size in bytes, whether `prune` is just about to remove it or not. */
  #look(place: Place): Promise<number | undefined> {
    return this.#read(place, (path) => this.#backend.size(path));
  }

  async #read<T>(place: Place, read: (path: string) => Promise<T | undefined>): Promise<T | undefined> {
    const found = await read(place.path);
    if (found !== undefined || !(await takeBack(this.#backend, place))) return found;
    return read(place.path);
  }

  /** Comes to an end only where it is what it should be. */
  async *#checked(digest: string, bytes: Bytes): AsyncGenerator<Uint8Array> {
    const algorithm = algorithmOf(digest);
    const hash = createHash(algorithm);
    let size = 0;
    for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
      requirePiece(piece);
      size += piece.byteLength;
      if (size > this.#maxBytes) throw new TooLargeError('a blob', this.#maxBytes);
      hash.update(piece);
      yield piece;
    }
    const found = `${algorithm}:${hash.digest('hex')}`;
    if (found !== digest) throw new DigestError(digest, found);
  }
}

function placeOf(namespace: string, digest: string): Place {
  requireName('namespace', namespace);
  requireName('digest', digest);
  return places.data(namespace, digest);
}

function linkOf(namespace: string, repository: string, digest: string): Place {
  requireName('namespace', namespace);
  requireName('repository', repository);
  requireName('digest', digest);
  return places.link(namespace, repository, digest);
}
