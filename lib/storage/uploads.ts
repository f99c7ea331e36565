import { randomBytes } from 'node:crypto';
import createDebug from 'debug';
import { OptionReader } from '../checks.ts';
import {
  BusyError,
  DigestError,
  OffsetError,
  OptionError,
  SizeError,
  TooLargeError,
  UploadUnknownError,
} from '../errors.ts';
import type { Bytes, StorageBackend } from './backends/backend.ts';
import { requireBytesOf } from './backends/bytes.ts';
import type { Blobs } from './blobs.ts';
import { Digesters, digestBytes, type RunningDigest } from './digester.ts';
import { layout } from './layout.ts';
import type { Locks, Turn } from './locks.ts';
import { algorithmOf, isName, requireName } from './names.ts';
import type { ResolvedStorageOptions } from './options.ts';
import { type Cut, gather } from './pieces.ts';
import {
  GrowingUpload,
  type StoredUpload,
  type UploadBytes,
  UploadParts,
  type UploadPlace,
} from './upload-bytes.ts';
import { decodeUpload, encodeUpload, type UploadRecord } from './upload-record.ts';

const debug = createDebug('cache-filter:storage');

/** A chunk from which nothing has come for so long gives way to another request for its upload: its connection may be half open. In milliseconds. */
const STALLED_MS = 2_000;

/** Half-open: what was stored before, and what is after. */
export interface Chunk {
  start: number;
  end: number;
}

export interface ChunkOptions {
  /** Where the chunk begins: rejects with OffsetError where that is not the end of what is stored. Absent: at the end. */
  offset?: number;
  /** Bytes that it announces; SizeError where another number came. */
  size?: number;
  /** The upload must have been started for it. */
  repository?: string;
  /** Ends the chunk; what came of it is stored. */
  signal?: AbortSignal;
}

const CHUNK_OPTIONS = { offset: true, size: true, repository: true, signal: true } as const;

export interface UploadOptions {
  /** Only requests that name it will find the upload, and the blob will be one of it. */
  repository?: string;
  /** What the digest will be of; another one costs a second reading. Default `sha256`. */
  algorithm?: 'sha256' | 'sha512';
}

const UPLOAD_OPTIONS = { repository: true, algorithm: true } as const;

export interface UploadStatus {
  id: string;
  repository?: string;
  /** In bytes: where the next chunk begins. */
  size: number;
  /** Milliseconds since the epoch. */
  startedAt: number;
}

/** What is being pushed: bytes that come in chunks, in any number of processes, until they are a blob. */
export class Uploads {
  readonly #backend: StorageBackend;
  readonly #blobs: Blobs;
  readonly #options: ResolvedStorageOptions;
  readonly #bytes: UploadBytes;
  readonly #digesters: Digesters;
  readonly #locks: Locks;

  constructor(backend: StorageBackend, blobs: Blobs, locks: Locks, options: ResolvedStorageOptions) {
    this.#backend = backend;
    this.#blobs = blobs;
    this.#locks = locks;
    this.#options = options;
    const portable = options.digester === 'portable';
    this.#bytes =
      backend.append === undefined
        ? new UploadParts(backend)
        : new GrowingUpload(backend, backend.append, portable);
    this.#digesters = new Digesters(options.digester, options.maxLiveUploads);
  }

  async start(namespace: string, options: UploadOptions = {}): Promise<string> {
    requireName('namespace', namespace);
    const { repository } = options;
    const algorithm = new OptionReader(options, UPLOAD_OPTIONS).oneOf('algorithm', ['sha256', 'sha512']);
    if (repository !== undefined) requireName('repository', repository);
    const id = randomBytes(16).toString('hex');
    const record: UploadRecord = {
      ...(repository === undefined ? {} : { repository }),
      algorithm,
      startedAt: Date.now(),
      chunks: [],
    };
    await this.#save({ namespace, id, record });
    return id;
  }

