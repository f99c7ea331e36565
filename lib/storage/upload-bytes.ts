import { createHash, type Hash } from 'node:crypto';
import { BackendError } from '../errors.ts';
import type { StorageBackend } from './backends/backend.ts';
import { layout } from './layout.ts';
import type { Turn } from './locks.ts';
import type { StoredChunk, UploadRecord } from './upload-record.ts';

/** Where the bytes of an upload are: which it is, and what is said of it. */
export interface UploadPlace {
  namespace: string;
  id: string;
  record: UploadRecord;
}

/** What there is of an upload. */
export interface StoredUpload {
  /** In bytes. */
  size: number;
  /** What its record should say of its chunks. */
  chunks: StoredChunk[];
}

/** The bytes of uploads: how they are kept until they become a blob. */
export interface UploadBytes {
  /** Undefined where they have become the blob that the record names. */
  look(place: UploadPlace): Promise<StoredUpload | undefined>;
  read(place: UploadPlace): AsyncIterable<Uint8Array>;
  /**
   * Stores what comes after what is there. Resolves when it ends, to what the record is to say of its chunks.
   * @param stored called with each piece, in order, once it is stored
   */
  add(
    place: UploadPlace,
    pieces: AsyncIterable<Uint8Array>,
    stored: (piece: Uint8Array) => void,
  ): Promise<StoredChunk[]>;
  /** Where they are on their way to the blob that the record names, they become those of the upload again. */
  takeBack(place: UploadPlace): Promise<void>;
  /**
   * Makes the first `size` bytes, which have been hashed, the blob that the record names.
   * @throws BusyError where another process may have changed them since
   */
  become(place: UploadPlace, size: number, digest: string, turn: Pick<Turn, 'requireHeld'>): Promise<void>;
  /** Removes what there is of them. */
  remove(place: UploadPlace): Promise<void>;
}

/** One growing object; completing it is a rename. */
export class GrowingUpload implements UploadBytes {
  readonly #backend: StorageBackend;
  readonly #append: NonNullable<StorageBackend['append']>;
  readonly #durable: boolean;

  constructor(backend: StorageBackend, append: NonNullable<StorageBackend['append']>, durable: boolean) {
    this.#backend = backend;
    this.#append = append.bind(backend);
    this.#durable = durable;
  }

