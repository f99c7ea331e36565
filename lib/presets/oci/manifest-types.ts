/** What a manifest may be. */
const MANIFEST_TYPES: readonly string[] = [
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.artifact.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
];

const MEDIA_TYPE = /^(?:\*|[\w!#$&^.+-]+)\/(?:\*|[\w!#$&^.+-]+)$/;
const MOST_TYPES = 32;
const LONGEST_TYPE = 127;

/** What to ask a registry for: some say of what is not named by its very type that it is not there. */
export function acceptable(accept: string | undefined): string {
  const types = manifestTypes(accept);
  return types === '' || /(^| )\*\/\*(,|$)/.test(types) ? ANY_MANIFEST : types;
}

/** Whatever is there. */
export const ANY_MANIFEST: string = [...MANIFEST_TYPES, '*/*'].join(', ');

/**
 * The media types of an Accept field in one order, in lower case, once each, without weights: clients that take the same things ask for
 * the same. Those with a weight of 0, malformed ones, and what is beyond 32 of them, are left out. `''` where nothing is left.
 */
export function manifestTypes(accept: string | undefined): string {
  const types = new Set<string>();
  for (const member of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = member.split(';').map((part) => part.trim().toLowerCase());
    if (type.length > LONGEST_TYPE || !MEDIA_TYPE.test(type)) continue;
    if (parameters.some((parameter) => /^q\s*=\s*0(\.0*)?$/.test(parameter))) continue;
    types.add(type);
    if (types.size === MOST_TYPES) break;
  }
  return [...types].sort().join(', ');
}
