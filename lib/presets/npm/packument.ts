import { parseDigest } from '../../http/digest.ts';
import { npmPath, tarballPath } from './paths.ts';

/** What a packument says of one tarball. */
export interface Tarball {
  /** What it hashes to: `sha512-…`; undefined where nothing usable is said. */
  digest?: string;
  /** Where it is, if not where the registry would have it. */
  url?: string;
}

export interface Packument {
  /** With the URLs of its tarballs changed; undefined where nothing had to be. */
  body?: Buffer;
  /** By file name. */
  tarballs: Map<string, Tarball>;
}

export interface TarballRules {
  publicUrl: string;
  /** Host (and port) of the upstream, and the path that comes before the packages' names. */
  host: string;
  prefix: string;
  /** Other hosts whose tarballs are mirrored. */
  tarballHosts: ReadonlySet<string>;
}

/** Reads a packument, or the description of one version; undefined for what is neither. */
export function readPackument(bytes: Buffer, name: string, rules: TarballRules): Packument | undefined {
  const tarballs = new Map<string, Tarball>();
  let changed = false;
  try {
    const document: unknown = JSON.parse(bytes.toString('utf8'));
    if (!isRecord(document)) return undefined;
    const versions = own(document, 'versions');
    for (const manifest of isRecord(versions) ? Object.values(versions) : [document]) {
      const dist = isRecord(manifest) ? own(manifest, 'dist') : undefined;
      if (!isRecord(dist)) continue;
      const place = placeOf(own(dist, 'tarball'), name, rules);
      if (place === undefined) continue;
      const { file, url } = place;
      const digest = digestOf(dist);
      const before = tarballs.get(file);
      const agreed = before === undefined || before.digest === digest ? digest : undefined;
      tarballs.set(file, {
        ...(agreed === undefined ? {} : { digest: agreed }),
        ...(url === undefined ? {} : { url }),
      });
      dist['tarball'] = `${rules.publicUrl}${tarballPath(name, file)}`;
      changed = true;
    }
    return { tarballs, ...(changed ? { body: Buffer.from(JSON.stringify(document)) } : {}) };
  } catch {
    // No JSON, or nested deeper than can be written again.
    return undefined;
  }
}

/** The file that a tarball's URL names, if it is one that we mirror. */
function placeOf(
  tarball: unknown,
  name: string,
  { host, prefix, tarballHosts }: TarballRules,
): { file: string; url?: string } | undefined {
  if (typeof tarball !== 'string' || !URL.canParse(tarball)) return undefined;
  const url = new URL(tarball);
  if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return undefined;
  if (url.host === host) {
    if (!url.pathname.startsWith(`${prefix}/`) || url.search !== '') return undefined;
    const named = npmPath(url.pathname.slice(prefix.length));
    // A package says nothing about the tarballs of another one.
    return named?.kind === 'tarball' && named.name === name ? { file: named.file } : undefined;
  }
  if (!tarballHosts.has(url.host)) return undefined;
  url.hash = '';
  const named = npmPath(tarballPath(name, url.pathname.slice(url.pathname.lastIndexOf('/') + 1)));
  return named?.kind === 'tarball' ? { file: named.file, url: url.href } : undefined;
}

const STRONGEST_FIRST = ['sha512', 'sha384', 'sha256', 'sha1'] as const;

/** The strongest of `integrity` (SRI), else `shasum` (SHA-1). Of several hashes of one algorithm any would do: that says too little. */
function digestOf(dist: Record<string, unknown>): string | undefined {
  const integrity = own(dist, 'integrity');
  const hashes = (typeof integrity === 'string' ? integrity.split(/\s+/, 16) : []).flatMap((hash) => {
    const text = hash.replace(/\?.*$/s, '');
    const digest = /^sha(1|256|384|512)-/.test(text) ? parseDigest(text) : undefined;
    return digest === undefined ? [] : [{ ...digest, text }];
  });
  for (const algorithm of STRONGEST_FIRST) {
    const [first, ...others] = hashes.filter((hash) => hash.algorithm === algorithm);
    if (first !== undefined) return others.every(({ hex }) => hex === first.hex) ? first.text : undefined;
  }
  const shasum = own(dist, 'shasum');
  return typeof shasum === 'string' && /^[0-9a-f]{40}$/i.test(shasum) ? `sha1:${shasum}` : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Documents come from elsewhere: what they inherit they do not say. */
function own(record: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