  async look({ namespace, id, record }: UploadPlace): Promise<StoredUpload | undefined> {
    const { completing, chunks } = record;
    const size = await this.#backend.size(layout.uploadData(namespace, id));
    const mayBeBlob = size === undefined && completing !== undefined;
    if (mayBeBlob && (await isBlob(this.#backend, namespace, completing))) return undefined;
    return { size: size ?? 0, chunks };
  }

  async *read({ namespace, id }: UploadPlace): AsyncGenerator<Uint8Array> {
    const stream = await this.#backend.stream(layout.uploadData(namespace, id));
    if (stream !== undefined) yield* stream.bytes;
  }

  async add(
    { namespace, id, record }: UploadPlace,
    pieces: AsyncIterable<Uint8Array>,
    stored: (piece: Uint8Array) => void,
  ): Promise<StoredChunk[]> {
    const path = layout.uploadData(namespace, id);
    const appending = await this.#append(path, (await this.#backend.size(path)) ?? 0);
    try {
      for await (const piece of pieces) {
        await appending.write(piece);
        stored(piece);
      }
    } finally {
      // What the record says was hashed must be there, whatever happens.
      await appending.close({ durable: this.#durable });
    }
    return record.chunks;
  }

  async takeBack(): Promise<void> {
    // One step: they are the one or the other.
  }

  async become(
    { namespace, id }: UploadPlace,
    size: number,
    digest: string,
    turn: Pick<Turn, 'requireHeld'>,
  ): Promise<void> {
    const path = layout.uploadData(namespace, id);
    // Cuts off what somebody may have added who has lost the lock, and does not know.
    const appending = await this.#append(path, size);
    await appending.close({ durable: true });
    await turn.requireHeld();
    await this.#backend.move(path, layout.data(namespace, digest));
  }

  async remove({ namespace, id }: UploadPlace): Promise<void> {
    await this.#backend.delete(layout.uploadData(namespace, id));
  }
}

/** An object for each chunk; completing it puts them together. */
export class UploadParts implements UploadBytes {
  readonly #backend: StorageBackend;

  constructor(backend: StorageBackend) {
    this.#backend = backend;
  }

  async look(place: UploadPlace): Promise<StoredUpload | undefined> {
    const { namespace, record } = place;
    const { completing, chunks } = record;
    const stored = { size: chunks.reduce((sum, { size }) => sum + size, 0), chunks };
    if (completing === undefined || (await this.#isWhole(place))) return stored;
    if (await isBlob(this.#backend, namespace, completing)) return undefined;
    // It had become the blob, of which some parts were still there, and the blob has been pruned since: what is left is of no use.
    return chunks.length === 0 ? stored : { size: 0, chunks: [] };
  }

  async *read(place: UploadPlace): AsyncGenerator<Uint8Array> {
    for (let n = 1; n <= place.record.chunks.length; n++) {
      const stream = await this.#backend.stream(await this.#pathOf(place, n));
      if (stream === undefined)
        throw new BackendError(`part ${n} of the upload ${place.id} is missing`, { reason: 'damaged' });
      yield* stream.bytes;
    }
  }

  async add(
    { namespace, id, record }: UploadPlace,
    pieces: AsyncIterable<Uint8Array>,
    stored: (piece: Uint8Array) => void,
  ): Promise<StoredChunk[]> {
    const iterator = pieces[Symbol.asyncIterator]();
    const { done, value: first } = await iterator.next();
    // Nothing is put where nothing comes.
    if (done === true) return record.chunks;
    const md5 = newMd5();
    const take = async function* () {
      for (let piece: Uint8Array | undefined = first; piece !== undefined; ) {
        md5?.update(piece);
        yield piece;
        stored(piece);
        const next = await iterator.next();
        piece = next.done === true ? undefined : next.value;
      }
    };
    const size = await this.#backend.put(layout.uploadPart(namespace, id, record.chunks.length + 1), take());
    const chunk = md5 === undefined ? { size } : { size, md5: md5.digest('hex') };
    return [...record.chunks, chunk];
  }

  async takeBack(place: UploadPlace): Promise<void> {
    const { namespace, id, record } = place;
    for (let n = 1; n <= record.chunks.length; n++) {
      const [from, to] = [await this.#pathOf(place, n), layout.uploadPart(namespace, id, n)];
      if (from !== to) await this.#backend.move(from, to);
    }
    if (record.completing !== undefined) await this.#removeFolders(namespace, record.completing, id);
  }

  async become(
    place: UploadPlace,
    _size: number,
    digest: string,
    turn: Pick<Turn, 'requireHeld'>,
  ): Promise<void> {
    const { namespace, id, record } = place;
    await turn.requireHeld();
    const parts = [];
    for (const [i, chunk] of record.chunks.entries()) {
      const n = i + 1;
      const path = `${layout.completing(namespace, digest, id)}/${n}`;
      const from = await this.#pathOf(place, n);
      if (from !== path) await this.#backend.move(from, path);
      parts.push({ path, ...chunk });
    }
    if (parts.length === 0) await this.#backend.put(layout.data(namespace, digest), new Uint8Array());
    else await this.#backend.concatenate(parts, layout.data(namespace, digest));
    await this.#removeFolders(namespace, digest, id);
  }

  async remove(place: UploadPlace): Promise<void> {
    const { namespace, id, record } = place;
    for (let n = 1; n <= record.chunks.length + 1; n++) {
      await this.#backend.delete(layout.uploadPart(namespace, id, n));
      if (record.completing !== undefined)
        await this.#backend.delete(`${layout.completing(namespace, record.completing, id)}/${n}`);
    }
    if (record.completing !== undefined) await this.#removeFolders(namespace, record.completing, id);
  }

  /** It may have been moved, and the blob not have been made. */
  async #pathOf({ namespace, id, record }: UploadPlace, n: number): Promise<string> {
    const path = layout.uploadPart(namespace, id, n);
    if (record.completing === undefined || (await this.#backend.size(path)) !== undefined) return path;
    return `${layout.completing(namespace, record.completing, id)}/${n}`;
  }

  /** Whether it has parts, and all of them: whoever made the blob of them may have died while he removed them. */
  async #isWhole(place: UploadPlace): Promise<boolean> {
    const count = place.record.chunks.length;
    for (let n = 1; n <= count; n++)
      if ((await this.#backend.size(await this.#pathOf(place, n))) === undefined) return false;
    return count > 0;
  }

  async #removeFolders(namespace: string, digest: string, id: string): Promise<void> {
    const folder = layout.completing(namespace, digest, id);
    for (const path of [folder, folder.slice(0, folder.lastIndexOf('/'))]) await this.#backend.delete(path);
  }
}

async function isBlob(backend: StorageBackend, namespace: string, digest: string): Promise<boolean> {
  return (await backend.size(layout.data(namespace, digest))) !== undefined;
}

/** Undefined where the machine is not allowed to have one (FIPS). */
function newMd5(): Hash | undefined {
  try {
    return createHash('md5');
  } catch {
    return undefined;
  }
}
