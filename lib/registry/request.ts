import type { AnyRequest } from '../http/message.ts';

/** What a request names (OCI distribution-spec 1.1, "Endpoints"). None of the names has been checked. */
export type EndPoint =
  | { kind: 'root' }
  | { kind: 'catalog' }
  | { kind: 'tags'; repository: string }
  | { kind: 'uploads'; repository: string }
  | { kind: 'upload'; repository: string; id: string }
  | { kind: 'blob'; repository: string; digest: string }
  | { kind: 'manifest'; repository: string; reference: string }
  | { kind: 'referrers'; repository: string; digest: string };

export interface Target {
  /** What stands before `/v2`: where the registry is mounted. */
  prefix: string;
  /** Undefined where there is no such end point. */
  endPoint: EndPoint | undefined;
  query: URLSearchParams;
}

/** What a request asks for; undefined where that is not below `/v2`. */
export function parseTarget(req: AnyRequest): Target | undefined {
  const url = withoutHost(req.url ?? '/');
  const [path = '', ...rest] = url.split('?');
  const [empty, v2, ...segments] = path.split('/');
  if (empty !== '' || v2 !== 'v2') return undefined;
  return {
    prefix: prefixOf(req, url),
    endPoint: endPointOf(segments.map(decoded)),
    query: new URLSearchParams(rest.join('?')),
  };
}

/** Where a blob, manifest or upload is, as a reference relative to the host: behind a proxy nothing else is known for certain. */
export function location(
  { prefix }: Pick<Target, 'prefix'>,
  repository: string,
  kind: 'blobs' | 'blobs/uploads' | 'manifests' | 'referrers' | 'tags',
  name: string,
): string {
  return `${prefix}/v2/${repository}/${kind}/${name}`;
}

/** Read from the right: a repository may be called `blobs`, or `a/tags/list`. */
function endPointOf(segments: readonly string[]): EndPoint | undefined {
  if (segments.length === 0 || (segments.length === 1 && segments[0] === '')) return { kind: 'root' };
  if (segments.length === 1 && segments[0] === '_catalog') return { kind: 'catalog' };
  const last = segments.at(-1) ?? '';
  const kind = segments.at(-2);
  const before = (count: number): string => segments.slice(0, -count).join('/');
  if (segments.at(-3) === 'blobs' && kind === 'uploads')
    return named(
      last === ''
        ? { kind: 'uploads', repository: before(3) }
        : { kind: 'upload', repository: before(3), id: last },
    );
  switch (kind) {
    case 'tags':
      return last === 'list' ? named({ kind: 'tags', repository: before(2) }) : undefined;
    case 'blobs':
      return named(
        last === 'uploads'
          ? { kind: 'uploads', repository: before(2) }
          : { kind: 'blob', repository: before(2), digest: last },
      );
    case 'manifests':
      return named({ kind: 'manifest', repository: before(2), reference: last });
    case 'referrers':
      return named({ kind: 'referrers', repository: before(2), digest: last });
    default:
      return undefined;
  }
}

function named<P extends EndPoint & { repository: string }>(endPoint: P): P | undefined {
  return endPoint.repository === '' ? undefined : endPoint;
}

/** A slash that was encoded is part of no name, and what can't be decoded neither: both stay as they are, and are refused as names. */
function decoded(segment: string): string {
  try {
    const text = decodeURIComponent(segment);
    return text.includes('/') ? segment : text;
  } catch {
    return segment;
  }
}

/** What Express and Connect have taken off the path. */
function prefixOf(req: AnyRequest, url: string): string {
  const { originalUrl } = req as { originalUrl?: unknown };
  if (typeof originalUrl !== 'string') return '';
  const original = withoutHost(originalUrl);
  if (!original.endsWith(url)) return '';
  // With two slashes it would name a host.
  return original
    .slice(0, original.length - url.length)
    .replace(/^\/+/, '/')
    .replace(/\/$/, '');
}

/** A target may name the host (RFC 9112, 3.2.2). */
function withoutHost(url: string): string {
  const rest = /^https?:\/\/[^/?]*(.*)$/i.exec(url)?.[1];
  return rest ?? url;
}
