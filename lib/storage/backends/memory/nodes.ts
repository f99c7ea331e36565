/** The bytes of an object, which may grow. Whoever has asked for them keeps what they were then. */
export class StoredObject {
  /** Milliseconds since the epoch. */
  modifiedAt: number = Date.now();
  #room = Buffer.alloc(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get bytes(): Buffer {
    return this.#room.subarray(0, this.#size);
  }

  append(bytes: Uint8Array): void {
    const size = this.#size + bytes.byteLength;
    if (size > this.#room.byteLength) {
      const room = Buffer.alloc(Math.max(size, 2 * this.#size));
      room.set(this.bytes);
      this.#room = room;
    }
    this.#room.set(bytes, this.#size);
    this.#size = size;
    this.modifiedAt = Date.now();
  }

  cut(size: number): void {
    // Not in place: somebody may be reading what is cut off.
    this.#room = Buffer.from(this.#room.subarray(0, size));
    this.#size = size;
    this.modifiedAt = Date.now();
  }
}

/** What has a common beginning of its paths. It stays when nothing is in it any more, as a directory does. */
export class Folder {
  readonly nodes: Map<string, Folder | StoredObject> = new Map();
  /** When something last came to it or went from it, in milliseconds since the epoch. */
  modifiedAt: number = Date.now();

  find(path: string): Folder | StoredObject | undefined {
    let node: Folder | StoredObject | undefined = this;
    for (const name of path.split('/')) {
      if (!(node instanceof Folder)) return undefined;
      node = node.nodes.get(name);
    }
    return node;
  }

  /** Puts an object there. An empty folder is in nobody's way. @returns the path of what is; then nothing has changed */
  place(path: string, object: StoredObject): string | undefined {
    const names = path.split('/');
    const last = names.pop() ?? '';
    let folder: Folder = this;
    for (const [i, name] of names.entries()) {
      const node: Folder | StoredObject = folder.nodes.get(name) ?? new Folder();
      if (node instanceof StoredObject) return names.slice(0, i + 1).join('/');
      if (!folder.nodes.has(name)) folder.set(name, node);
      folder = node;
    }
    const there = folder.nodes.get(last);
    if (there instanceof Folder && there.nodes.size > 0) return path;
    folder.set(last, object);
    return undefined;
  }

  set(name: string, node: Folder | StoredObject): void {
    this.nodes.set(name, node);
    this.modifiedAt = Date.now();
  }

  remove(path: string): void {
    const at = path.lastIndexOf('/');
    const folder = at === -1 ? this : this.find(path.slice(0, at));
    if (!(folder instanceof Folder)) return;
    folder.nodes.delete(path.slice(at + 1));
    folder.modifiedAt = Date.now();
  }
}