  async status(namespace: string, id: string, repository?: string): Promise<UploadStatus | undefined> {
    const place = await this.#find(namespace, id, repository);
    const stored = place && (await this.#bytes.look(place));
    if (place === undefined || stored === undefined) return undefined;
    const { repository: of, startedAt } = place.record;
    return { id, ...(of === undefined ? {} : { repository: of }), size: stored.size, startedAt };
  }

  async chunk(namespace: string, id: string, bytes: Bytes, options: ChunkOptions = {}): Promise<Chunk> {
    requireBytesOf(bytes);
    const { offset, size, repository, signal } = chunkOptions(options);
    return this.#hold(namespace, id, signal, async (turn) => {
      const { place, size: start } = await this.#require(namespace, id, repository);
      if (offset !== undefined && offset !== start) throw new OffsetError(start, offset);
      const cut: Cut = {};
      const stalled = new Stalled(id, turn.wanted);
      const pieces = gather(stalled.watch(bytes), cut, {
        limit: this.#options.maxBlobBytes - start,
        tooMuch: () => new TooLargeError('a blob', this.#options.maxBlobBytes),
        signal: signal === undefined ? stalled.signal : AbortSignal.any([signal, stalled.signal]),
      });
      const end = await this.#add(place, start, pieces, turn).finally(() => stalled.close());
      if (cut.error !== undefined) throw cut.error;
      if (size !== undefined && size !== end - start) throw new SizeError(size, end - start);
      return { start, end };
    });
  }

  async cancel(namespace: string, id: string, repository?: string): Promise<boolean> {
    if (!isName('upload', id)) return false;
    return this.#hold(namespace, id, undefined, async () => {
      const place = await this.#find(namespace, id, repository);
      if (place === undefined) return false;
      await this.#remove(place);
      return true;
    });
  }

  async complete(namespace: string, id: string, digest: string, repository?: string): Promise<void> {
    requireName('digest', digest);
    await this.#hold(namespace, id, undefined, async (turn) => {
      const found = await this.#find(namespace, id, repository);
      if (found === undefined) throw new UploadUnknownError(id);
      const stored = await this.#bytes.look(found);
      // Its process died, or its answer was lost, when it was all but over.
      const isOver = stored === undefined && found.record.completing === digest;
      if (stored === undefined && !isOver) throw new UploadUnknownError(id);
      if (stored !== undefined) await this.#become(withChunks(found, stored), stored.size, digest, turn);
      await this.#remove(found);
    });
  }

  async #become(place: UploadPlace, size: number, digest: string, turn: Turn): Promise<void> {
    const found = await this.#digestOf(place, size, algorithmOf(digest));
    if (found !== digest) {
      if (this.#options.cancelOnMismatch) await this.#remove(place);
      throw new DigestError(digest, found);
    }
    const { repository } = place.record;
    // First: whoever finds that the upload has become a blob finds it where it was pushed to.
    if (repository !== undefined) await this.#blobs.linkAhead(place.namespace, repository, digest);
    // One copy stays, and is never written over while somebody reads it.
    if ((await this.#blobs.size(place.namespace, digest)) !== undefined) return;
    const { completing: before } = place.record;
    if (before !== undefined && before !== digest) await this.#bytes.takeBack(place);
    const completing = { ...place, record: { ...place.record, completing: digest } };
    await this.#save(completing);
    await this.#bytes.become(completing, size, digest, turn);
  }

  async #digestOf(place: UploadPlace, size: number, algorithm: 'sha256' | 'sha512'): Promise<string> {
    if (algorithm !== place.record.algorithm) return digestBytes(algorithm, this.#bytes.read(place));
    return (await this.#resume(place, size)).value();
  }

  #resume(place: UploadPlace, size: number): Promise<RunningDigest> {
    const { id, record } = place;
    return this.#digesters.resume({
      id,
      algorithm: record.algorithm,
      size,
      saved: record.hash_state,
      read: () => this.#bytes.read(place),
    });
  }

  /** How much there is of it afterwards. */
  async #add(
    place: UploadPlace,
    start: number,
    pieces: AsyncIterable<Uint8Array>,
    turn: Turn,
  ): Promise<number> {
    const digest = await this.#resume(place, start);
    try {
      await turn.requireHeld();
      const chunks = await this.#bytes.add(place, whileHeld(pieces, turn), (piece) => digest.update(piece));
      await turn.requireHeld();
      const { bytes: end, state } = digest;
      const isNoted = chunks === place.record.chunks && state === undefined;
      const record = { ...place.record, chunks, ...(state === undefined ? {} : { hash_state: state }) };
      if (end > start && !isNoted) await this.#save({ ...place, record });
      return end;
    } catch (error) {
      // What of it is stored will be found by looking.
      this.#digesters.forget(place.id);
      throw error;
    }
  }

  async #find(namespace: string, id: string, repository?: string): Promise<UploadPlace | undefined> {
    requireName('namespace', namespace);
    if (!isName('upload', id)) return undefined;
    const bytes = await this.#backend.get(layout.uploadRecord(namespace, id));
    const record = bytes && decodeUpload(bytes);
    if (bytes !== undefined && record === undefined) debug('the record of the upload %s is damaged', id);
    if (record === undefined) return undefined;
    return repository !== undefined && record.repository !== repository
      ? undefined
      : { namespace, id, record };
  }

  async #require(
    namespace: string,
    id: string,
    repository?: string,
  ): Promise<{ place: UploadPlace; size: number }> {
    const place = await this.#find(namespace, id, repository);
    const stored = place && (await this.#bytes.look(place));
    if (place === undefined || stored === undefined) throw new UploadUnknownError(id);
    return { place: withChunks(place, stored), size: stored.size };
  }

  async #save({ namespace, id, record }: UploadPlace): Promise<void> {
    await this.#backend.put(layout.uploadRecord(namespace, id), encodeUpload(record));
  }

  /** The record first: what is left of one that is gone is nobody's, and pruned. */
  async #remove(place: UploadPlace): Promise<void> {
    const { namespace, id } = place;
    this.#digesters.forget(id);
    await this.#backend.delete(layout.uploadRecord(namespace, id));
    await this.#bytes.remove(place);
    await this.#backend.delete(layout.upload(namespace, id));
  }

  #hold<T>(
    namespace: string,
    id: string,
    signal: AbortSignal | undefined,
    work: (turn: Turn) => Promise<T>,
  ): Promise<T> {
    requireName('namespace', namespace);
    if (!isName('upload', id)) return Promise.reject(new UploadUnknownError(String(id).slice(0, 80)));
    return this.#locks.hold(layout.upload(namespace, id), { what: `the upload ${id}`, signal }, work);
  }
}

