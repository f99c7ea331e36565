/** A storage in which time passes when a test says so, with what is pushed to registries. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { ObjectInfo, StorageBackend } from '../../../lib/storage/backends/backend.ts';
import { MemoryBackend } from '../../../lib/storage/backends/memory.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../../lib/storage/manifest.ts';
import type { PruneOptions, PruneReport } from '../../../lib/storage/prune.ts';
import { Storage, type StorageOptions } from '../../../lib/storage/storage.ts';
import { type MakeBackend, sha } from '../backends.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A backend in whose lists everything is as much older as time has passed since it was written. */
export class TimedBackend {
  readonly backend: StorageBackend;
  #passed = 0;
  /** When what was written, in what has passed then: objects, and the folders that they are in. */
  readonly #written = new Map<string, number>();

  constructor(inner: StorageBackend) {
    this.backend = new Proxy(inner, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name === 'list') {
          return (path: string) => this.#list(value.call(target, path) as AsyncIterable<ObjectInfo>, path);
        }
        return async (...args: unknown[]) => {
          const result: unknown = await value.apply(target, args);
          if (name === 'put' || name === 'append') this.#write(args[0] as string);
          if (name === 'move' || name === 'concatenate') this.#write(args[1] as string);
          return result;
        };
      },
    });
  }

  pass(ms: number): void {
    this.#passed += ms;
  }

  #write(path: string): void {
    for (let at = path.length; at > 0; at = path.lastIndexOf('/', at - 1))
      this.#written.set(path.slice(0, at), this.#passed);
  }

  async *#list(entries: AsyncIterable<ObjectInfo>, path: string): AsyncGenerator<ObjectInfo> {
    for await (const info of entries) {
      const written = this.#written.get(path === '' ? info.name : `${path}/${info.name}`) ?? 0;
      yield { ...info, modifiedAt: info.modifiedAt - (this.#passed - written) };
    }
  }
}

export interface Image {
  digest: string;
  bytes: Buffer;
  layers: string[];
}

export class World {
  readonly backend: StorageBackend;
  storage: Storage;
  readonly #timed: TimedBackend;
  readonly #options: StorageOptions;

  constructor(inner: StorageBackend = new MemoryBackend(), options: StorageOptions = {}) {
    this.#timed = new TimedBackend(inner);
    this.backend = this.#timed.backend;
    this.#options = options;
    this.storage = new Storage(this.backend, options);
  }

  static in(make: MakeBackend, t: TestContext, options: StorageOptions = {}): World {
    return new World(make(t), options);
  }

  /** As it would be for another process, later. */
  pass(ms: number): void {
    this.#timed.pass(ms);
    this.storage = new Storage(this.backend, this.#options);
  }

  /** Whatever is found wrong fails the test, unless it is asked for. */
  async prune(options: PruneOptions = {}): Promise<PruneReport> {
    const report = await this.storage.prune(options);
    assert.deepEqual(report.problems, []);
    return report;
  }

  async blob(namespace: string, text: string, repository?: string): Promise<string> {
    const digest = sha(text);
    await this.storage.putBlob(namespace, digest, Buffer.from(text));
    if (repository !== undefined) await this.storage.linkBlob(namespace, repository, digest);
    return digest;
  }

  /** An image with its config and a layer for each of the texts. */
  async image(
    namespace: string,
    repository: string,
    reference: string | undefined,
    layers: string[],
    more: object = {},
  ): Promise<Image> {
    const image = imageOf(layers, more);
    for (const text of [CONFIG, ...layers]) await this.blob(namespace, text, repository);
    await this.storage.putManifest(namespace, repository, reference ?? image.digest, image.bytes);
    return image;
  }

  async index(
    namespace: string,
    repository: string,
    reference: string | undefined,
    children: readonly Image[],
    more: object = {},
  ): Promise<Image> {
    const index = indexOf(children, more);
    await this.storage.putManifest(namespace, repository, reference ?? index.digest, index.bytes);
    return index;
  }

  async has(namespace: string, digest: string): Promise<boolean> {
    return (await this.backend.size(`${namespace}/blobs/${digest}/data`)) !== undefined;
  }

  async hasManifest(namespace: string, repository: string, reference: string): Promise<boolean> {
    return (await this.storage.getManifest(namespace, repository, reference)) !== undefined;
  }
}

export const CONFIG = '{}';

const descriptor = (text: string) => ({
  mediaType: 'application/x-layer',
  digest: sha(text),
  size: Buffer.byteLength(text),
});

export function imageOf(layers: readonly string[], more: object = {}): Image {
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(CONFIG),
    layers: layers.map(descriptor),
    ...more,
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { digest: sha(bytes), bytes, layers: [sha(CONFIG), ...layers.map((text) => sha(text))] };
}

export function indexOf(children: readonly Image[], more: object = {}): Image {
  const manifests = children.map(({ digest, bytes }) => ({
    mediaType: (JSON.parse(bytes.toString()) as { mediaType: string }).mediaType,
    digest,
    size: bytes.byteLength,
  }));
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...more };
  const bytes = Buffer.from(JSON.stringify(index));
  return { digest: sha(bytes), bytes, layers: children.flatMap(({ layers }) => layers) };
}

export function subject({ digest, bytes }: Image): object {
  return { subject: { mediaType: OCI_MANIFEST, digest, size: bytes.byteLength } };
}
