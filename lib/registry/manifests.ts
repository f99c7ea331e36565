import { Readable } from 'node:stream';
import { TooLargeError } from '../errors.ts';
import type { Body } from '../http/body.ts';
import { listMembers } from '../http/headers.ts';
import { send } from '../response/send.ts';
import { isDigest, isName, requireName } from '../storage/names.ts';
import { Refusal } from './answers.ts';
import { permit } from './authorize.ts';
import { FOR_EVER, INERT } from './blobs.ts';
import type { Exchange } from './exchange.ts';
import type { Question } from './hooks.ts';
import { notify } from './notify.ts';
import { reply } from './reply.ts';
import { location } from './request.ts';

interface ManifestPoint {
  repository: string;
  reference: string;
}

/** One request may give a manifest so many tags. */
const MOST_TAGS = 100;

/** For a manifest, while it comes, in bytes. */
const LEAST_MEMORY = 16 * 1024;

/** GET and HEAD (end point 3). */
export async function pullManifest(exchange: Exchange, point: ManifestPoint): Promise<void> {
  const { config, namespace, req, res } = exchange;
  const { repository, reference } = point;
  await permit(exchange, { action: 'pull', ...named(point) });
  const accept = accepted(req.headers.accept);
  const manifest = isName(isDigest(reference) ? 'digest' : 'tag', reference)
    ? await config.storage.getManifest(namespace, repository, reference, accept && { accept })
    : undefined;
  if (manifest === undefined) throw manifestUnknown();
  const { bytes, digest, mediaType } = manifest;
  const body: Body = {
    head: {
      status: 200,
      headers: [
        ['Content-Type', mediaType],
        ['Docker-Content-Digest', digest],
        ['ETag', `"${digest}"`],
        ...(isDigest(reference)
          ? ([['Cache-Control', FOR_EVER]] as const)
          : ([
              ['Cache-Control', 'no-cache'],
              ['Vary', 'Accept'],
            ] as const)),
        ...INERT,
      ],
      merged: ['vary'],
    },
    size: bytes.byteLength,
    bytes,
    read: (range) => Readable.from([bytes.subarray(range?.start ?? 0, range?.end)]),
    release: () => undefined,
  };
  const asked = { method: req.method ?? 'GET', headers: req.headers };
  const sent = await send(asked, res, body, { timeoutMs: config.sendTimeoutMs });
  if (sent.complete && sent.bytes > 0)
    notify(exchange, {
      action: 'pull',
      what: 'manifest',
      repository,
      digest,
      ...tagOf(reference),
      bytes: sent.bytes,
    });
}

/** PUT (end points 7a and 7b). */
export async function pushManifest(exchange: Exchange, point: ManifestPoint): Promise<void> {
  const { config, namespace, req } = exchange;
  const { repository, reference } = point;
  requireName(isDigest(reference) ? 'digest' : 'tag', reference);
  const tags = tagsOf(exchange, reference);
  await permit(exchange, { action: 'push', ...named(point) });
  for (const tag of tags)
    await permit(exchange, { action: 'push', repository, digest: reference, reference: tag });
  const bytes = await whole(exchange);
  const mediaType = typeOf(req.headers['content-type']);
  const put = await config.storage.putManifest(namespace, repository, reference, bytes, {
    ...(mediaType === undefined ? {} : { mediaType }),
    ...(tags.length === 0 ? {} : { tags }),
  });
  const { digest, subject } = put;
  for (const tag of isDigest(reference) ? [undefined, ...tags].slice(tags.length > 0 ? 1 : 0) : [reference])
    notify(exchange, {
      action: 'push',
      what: 'manifest',
      repository,
      digest,
      ...(tag === undefined ? {} : { tag }),
      bytes: bytes.byteLength,
    });
  reply(exchange, 201, {
    Location: location(exchange.target, repository, 'manifests', digest),
    'Docker-Content-Digest': digest,
    ...(subject === undefined ? {} : { 'OCI-Subject': subject }),
    ...(tags.length === 0 ? {} : { 'OCI-Tag': tags.filter((tag) => put.tags.includes(tag)) }),
  });
}

/** DELETE (end point 9): of a tag only the tag; of a digest the manifest, and every tag on it. */
export async function deleteManifest(exchange: Exchange, point: ManifestPoint): Promise<void> {
  const { config, namespace } = exchange;
  const { repository, reference } = point;
  requireName(isDigest(reference) ? 'digest' : 'tag', reference);
  await permit(exchange, { action: 'delete', ...named(point) });
  if (!(await config.storage.deleteManifest(namespace, repository, reference))) throw manifestUnknown();
  notify(exchange, {
    action: 'delete',
    what: 'manifest',
    repository,
    ...(isDigest(reference) ? { digest: reference } : { tag: reference }),
  });
  reply(exchange, 202);
}

function named({ repository, reference }: ManifestPoint): Omit<Question, 'action'> {
  return { repository, ...(isDigest(reference) ? { digest: reference } : { reference }) };
}

function tagOf(reference: string): { tag?: string } {
  return isDigest(reference) ? {} : { tag: reference };
}

/** More tags for a manifest that is pushed by its digest: repeated, or as a list. */
function tagsOf({ target }: Exchange, reference: string): string[] {
  const tags = new Set(target.query.getAll('tag').flatMap((list) => list.split(',')));
  if (tags.size > 0 && !isDigest(reference))
    throw new Refusal(
      400,
      'MANIFEST_INVALID',
      'more tags are taken for a manifest that is pushed by its digest',
    );
  for (const tag of tags) requireName('tag', tag);
  if (tags.size > MOST_TAGS)
    throw new Refusal(414, 'MANIFEST_INVALID', `one request may give a manifest ${MOST_TAGS} tags`);
  return [...tags];
}

/** All of the body, in one piece of memory: of a client that sends it byte by byte the pieces would take hundreds of times as much. @throws TooLargeError */
async function whole({ body, config }: Exchange): Promise<Buffer> {
  const { maxManifestBytes: most } = config;
  if ((body.declared ?? 0) > most) throw new TooLargeError('a manifest', most);
  let memory = Buffer.alloc(0);
  let bytes = 0;
  for await (const piece of body) {
    const end = bytes + piece.byteLength;
    if (end > most) throw new TooLargeError('a manifest', most);
    if (end > memory.byteLength) {
      const grown = Buffer.alloc(Math.min(most, Math.max(end, 2 * bytes, LEAST_MEMORY)));
      memory.copy(grown, 0, 0, bytes);
      memory = grown;
    }
    memory.set(piece, bytes);
    bytes = end;
  }
  return memory.subarray(0, bytes);
}

/** A media type without its parameters. */
function typeOf(contentType: string | undefined): string | undefined {
  const type = contentType?.split(';')[0]?.trim();
  return type === '' ? undefined : type;
}

/** The media types that are wanted, those that are wanted most first (RFC 9110, 12.5.1); undefined: whatever there is. */
function accepted(header: string | undefined): string[] | undefined {
  if (header === undefined) return undefined;
  const wanted = listMembers(header).flatMap((member) => {
    const [type = '', ...parameters] = member.split(';').map((part) => part.trim());
    const quality = Number(parameters.find((each) => /^q=/i.test(each))?.slice(2) ?? 1);
    return quality > 0 ? [{ type, quality }] : [];
  });
  return wanted.sort((one, other) => other.quality - one.quality).map(({ type }) => type);
}

function manifestUnknown(): Refusal {
  return new Refusal(404, 'MANIFEST_UNKNOWN', 'the repository has no such manifest');
}
