/** What a path of the distribution API names, as far as it is read. */
export type Named =
  | { kind: 'ping' }
  | { kind: 'blob'; name: string; digest: string }
  | { kind: 'manifest'; name: string; digest: string }
  | { kind: 'tag'; name: string; tag: string }
  | { kind: 'tags'; name: string }
  | { kind: 'referrers'; name: string; digest: string };

// The grammar of the distribution specification.
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const LONGEST_NAME = 255;

/** The path below the mount point, as it came. But for the colon of a digest nothing in it may be escaped: nothing has to be. */
export function ociPath(path: string): Named | undefined {
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' };
  const plain = path.replace(/%3a/i, ':');
  if (!plain.startsWith('/v2/') || plain.includes('%')) return undefined;
  const segments = plain.slice('/v2/'.length).split('/');
  const [last = ''] = segments.splice(-1);
  const [what] = segments.splice(-1);
  const name = segments.join('/');
  if (name.length > LONGEST_NAME || !segments.every((segment) => COMPONENT.test(segment))) return undefined;
  if (name === '') return undefined;
  if (what === 'tags' && last === 'list') return { kind: 'tags', name };
  if (what === 'manifests' && TAG.test(last)) return { kind: 'tag', name, tag: last };
  if (!DIGEST.test(last)) return undefined;
  if (what === 'manifests') return { kind: 'manifest', name, digest: last };
  if (what === 'blobs') return { kind: 'blob', name, digest: last };
  return what === 'referrers' ? { kind: 'referrers', name, digest: last } : undefined;
}

/** What is asked of the upstream. */
export function ociPathOf(named: Exclude<Named, { kind: 'ping' }>, name: string = named.name): string {
  switch (named.kind) {
    case 'blob':
      return `/v2/${name}/blobs/${named.digest}`;
    case 'manifest':
      return `/v2/${name}/manifests/${named.digest}`;
    case 'tag':
      return `/v2/${name}/manifests/${named.tag}`;
    case 'tags':
      return `/v2/${name}/tags/list`;
    case 'referrers':
      return `/v2/${name}/referrers/${named.digest}`;
  }
}
