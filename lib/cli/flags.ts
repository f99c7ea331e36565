// docs/guides/command-line.md

import { InvalidArgumentError } from 'commander';
import { match as compile } from 'path-to-regexp';
import type { Freshness } from '../policy/freshness.ts';
import { isName } from '../storage/names.ts';

// Each function reads one flag's value, as it was typed or as it came in the environment, and throws InvalidArgumentError
// saying what would be right. commander puts the flag's name and what came in front of it.

const UNITS = new Map([
  [undefined, 1],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
]);

/** '1073741824', '20GiB' */
export function bytes(text: string): number {
  const found = /^(\d+) ?(KiB|MiB|GiB|TiB)?$/.exec(text);
  const value = Number(found?.[1]) * (UNITS.get(found?.[2]) ?? Number.NaN);
  if (!Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('Write whole bytes, or a whole number of KiB, MiB, GiB or TiB: 20GiB.');
  }
  return value;
}

/** Seconds, as milliseconds: '60', '0.5' */
export function seconds(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Number.NaN;
  // setTimeout fires at once beyond 2 ** 31 - 1.
  if (!(value > 0 && value < 2 ** 31)) {
    throw new InvalidArgumentError('Write a number of seconds above 0: 60.');
  }
  return value;
}

export function port(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 65535)) {
    throw new InvalidArgumentError('Write a number from 0 to 65535; 0 takes any free port and says which.');
  }
  return value;
}

/** One more `--origin`; several in one value are separated by spaces, so that a variable can hold them. */
export function originUrls(text: string, before: readonly URL[] = []): URL[] {
  return [...before, ...text.trim().split(/\s+/).map(originUrl)];
}

/** A server's address. A path is allowed, and kept in front of the paths of requests. */
export function originUrl(text: string): URL {
  const url = httpUrl(text, 'http://127.0.0.1:9292');
  if (url.search !== '' || url.hash !== '') {
    throw new InvalidArgumentError(
      'It may have a path, but no query and no fragment: http://127.0.0.1:9292/image.',
    );
  }
  return url;
}

export function questionUrl(text: string): URL {
  const url = httpUrl(text, 'http://127.0.0.1:8000/may-read');
  if (url.hash !== '') throw new InvalidArgumentError('It may have a path and a query, but no fragment.');
  return url;
}

function httpUrl(text: string, example: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new InvalidArgumentError(
      `Write a URL that begins with http:// or https://, for example ${example}.`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new InvalidArgumentError(
      'It may not hold a user name or password: callers bring their own credentials.',
    );
  }
  return url;
}

/** The requests that are cached: a preset's name, or patterns. */
export type Routes = 'glance' | 'all' | string[];

/** One more `--routes`; several in one value are separated by spaces, so that a variable can hold them. */
export function routes(text: string, before?: Routes): Routes {
  let all = before;
  for (const word of text.split(/\s+/).filter((each) => each !== '')) all = withRoute(word, all);
  if (all === undefined) throw new InvalidArgumentError(ROUTES_HINT);
  return all;
}

const ROUTES_HINT = "Write glance, all, or a path pattern such as '/files/:id' (several: repeat --routes).";

function withRoute(word: string, before: Routes | undefined): Routes {
  const preset = word === 'glance' || word === 'all';
  if (!preset && !word.startsWith('/')) throw new InvalidArgumentError(ROUTES_HINT);
  if (before !== undefined && (preset || !Array.isArray(before))) {
    throw new InvalidArgumentError('glance and all stand alone; only path patterns can be several.');
  }
  if (preset) return word;
  try {
    compile(word);
  } catch (error) {
    throw new InvalidArgumentError(`It is no pattern of path-to-regexp 8: ${(error as Error).message}`);
  }
  return [...(before ?? []), word];
}

/** 'response', 'immutable', or seconds */
export function freshness(text: string): Freshness {
  if (text === 'response' || text === 'immutable') return text;
  try {
    return { ttlMs: seconds(text) };
  } catch {
    throw new InvalidArgumentError('Write response, immutable, or a number of seconds above 0.');
  }
}

/** How it is decided who may have what is in the cache; see `authorization` in the guide. */
export type Authorize = 'anyone' | 'download' | 'visible';

export function authorize(text: string): Authorize {
  if (text === 'anyone' || text === 'download' || text === 'visible') return text;
  throw new InvalidArgumentError('Write anyone; or, with --routes glance, download or visible.');
}

/** The value of a variable for a flag that has no value. */
export function yesOrNo(text: string): boolean | undefined {
  if (/^(1|true|yes|on)$/i.test(text)) return true;
  return /^(0|false|no|off)$/i.test(text) ? false : undefined;
}

const AGES = new Map([
  [undefined, 1],
  ['m', 60],
  ['h', 3_600],
  ['d', 86_400],
]);

/** '3600', '90d', as milliseconds. No timer waits for it, so that it may be of any length. */
export function age(text: string): number {
  const found = /^(\d+)([mhd])?$/.exec(text);
  const value = Number(found?.[1]) * (AGES.get(found?.[2]) ?? Number.NaN) * 1000;
  if (!Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('Write whole seconds, or a whole number of m, h or d: 90d.');
  }
  return value;
}

export function count(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(Number.isSafeInteger(value) && value > 0))
    throw new InvalidArgumentError('Write a number from 1 on.');
  return value;
}

/** From 0 on. */
export function whole(text: string): number {
  return text === '0' ? 0 : count(text);
}

export type ColdRange = 'direct' | 'fill' | 'bypass';

export function coldRange(text: string): ColdRange {
  if (text === 'direct' || text === 'fill' || text === 'bypass') return text;
  throw new InvalidArgumentError('Write direct, fill or bypass.');
}

/** Of a storage. */
export function namespace(text: string): string {
  if (isName('namespace', text)) return text;
  throw new InvalidArgumentError('Write lower-case letters and digits, with . _ - between them.');
}

/** One more `--namespace`; several in one value are separated by spaces, so that a variable can hold them. */
export function namespaces(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.trim().split(/\s+/).map(namespace)];
}

/** Of a line `name:hash`, of which those that begin with # are comments. */
export function userName(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (text !== '' && text.trim() === text && !/^#|[:\x00-\x1f\x7f]/.test(text)) return text;
  throw new InvalidArgumentError('Write a name without colons, not beginning with #.');
}
