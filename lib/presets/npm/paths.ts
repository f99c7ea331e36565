import { segmentsOf } from '../segments.ts';

/** What a path of a package registry names. */
export type Named =
  | { kind: 'packument'; name: string; version?: string }
  | { kind: 'tarball'; name: string; file: string }
  /** Something about the moment, or about the whole registry. */
  | { kind: 'relayed' };

/** Letters of names that were ever allowed. None begins with a dot or an underscore, so none is `__proto__`. */
const NAME = /^[A-Za-z0-9~!'()*-][A-Za-z0-9._~!'()*-]*$/;
const LONGEST_NAME = 214;
const FILE = /^[A-Za-z0-9~!'()*-][A-Za-z0-9._~!'()*+-]*\.tgz$/;
const LONGEST_FILE = 512;
const VERSION = /^[A-Za-z0-9][A-Za-z0-9.+-]{0,255}$/;
const RELAYED = /^\/-\/(ping|v1\/search|npm\/v1\/keys)$/;

/** The path below the mount point, as it came. A package's name has one spelling: `@scope/name`. */
export function npmPath(path: string): Named | undefined {
  if (RELAYED.test(path)) return { kind: 'relayed' };
  // The one slash that clients escape.
  const segments = segmentsOf(path.replace(/^\/(?:@|%40)([^/%]+)%2f/i, '/@$1/'));
  if (segments === undefined) return undefined;
  const length = segments[0]?.startsWith('@') ? 2 : 1;
  const name = segments.slice(0, length).join('/');
  if (!isPackageName(name)) return undefined;
  const rest = segments.slice(length);
  if (rest[0] === '-') {
    const file = rest.slice(1).join('/');
    return isFile(file) ? { kind: 'tarball', name, file } : undefined;
  }
  // Below `/-/` there are no packages.
  if (rest.length > 1 || (name === '-' && rest.length > 0)) return undefined;
  const [version] = rest;
  if (version === undefined) return { kind: 'packument', name };
  return VERSION.test(version) ? { kind: 'packument', name, version } : undefined;
}

function isPackageName(name: string): boolean {
  if (name.length > LONGEST_NAME) return false;
  const [scope, bare = scope, ...more] = name.startsWith('@') ? name.slice(1).split('/') : [name];
  if (more.length > 0 || scope === undefined || bare === undefined) return false;
  if (name.startsWith('@') && !name.includes('/')) return false;
  return NAME.test(scope) && NAME.test(bare);
}

/** Some registries repeat the scope: `@scope/name/-/@scope/name-1.0.0.tgz`. */
function isFile(file: string): boolean {
  const [scope, bare] = file.startsWith('@') ? file.slice(1).split('/', 2) : [undefined, file];
  if (file.length > LONGEST_FILE || file.split('/').length !== (scope === undefined ? 1 : 2)) return false;
  return (scope === undefined || NAME.test(scope)) && FILE.test(bare ?? '');
}

/** What is asked of the upstream, as npm itself writes it. */
export function packumentPath(name: string, version?: string): string {
  return `/${escaped(name).replace('/', '%2f')}${version === undefined ? '' : `/${encodeURIComponent(version)}`}`;
}

export function tarballPath(name: string, file: string): string {
  return `/${escaped(name)}/-/${escaped(file)}`;
}

function escaped(text: string): string {
  return encodeURIComponent(text).replaceAll('%40', '@').replaceAll('%2F', '/');
}
