/** Processes that push and prune are killed, again and again; what they leave is looked at in between. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FilesystemBackend, Storage } from '../../../lib/storage/index.ts';
import { parseManifest } from '../../../lib/storage/manifest.ts';
import { blobOf, digestOf, NAMESPACE, REPOSITORY } from './content.ts';
import type { Said, Told } from './process.ts';

export interface Outcome {
  kills: number;
  did: Record<string, number>;
  faults: string[];
}

interface Options {
  count: number;
  seed: number;
  directory: string;
  plant?: string;
  say?: (line: string) => void;
}

/** A lock without a sign of life from its owner is free after so long, and a bit. */
const LOCKED_MS = 6_000;

/** What is known of a tag: which digests it may lead to; undefined: it need not be there. */
type Tags = Map<string, Set<string | undefined>>;

export async function storageCampaign({
  count,
  seed,
  directory,
  plant = '',
  say,
}: Options): Promise<Outcome> {
  const random = randomOf(seed);
  const tags: Tags = new Map();
  const did: Record<string, number> = {};
  const faults: string[] = [];
  let uploads: [string, number][] = [];
  // Kept in parts or not is a matter of the directory, not of the process.
  const inParts = seed % 2 === 1;
  for (let kill = 1; kill <= count && faults.length === 0; kill++) {
    const told: Told = {
      directory,
      seed: random(2 ** 30),
      uploads: uploads.slice(-20),
      names: ['a', 'b', 'c'],
      portable: random(2) === 1,
      inParts,
      plant,
    };
    const lives = [
      start(told),
      ...(random(3) === 0 ? [start({ ...told, uploads: [], names: ['d', 'e'], seed: told.seed + 1 })] : []),
    ];
    for (const life of lives) {
      life.on('message', (said: Said) => {
        if ('upload' in said) uploads.push([said.upload, said.blob]);
        else if ('did' in said) did[said.did] = (did[said.did] ?? 0) + 1;
        else note(tags, said);
      });
    }
    const [first] = lives as [ChildProcess];
    await Promise.race([once(first, 'message'), once(first, 'exit')]);
    await new Promise((resolve) => setTimeout(resolve, random(1_200)));
    for (const life of lives) {
      const closed = life.exitCode === null && life.signalCode === null ? once(life, 'close') : undefined;
      life.kill('SIGKILL');
      await closed;
      if (life.signalCode !== 'SIGKILL') faults.push(`a process ended by itself, with ${life.exitCode}`);
    }
    const storage = new Storage(backendOf(directory));
    faults.push(...(await look(storage, directory, tags)));
    // Some are left to the process that comes next.
    const [mine, left] = random(2) === 0 ? [uploads.slice(-10), uploads.slice(0, -10)] : [[], uploads];
    for (const [id, n] of mine) faults.push(...(await resume(storage, id, n)));
    uploads = left.slice(-40);
    say?.(
      `${kill} of ${count}: ${Object.entries(did)
        .map(([what, times]) => `${times} ${what}`)
        .join(', ')}`,
    );
  }
  if (faults.length === 0) faults.push(...(await atLast(directory, tags)));
  return { kills: count, did, faults: faults.map((fault) => `${fault} (seed ${seed})`) };
}

function backendOf(directory: string): FilesystemBackend {
  return new FilesystemBackend({ directory, durability: 'none' });
}

