// docs/reference/backend-contract.md

import { createHash } from 'node:crypto';
import { isBytes, OptionReader, show } from '../../checks.ts';
import type { ByteRange } from '../../http/body.ts';
import type { Appending, Bytes, ObjectInfo, ObjectStream, Part, StorageBackend } from './backend.ts';
import { Step } from './fault.ts';
import { Folder, StoredObject } from './memory/nodes.ts';
import { requireFolderPath, requirePath } from './paths.ts';
import { storePieces } from './pieces.ts';

export interface MemoryBackendOptions {
  /** false: it can't append, as an object store can't. Default true. */
  append?: boolean;
}

/** In bytes, of what a stream gives at a time. */
const PIECE = 256 * 2 ** 10;

/** Keeps objects in memory, for tests and small things: they go with the process. */
export class MemoryBackend implements StorageBackend {
  readonly name = 'memory';
  readonly append?: (path: string, offset: number) => Promise<Appending>;
  readonly #top = new Folder();

  /** @throws OptionError */
  constructor(options: MemoryBackendOptions = {}) {
    const read = new OptionReader(options, { append: true });
    if (read.flag('append', true)) this.append = (path, offset) => this.#append(path, offset);
  }

  async *list(path: string): AsyncGenerator<ObjectInfo, void, undefined> {
    requireFolderPath(path);
    const folder = path === '' ? this.#top : this.#top.find(path);
    if (!(folder instanceof Folder)) return;
    for (const [name, node] of [...folder.nodes]) {
      // It may have gone while the one before was looked at.
      if (folder.nodes.get(name) !== node) continue;
      const isFolder = node instanceof Folder;
      yield { name, isFolder, size: isFolder ? 0 : node.size, modifiedAt: node.modifiedAt };
    }
  }

  async size(path: string): Promise<number | undefined> {
    return this.#find(path)?.size;
  }

  async put(path: string, bytes: Bytes): Promise<number> {
    requirePath(path);
    const object = new StoredObject();
    await storePieces(bytes, async (piece) => object.append(piece));
    this.#place(path, object, new Step(this.name, 'put', path));
    return object.size;
  }

  async get(path: string): Promise<Buffer | undefined> {
    const object = this.#find(path);
    return object && Buffer.from(object.bytes);
  }

  async stream(path: string, range?: ByteRange): Promise<ObjectStream | undefined> {
    const bytes = this.#find(path)?.bytes;
    if (bytes === undefined) return undefined;
    const { start, end } = range ?? { start: 0, end: bytes.byteLength };
    if (!(0 <= start && start <= end && end <= bytes.byteLength)) {
      const step = new Step(this.name, 'stream', path);
      throw step.error(`it has ${bytes.byteLength} bytes, not those from ${start} to ${end}`, 'damaged');
    }
    return { size: bytes.byteLength, bytes: piecesOf(bytes.subarray(start, end)) };
  }

  async delete(path: string): Promise<boolean> {
    requirePath(path);
    const node = this.#top.find(path);
    if (node === undefined || (node instanceof Folder && node.nodes.size > 0)) return false;
    this.#top.remove(path);
    return true;
  }

  async move(from: string, to: string): Promise<void> {
    const object = this.#find(from);
    requirePath(to);
    const step = new Step(this.name, `move to ${to}`, from);
    if (object === undefined) throw step.error('there is no such object', 'missing');
    this.#place(to, object, step);
    if (to !== from) this.#top.remove(from);
  }

  async concatenate(parts: readonly Part[], to: string): Promise<void> {
    requirePath(to);
    const whole = new StoredObject();
    for (const { path, size, md5 } of parts) {
      const step = new Step(this.name, 'concatenate', path);
      const bytes = this.#find(path)?.bytes;
      if (bytes === undefined) throw step.error('there is no such object', 'damaged');
      if (bytes.byteLength !== size)
        throw step.error(`it has ${bytes.byteLength} bytes, not ${size}`, 'damaged');
      const found = md5 === undefined ? undefined : createHash('md5').update(bytes).digest('hex');
      if (found !== md5) throw step.error(`its MD5 is ${found}, not ${md5}`, 'damaged');
      whole.append(bytes);
    }
    this.#place(to, whole, new Step(this.name, 'concatenate', to));
    for (const { path } of parts) if (path !== to) this.#top.remove(path);
  }

  async #append(path: string, offset: number): Promise<Appending> {
    const step = new Step(this.name, 'append', path);
    if (!isBytes(offset)) throw step.error(`${show(offset)} is no offset`, 'failed');
    const there = this.#find(path);
    const size = there?.size ?? 0;
    if (size < offset) throw step.error(`it has ${size} bytes, not ${offset}`, 'damaged');
    const object = there ?? new StoredObject();
    if (there === undefined) this.#place(path, object, step);
    else if (size > offset) object.cut(offset);
    let isOpen = true;
    let at = offset;
    return {
      get offset() {
        return at;
      },
      async write(bytes) {
        if (!isOpen) throw step.error('it is closed', 'failed');
        object.append(bytes);
        at += bytes.byteLength;
      },
      async close() {
        isOpen = false;
      },
    };
  }

  #find(path: string): StoredObject | undefined {
    requirePath(path);
    const node = this.#top.find(path);
    return node instanceof StoredObject ? node : undefined;
  }

  /** @throws BackendError where an object lies where a folder should be, or the other way round */
  #place(path: string, object: StoredObject, step: Step): void {
    const inTheWay = this.#top.place(path, object);
    if (inTheWay !== undefined) throw step.error(`${inTheWay} is in the way`, 'failed');
    object.modifiedAt = Date.now();
  }
}

async function* piecesOf(bytes: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.byteLength; at += PIECE) yield Buffer.from(bytes.subarray(at, at + PIECE));
}
