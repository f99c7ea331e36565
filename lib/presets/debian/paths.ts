import { pathOf, segmentsOf } from '../segments.ts';

/** What a path of a package archive names. `path`: in one spelling, without a slash before it, decoded. */
export type Named =
  | { kind: 'pool'; path: string }
  | { kind: 'by-hash'; path: string; digest: string }
  | { kind: 'dists'; path: string };

const HASHES = new Map([
  ['MD5Sum', { algorithm: 'md5', length: 32 }],
  ['SHA1', { algorithm: 'sha1', length: 40 }],
  ['SHA256', { algorithm: 'sha256', length: 64 }],
  ['SHA512', { algorithm: 'sha512', length: 128 }],
]);

const LONGEST_PATH = 1024;

/** The path below the mount point, as it came. */
export function debianPath(requested: string): Named | undefined {
  const segments = segmentsOf(requested);
  if (segments === undefined || segments.length < 3) return undefined;
  const path = segments.join('/');
  if (path.length > LONGEST_PATH) return undefined;
  if (segments[0] === 'pool') return { kind: 'pool', path };
  if (segments[0] !== 'dists') return undefined;
  const [folder, kind, hex = ''] = segments.slice(-3);
  if (folder !== 'by-hash') return { kind: 'dists', path };
  const hash = HASHES.get(kind ?? '');
  if (hash === undefined || hex.length !== hash.length || !/^[0-9a-f]+$/.test(hex)) return undefined;
  return { kind: 'by-hash', path, digest: `${hash.algorithm}:${hex}` };
}

/** What is asked of the upstream. */
export function debianPathOf(path: string): string {
  return pathOf(path.split('/'));
}

/** Whether an index of binary packages may be found there. Not those that have grown beyond what is looked at: the plain ones. */
export function isPackagesIndex(path: string): boolean {
  return /\/binary-[\w-]+\/(?:Packages\.gz|by-hash\/[^/]+\/[^/]+)$/.test(path);
}