function start(told: Told): ChildProcess {
  const script = fileURLToPath(new URL('process.ts', import.meta.url));
  const flags = process.execArgv.filter((flag) => !flag.startsWith('--test'));
  return spawn(process.execPath, [...flags, script, JSON.stringify(told)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

/** What a process has begun may have been done or not when it was killed; what it has done stays, until something else was begun. */
function note(tags: Tags, { tag, digest, done }: Extract<Said, { tag: string }>): void {
  const may = tags.get(tag) ?? new Set([undefined]);
  tags.set(tag, done ? new Set([digest]) : may.add(digest));
}

async function look(storage: Storage, directory: string, tags: Tags): Promise<string[]> {
  const faults: string[] = [];
  for (const digest of blobsIn(directory)) {
    const bytes = await storage.getBlob(NAMESPACE, digest);
    if (bytes !== undefined && digestOf(bytes) !== digest) faults.push(`the blob ${digest} has other bytes`);
  }
  const there = (await storage.listTags(NAMESPACE, REPOSITORY)) ?? [];
  for (const [tag, may] of tags) {
    const manifest = there.includes(tag) ? await storage.getManifest(NAMESPACE, REPOSITORY, tag) : undefined;
    if (there.includes(tag) && manifest === undefined) faults.push(`the tag ${tag} leads nowhere`);
    if (!may.has(manifest?.digest)) faults.push(`the tag ${tag} leads to ${manifest?.digest}`);
    if (manifest !== undefined) faults.push(...(await complete(storage, tag, manifest.digest)));
  }
  return faults;
}

/** Whether all that a manifest refers to is there. */
async function complete(storage: Storage, tag: string, digest: string): Promise<string[]> {
  const manifest = await storage.getManifest(NAMESPACE, REPOSITORY, digest);
  if (manifest === undefined) return [`the tag ${tag} needs the manifest ${digest}, which is missing`];
  const faults: string[] = [];
  for (const reference of parseManifest(manifest.bytes, manifest.mediaType).references) {
    if (reference.kind === 'manifest') faults.push(...(await complete(storage, tag, reference.digest)));
    else if ((await storage.linkedBlobSize(NAMESPACE, REPOSITORY, reference.digest)) !== reference.size)
      faults.push(`the tag ${tag} needs the blob ${reference.digest}, which is missing`);
  }
  return faults;
}

/** Uploads can be gone on with, or are gone. */
async function resume(storage: Storage, id: string, n: number): Promise<string[]> {
  const bytes = blobOf(n);
  const status = await storage.uploadStatus(NAMESPACE, id, REPOSITORY);
  if (status === undefined) return [];
  try {
    await storage.uploadChunk(NAMESPACE, id, bytes.subarray(status.size), { offset: status.size });
    await storage.storeUpload(NAMESPACE, id, digestOf(bytes), REPOSITORY);
  } catch (error) {
    return [`the upload ${id} of blob ${n} can not be gone on with: ${String(error)}`];
  }
  const stored = await storage.getBlob(NAMESPACE, digestOf(bytes));
  return stored?.equals(bytes) === true ? [] : [`the upload ${id} has become other bytes`];
}

/** When nobody pushes any more, prune leaves what is referred to, and nothing else. */
async function atLast(directory: string, tags: Tags): Promise<string[]> {
  // Who is killed while he has an upload has it for that long.
  await new Promise((resolve) => setTimeout(resolve, LOCKED_MS));
  const storage = new Storage(backendOf(directory));
  // All tags stay, and manifests that have none go.
  const { problems } = await storage.prune({ uploadMaxAgeMs: 1, keepTags: 1_000 });
  const faults = problems.map(({ what, error }) => `pruning ${what}: ${String(error)}`);
  faults.push(...(await look(storage, directory, tags)));
  const needed = await references(storage);
  for (const digest of blobsIn(directory))
    if (!needed.has(digest)) faults.push(`the blob ${digest} is left over`);
  for (const path of readdirSync(join(directory, 'v1'), { recursive: true, encoding: 'utf8' })) {
    const isLeft = /uploads\/.|removing|^temporary\/.|^locks\/./.test(path);
    if (isLeft) faults.push(`${path} is left over`);
  }
  return faults;
}

/** By whatever has a tag. */
async function references(storage: Storage): Promise<Set<string>> {
  const needed = new Set<string>();
  const waiting: string[] = [];
  for (const tag of (await storage.listTags(NAMESPACE, REPOSITORY)) ?? []) {
    const manifest = await storage.getManifest(NAMESPACE, REPOSITORY, tag);
    if (manifest !== undefined) waiting.push(manifest.digest);
  }
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    needed.add(digest);
    const manifest = await storage.getManifest(NAMESPACE, REPOSITORY, digest);
    if (manifest === undefined) continue;
    for (const each of parseManifest(manifest.bytes, manifest.mediaType).references) {
      needed.add(each.digest);
      if (each.kind === 'manifest') waiting.push(each.digest);
    }
  }
  return needed;
}

function blobsIn(directory: string): string[] {
  try {
    return readdirSync(join(directory, 'v1', 'objects', NAMESPACE, 'blobs'));
  } catch {
    return [];
  }
}

function randomOf(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