function withChunks(place: UploadPlace, { chunks }: StoredUpload): UploadPlace {
  return { ...place, record: { ...place.record, chunks } };
}

/** Where another process goes on with the upload, nothing of this one may come in between. */
async function* whileHeld(pieces: AsyncIterable<Uint8Array>, turn: Turn): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    await turn.requireHeld();
    yield piece;
  }
}

/** Ends a chunk from which nothing comes any more, once somebody else wants to go on with its upload. */
class Stalled {
  readonly #abort = new AbortController();
  readonly #id: string;
  #timer: NodeJS.Timeout | undefined;
  #progressAt = performance.now();

  constructor(id: string, wanted: AbortSignal) {
    this.#id = id;
    if (wanted.aborted) this.#look();
    else wanted.addEventListener('abort', () => this.#look(), { once: true });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  async *watch(bytes: Bytes): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
      this.#progressAt = performance.now();
      yield piece;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const rest = this.#progressAt + STALLED_MS - performance.now();
    if (rest <= 0) this.#abort.abort(new BusyError(`the upload ${this.#id}`));
    else this.#timer = setTimeout(() => this.#look(), rest);
  }
}

/** @throws OptionError */
function chunkOptions(options: ChunkOptions): ChunkOptions {
  const read = new OptionReader(options, CHUNK_OPTIONS);
  read.bytes('offset', undefined);
  read.bytes('size', undefined);
  const { signal } = options;
  if (signal === undefined || signal instanceof AbortSignal) return options;
  throw new OptionError('signal', 'signal must be an AbortSignal');
}
