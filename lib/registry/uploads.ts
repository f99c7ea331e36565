import { OffsetError, TooLargeError } from '../errors.ts';
import { algorithmOf, requireName } from '../storage/names.ts';
import type { Chunk } from '../storage/storage.ts';
import { type AnswerHeaders, Refusal, refusalOf } from './answers.ts';
import { mayDo, permit } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { notify } from './notify.ts';
import { metered, requireQuota } from './quota.ts';
import { reply } from './reply.ts';
import { location } from './request.ts';

/** So many repositories are looked through for a blob that is to be mounted from any of them. */
const MOST_REPOSITORIES = 1_000;

interface UploadPoint {
  repository: string;
  id: string;
}

/** POST: begins an upload, mounts a blob, or takes one whole (end points 4a, 4b and 11). */
export async function startUpload(exchange: Exchange, { repository }: { repository: string }): Promise<void> {
  const { query } = exchange.target;
  const mount = query.get('mount');
  const digest = query.get('digest');
  const algorithm = query.get('digest-algorithm') ?? (digest === null ? 'sha256' : undefined);
  for (const given of [mount, digest]) if (given !== null) requireName('digest', given);
  if (algorithm !== undefined && algorithm !== 'sha256' && algorithm !== 'sha512')
    throw new Refusal(400, 'DIGEST_INVALID', 'digest-algorithm is sha256 or sha512');
  const from = query.get('from') ?? undefined;
  if (mount !== null && from !== undefined) requireName('repository', from);
  await permit(exchange, {
    action: 'push',
    repository,
    ...((mount ?? digest) ? { digest: mount ?? (digest as string) } : {}),
    ...(mount !== null && from !== undefined ? { from } : {}),
  });
  if (mount !== null && (await isMounted(exchange, repository, mount, from))) {
    notify(exchange, { action: 'mount', what: 'blob', repository, digest: mount });
    stored(exchange, repository, mount);
    return;
  }
  await requireRoom(exchange, repository, 0);
  const { storage } = exchange.config;
  const id = await storage.startUpload(exchange.namespace, {
    repository,
    algorithm: algorithm ?? algorithmOf(digest ?? ''),
  });
  if (mount === null && digest !== null) {
    await takeWhole(exchange, { repository, id }, digest);
    return;
  }
  const { chunkMinBytes } = exchange.config;
  reply(exchange, 202, {
    ...uploadHeaders(exchange, { repository, id }, 0),
    ...(chunkMinBytes === undefined ? {} : { 'OCI-Chunk-Min-Length': String(chunkMinBytes) }),
  });
}

/** PATCH: a chunk with its place, or whatever comes (end point 5). */
export async function appendToUpload(exchange: Exchange, point: UploadPoint): Promise<void> {
  await permit(exchange, { action: 'push', repository: point.repository });
  const { end } = await receive(exchange, point);
  reply(exchange, 202, uploadHeaders(exchange, point, end));
}

/** PUT: the last bytes, if there are any left, and what all of them must hash to (end point 6). */
export async function completeUpload(exchange: Exchange, point: UploadPoint): Promise<void> {
  const digest = exchange.target.query.get('digest');
  if (digest === null) throw new Refusal(400, 'DIGEST_INVALID', 'the query must say ?digest=');
  requireName('digest', digest);
  await permit(exchange, { action: 'push', repository: point.repository, digest });
  await receive(exchange, point);
  await complete(exchange, point, digest);
}

/** GET: how far it is (end point 13). Never waits for who is writing. */
export async function uploadStatus(exchange: Exchange, point: UploadPoint): Promise<void> {
  await permit(exchange, { action: 'push', repository: point.repository });
  reply(exchange, 204, uploadHeaders(exchange, point, await sizeOf(exchange, point)));
}

/** DELETE: gives it up (end point 14). */
export async function cancelUpload(exchange: Exchange, point: UploadPoint): Promise<void> {
  const { repository, id } = point;
  await permit(exchange, { action: 'push', repository });
  if (!(await exchange.config.storage.cancelUpload(exchange.namespace, id, repository)))
    throw uploadUnknown();
  reply(exchange, 204);
}

/** A client that gets no 201 does not know of the upload that was begun for it. */
async function takeWhole(exchange: Exchange, point: UploadPoint, digest: string): Promise<void> {
  try {
    await receive(exchange, point);
    await complete(exchange, point, digest);
  } catch (error) {
    await giveUp(exchange, point);
    throw error;
  }
}

async function complete(exchange: Exchange, point: UploadPoint, digest: string): Promise<void> {
  const { config, namespace } = exchange;
  const { repository, id } = point;
  const bytes = await sizeIfAsked(exchange, point);
  try {
    await requireQuota(exchange, repository, bytes ?? 0);
  } catch (error) {
    if (isTooMuch(error)) await giveUp(exchange, point);
    throw error;
  }
  await config.storage.storeUpload(namespace, id, digest, repository);
  notify(exchange, {
    action: 'push',
    what: 'blob',
    repository,
    digest,
    ...(bytes === undefined ? {} : { bytes }),
  });
  stored(exchange, repository, digest);
}

