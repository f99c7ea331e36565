// docs/reference/backend-contract.md

import type { ByteRange } from '../../http/body.ts';

/** Bytes that come, or are there. A backend takes them no faster than it stores them. */
export type Bytes = Uint8Array | AsyncIterable<Uint8Array>;

/** What a backend says of something one level below a path. */
export interface ObjectInfo {
  /** The last component of its path. */
  name: string;
  /** Something lies below it; it has no bytes of its own. */
  isFolder: boolean;
  /** In bytes; 0 of a folder. */
  size: number;
  /** When its bytes were last put, appended to or moved here, in milliseconds since the epoch, by the backend's clock; of a folder: when something right below it last came or went, or earlier. */
  modifiedAt: number;
}

/** An object's bytes on their way. */
export interface ObjectStream {
  /** Of the whole object, in bytes. */
  size: number;
  /** Of the range that was asked for. It may be left before its end, and then holds nothing open. Throws BackendError where bytes can't be had. */
  bytes: AsyncIterable<Uint8Array>;
  /**
   * The same, in place of `bytes`, by whoever can do it without memory of its own for each piece: one may be overwritten as soon as its `take` has
   * resolved. Rejects with what `take` rejected with.
   */
  pour?(take: (piece: Uint8Array) => Promise<void>): Promise<void>;
}

/** One of several objects that become one. */
export interface Part {
  path: string;
  /** In bytes. */
  size: number;
  /** Lower-case hex; absent: not checked. */
  md5?: string;
}

/** An object that is being appended to, by one writer at a time. */
export interface Appending {
  /** Where the next byte goes: what was stored when it was opened, and what was written since. */
  readonly offset: number;
  /** Resolves when the bytes are stored, all of them: a crash of this process does not lose them any more. @throws BackendError */
  write(bytes: Uint8Array): Promise<void>;
  /** Lets go of the object. `durable`: after it has survived a loss of power. @throws BackendError */
  close(options?: { durable?: boolean }): Promise<void>;
}

/** Lets go of a lock. */
export interface Unlock {
  (): Promise<void>;
  /** Whether nobody else has come to have it. Left out where a holder that lives can't lose it. */
  isHeld?(): Promise<boolean>;
}

/**
 * Where a Storage keeps its objects: bytes under paths, with folders as far as paths have common beginnings. A path is one or more
 * components joined by `/`, none of them empty, `.` or `..`, without NUL; whoever implements this checks that, and that nothing
 * outside of its own place is ever touched. Every operation rejects with BackendError where the backend can't do it, and with NameError
 * for what is no path.
 */
export interface StorageBackend {
  /** For messages: where it is. */
  readonly name: string;
  /** What lies one level below a path, in any order; `''`: at the top. Nothing where there is no such folder. Leaves out what is being put. */
  list(path: string): AsyncIterable<ObjectInfo>;
  /** Of an object, in bytes; undefined where there is none. */
  size(path: string): Promise<number | undefined>;
  /**
   * Puts an object in the place of the one that is there, or of none: whole, or not at all. Who reads the one before goes on doing so.
   * Rejects with what `bytes` threw, and then nothing has changed. Resolves to its size in bytes.
   */
  put(path: string, bytes: Bytes): Promise<number>;
  /** All of an object; undefined where there is none. */
  get(path: string): Promise<Buffer | undefined>;
  /** @param range half-open, within the object. Undefined where there is no such object */
  stream(path: string, range?: ByteRange): Promise<ObjectStream | undefined>;
  /** Removes an object, or a folder in which nothing is; whether there was one. A folder with something in it stays: false. */
  delete(path: string): Promise<boolean>;
  /** Puts one object in the place of another, or of none, in one step, and takes it away where it was. Rejects with BackendError, `reason: 'missing'`, where there is none. */
  move(from: string, to: string): Promise<void>;
  /**
   * Makes one object of several, in their order, whole or not at all, and removes them then. Rejects with BackendError, `reason: 'damaged'`, where one
   * has not the size or the MD5 that is said of it, or is missing: then nothing has changed.
   */
  concatenate(parts: readonly Part[], to: string): Promise<void>;
  /**
   * Opens an object to be appended to, after its byte `offset`, and makes one where there is none and `offset` is 0; what comes after `offset` is cut off. Rejects with
   * BackendError, `reason: 'damaged'`, where the object is shorter. A backend that can't append leaves this out: uploads are kept in parts then.
   */
  append?(path: string, offset: number): Promise<Appending>;
  /**
   * Excludes other processes: resolves to what lets go, once nobody else holds it. A holder that dies loses it within seconds. Left out where
   * only one process uses the backend, or something else sees to that.
   * @param signal gives up waiting: rejects with its reason
   */
  lock?(path: string, signal?: AbortSignal): Promise<Unlock>;
}
