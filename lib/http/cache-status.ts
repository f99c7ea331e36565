/** What one cache did with one request (RFC 9211 2). `hit` and `fwd` exclude each other. */
export interface CacheStatus {
  hit?: boolean;
  /** Why the request went on to the handler or the origin. */
  fwd?: 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial';
  /** The status that came back from there, where it is not the one that was sent. */
  fwdStatus?: number;
  stored?: boolean;
  collapsed?: boolean;
  /** Seconds of freshness left; negative when stale. */
  ttl?: number;
  key?: string;
  detail?: string;
}

const TOKEN = /^[A-Za-z*][!#$%&'*+.^_`|~\w:/-]*$/;
/** RFC 8941 3.3.1: integers have at most 15 digits. */
const LARGEST = 999_999_999_999_999;

/**
 * One member of a Cache-Status list (RFC 9211 2), such as `cache-filter; fwd=uri-miss; stored`. The name and the detail
 * are tokens where they can be.
 */
export function formatCacheStatus(name: string, status: CacheStatus): string {
  const members = [token(name)];
  if (status.hit) members.push('hit');
  if (status.fwd !== undefined) members.push(`fwd=${status.fwd}`);
  if (status.fwdStatus !== undefined) members.push(`fwd-status=${integer(status.fwdStatus)}`);
  if (status.stored) members.push('stored');
  if (status.collapsed) members.push('collapsed');
  if (status.ttl !== undefined) members.push(`ttl=${integer(status.ttl)}`);
  if (status.key !== undefined) members.push(`key=${string(status.key)}`);
  if (status.detail !== undefined) members.push(`detail=${token(status.detail)}`);
  return members.join('; ');
}

/** A Cache-Status value with one more member: the cache closest to the client comes last. */
export function appendCacheStatus(existing: string | undefined, member: string): string {
  return existing ? `${existing}, ${member}` : member;
}

function token(text: string): string {
  return TOKEN.test(text) ? text : string(text);
}

/** An sf-string (RFC 8941 3.3.3), which is printable ASCII: all else is percent-encoded as in a URL. */
function string(text: string): string {
  const encoded = Array.from(Buffer.from(text), (byte) => {
    if (byte < 0x20 || byte > 0x7e) return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    const char = String.fromCharCode(byte);
    return char === '"' || char === '\\' ? `\\${char}` : char;
  });
  return `"${encoded.join('')}"`;
}

function integer(value: number): number {
  return Math.max(-LARGEST, Math.min(LARGEST, Math.floor(value)));
}