/** Takes the body of a request, if it has one, to the end of the upload. */
async function receive(exchange: Exchange, point: UploadPoint): Promise<Pick<Chunk, 'end'>> {
  const { config, namespace, body } = exchange;
  const { repository, id } = point;
  const place = placeOf(exchange);
  if (!body.isPresent && place === undefined) return { end: await sizeOf(exchange, point) };
  try {
    if (config.quota !== undefined) {
      const before = await sizeOf(exchange, point);
      await requireRoom(exchange, repository, before);
      if (body.declared === undefined) body.meter = metered(exchange, repository, before);
    }
    return await config.storage.uploadChunk(namespace, id, body, { repository, ...place });
  } catch (error) {
    if (error instanceof OffsetError) {
      const refusal = refusalOf(error) as Refusal;
      throw new Refusal(refusal.status, refusal.code, refusal.message, {
        cause: error,
        headers: uploadHeaders(exchange, point, error.offset),
      });
    }
    if (isTooMuch(error)) await giveUp(exchange, point);
    throw error;
  }
}

/** No chunk makes that any better. */
function isTooMuch(error: unknown): boolean {
  return error instanceof TooLargeError || (error instanceof Refusal && error.status === 413);
}

/** Of an upload that had so many bytes, with those that the request declares. */
async function requireRoom(exchange: Exchange, repository: string, before: number): Promise<void> {
  const { body, config } = exchange;
  const after = before + (body.declared ?? 0);
  if (after > config.maxBlobBytes) throw new TooLargeError('a blob', config.maxBlobBytes);
  if (body.declared !== undefined) await requireQuota(exchange, repository, after);
}

/** What Content-Range says; both of its ends are inclusive, and there is no unit (OCI distribution-spec 1.1, "Pushing a blob in chunks"). */
function placeOf({ req, body }: Exchange): { offset: number; size: number } | undefined {
  const text = req.headers['content-range'];
  if (text === undefined) return undefined;
  const [, first, last] = /^(\d{1,15})-(\d{1,15})$/.exec(text) ?? [];
  const offset = Number(first);
  const size = Number(last) - offset + 1;
  if (first === undefined || size < 1)
    throw new Refusal(
      400,
      'BLOB_UPLOAD_INVALID',
      'Content-Range must be FIRST-LAST, the positions of the first and the last byte of the chunk',
    );
  if (body.declared !== undefined && body.declared !== size)
    throw new Refusal(
      400,
      'SIZE_INVALID',
      `Content-Range is of ${size} bytes, Content-Length of ${body.declared}`,
    );
  return { offset, size };
}

async function isMounted(
  exchange: Exchange,
  repository: string,
  digest: string,
  from: string | undefined,
): Promise<boolean> {
  const { config, namespace } = exchange;
  const { storage } = config;
  if ((await storage.blobSize(namespace, digest)) === undefined) return false;
  const mayCome =
    from === undefined ? await isAnywhere(exchange, digest) : await isThere(exchange, from, digest);
  return mayCome && storage.linkBlob(namespace, repository, digest);
}

async function isThere(exchange: Exchange, repository: string, digest: string): Promise<boolean> {
  const { config, namespace } = exchange;
  if ((await config.storage.linkedBlobSize(namespace, repository, digest)) === undefined) return false;
  return mayDo(exchange, { action: 'pull', repository, digest });
}

async function isAnywhere(exchange: Exchange, digest: string): Promise<boolean> {
  let looked = 0;
  for await (const repository of exchange.config.storage.repositories(exchange.namespace)) {
    if (await isThere(exchange, repository, digest)) return true;
    if (++looked === MOST_REPOSITORIES) return false;
  }
  return false;
}

async function sizeOf({ config, namespace }: Exchange, { repository, id }: UploadPoint): Promise<number> {
  const status = await config.storage.uploadStatus(namespace, id, repository);
  if (status === undefined) throw uploadUnknown();
  return status.size;
}

/** Undefined where nobody wants to know. */
async function sizeIfAsked(exchange: Exchange, point: UploadPoint): Promise<number | undefined> {
  const { quota, onEvent } = exchange.config;
  return quota === undefined && onEvent === undefined ? undefined : sizeOf(exchange, point);
}

/** What is left then is removed with its age. */
async function giveUp({ config, namespace }: Exchange, { repository, id }: UploadPoint): Promise<void> {
  await config.storage.cancelUpload(namespace, id, repository).catch(() => false);
}

function uploadUnknown(): Refusal {
  return new Refusal(
    404,
    'BLOB_UPLOAD_UNKNOWN',
    'there is no such upload: it was completed, cancelled, or has expired',
  );
}

/** With no bytes the same as with one: the specification has no way to say none, and clients ask only after their first chunk. */
function uploadHeaders({ target }: Exchange, { repository, id }: UploadPoint, size: number): AnswerHeaders {
  return {
    Location: location(target, repository, 'blobs/uploads', id),
    Range: `0-${Math.max(0, size - 1)}`,
    'Docker-Upload-UUID': id,
  };
}

function stored(exchange: Exchange, repository: string, digest: string): void {
  reply(exchange, 201, {
    Location: location(exchange.target, repository, 'blobs', digest),
    'Docker-Content-Digest': digest,
  });
}
