/** A process that pushes, deletes and prunes until it is killed, and says what it is about to do and what it has done. */
import { FilesystemBackend, Storage } from '../../../lib/storage/index.ts';
import { blobOf, digestOf, indexOf, manifestOf, NAMESPACE, REPOSITORY } from './content.ts';

export interface Told {
  directory: string;
  seed: number;
  /** Uploads that processes before this one have begun, and the numbers of their blobs. */
  uploads: [id: string, blob: number][];
  /** What the names of its tags begin with: nobody else pushes those. */
  names: string[];
  portable: boolean;
  /** Whether uploads are kept in parts. */
  inParts: boolean;
  /** A bug that is to be found. */
  plant: string;
}

/** `tag` without a digest: it is to be, or was, deleted. */
export type Said =
  | { upload: string; blob: number }
  | { tag: string; digest?: string; done: boolean }
  | { did: 'pushed' | 'deleted' | 'resumed' | 'pruned' };

const told = JSON.parse(process.argv[2] ?? '') as Told;

let state = told.seed | 0 || 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

const files = new FilesystemBackend({ directory: told.directory, durability: 'none' });
const options = { uploadMaxAgeMs: 1_000, digester: told.portable ? 'portable' : 'native' } as const;
const backend = but(files, {
  ...(told.inParts ? { append: undefined } : {}),
  ...(told.plant === 'torn-tag' ? { put: torn } : {}),
  ...(told.plant === 'torn-blob' ? { move: copied } : {}),
});
const storage = new Storage(backend, options);

/** The same, but for some of what it does. */
function but<T extends object>(target: T, instead: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(target, {
    get(of, name) {
      if (Object.hasOwn(instead, name)) return instead[name as keyof T];
      const value: unknown = Reflect.get(of, name);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
}

/** Writes tags where readers look. */
async function torn(path: string, bytes: Uint8Array): Promise<number> {
  if (!/_manifests\/[a-z]-/.test(path)) return files.put(path, bytes);
  const file = await files.append(path, 0);
  for (let at = 0; at < bytes.length; at += 8) {
    await file.write(bytes.subarray(at, at + 8));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await file.close();
  return bytes.length;
}

/** Copies a blob to where readers look. */
async function copied(from: string, to: string): Promise<void> {
  const bytes = (await files.get(from)) ?? Buffer.alloc(0);
  const file = await files.append(to, 0);
  for (let at = 0; at < bytes.length; at += 65_536) {
    await file.write(bytes.subarray(at, at + 65_536));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await file.close();
  await files.delete(from);
}

function say(said: Said): void {
  process.send?.(said);
}

/** Other processes prune what was not touched for a second; on a busy machine that may be in the midst of a push. */
function ignore(error: { code?: string }): void {
  const expected = ['UPLOAD_UNKNOWN', 'REFERENCE', 'BUSY', 'OFFSET'].map(
    (name) => `ERR_CACHE_FILTER_${name}`,
  );
  if (!expected.includes(error.code ?? '')) throw error;
}

async function goOn(id: string, n: number): Promise<void> {
  const bytes = blobOf(n);
  for (;;) {
    const status = await storage.uploadStatus(NAMESPACE, id, REPOSITORY);
    if (status === undefined) return;
    if (status.size === bytes.length) break;
    const end = Math.min(bytes.length, status.size + 1 + random(120_000));
    await storage.uploadChunk(NAMESPACE, id, bytes.subarray(status.size, end), { offset: status.size });
  }
  await storage.storeUpload(NAMESPACE, id, digestOf(bytes), REPOSITORY);
}

async function pushBlob(): Promise<Buffer> {
  // Few: what nobody refers to any more is wanted again while it is pruned.
  const n = random(60);
  const bytes = blobOf(n);
  if ((await storage.linkedBlobSize(NAMESPACE, REPOSITORY, digestOf(bytes))) !== undefined) return bytes;
  const id = await storage.startUpload(NAMESPACE, { repository: REPOSITORY });
  say({ upload: id, blob: n });
  await goOn(id, n);
  return bytes;
}

async function pushImage(): Promise<Buffer> {
  const layers: Buffer[] = [];
  for (let left = 1 + random(3); left > 0; left--) layers.push(await pushBlob());
  const manifest = manifestOf(await pushBlob(), layers);
  await storage.putManifest(NAMESPACE, REPOSITORY, digestOf(manifest), manifest);
  return manifest;
}

async function push(name: string): Promise<void> {
  const tag = `${name}-${random(6)}`;
  if (random(5) === 0) {
    say({ tag, done: false });
    await storage.deleteManifest(NAMESPACE, REPOSITORY, tag);
    say({ tag, done: true });
    say({ did: 'deleted' });
    return;
  }
  const images = [await pushImage()];
  if (random(3) === 0) images.push(await pushImage());
  const manifest = images.length > 1 ? indexOf(images) : (images[0] as Buffer);
  const digest = digestOf(manifest);
  say({ tag, digest, done: false });
  await storage.putManifest(NAMESPACE, REPOSITORY, tag, manifest);
  say({ tag, digest, done: true });
  say({ did: 'pushed' });
}

async function forEver(act: () => Promise<void>): Promise<void> {
  for (;;) await act().catch(ignore);
}

for (const [id, n] of told.uploads)
  void goOn(id, n)
    .then(() => say({ did: 'resumed' }))
    .catch(ignore);
for (const name of told.names) void forEver(() => push(name));
void forEver(async () => {
  await storage.prune({ keepTags: 1_000 });
  say({ did: 'pruned' });
  await new Promise((resolve) => setTimeout(resolve, random(30)));
});
process.on('disconnect', () => process.exit());
