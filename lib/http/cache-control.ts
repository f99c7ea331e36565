import { listMembers } from './headers.ts';

/** Directives by lower-case name; `true` for one without an argument. Quoted arguments come without their quotes. */
export type CacheControl = ReadonlyMap<string, string | true>;

const DIRECTIVE = /^([!#$%&'*+.^_`|~\w-]+)[ \t]*(?:=[ \t]*(.*))?$/s;
const QUOTED = /^"((?:[^"\\]|\\.)*)"$/s;
const TOKEN = /^[!#$%&'*+.^_`|~\w-]*$/;

/** What counts even where it is written so that it is no directive. */
const FORBIDDING: ReadonlySet<string> = new Set(['no-cache', 'no-store', 'private']);

/** RFC 9111 1.2.2: what a number too large to be counted with is taken for. */
const LONGEST = 2 ** 31;

/**
 * The directives of a Cache-Control field (RFC 9111 5.2). Members that are no directive are ignored, but for the words in them
 * that forbid to keep the response: `private; max-age=60` is a slip of the pen, and is meant. Of a directive that is given more than once the stricter counts: RFC 9111 4.2.1 leaves the choice between the first and stale, and
 * the stricter one is right whoever of two authors knew nothing of the other.
 */
export function parseCacheControl(value: string | undefined): CacheControl {
  const directives = new Map<string, string | true>();
  for (const member of listMembers(value ?? '')) {
    const [matched, name = '', argument] = DIRECTIVE.exec(member) ?? [];
    if (matched === undefined || !(argument === undefined || TOKEN.test(argument) || QUOTED.test(argument))) {
      for (const word of member.toLowerCase().split(/[\s;="]+/)) {
        if (FORBIDDING.has(word)) directives.set(word, true);
      }
    }
    if (matched === undefined) continue;
    const key = name.toLowerCase();
    const given = argument === undefined ? true : unquote(argument);
    const earlier = directives.get(key);
    directives.set(key, earlier === undefined ? given : stricter(key, earlier, given));
  }
  return directives;
}

/**
 * Seconds of an argument such as that of `max-age` (RFC 9111 1.2.2): undefined where the directive is absent, 0 (stale)
 * where its argument is missing or no whole number, at most 2 ** 31.
 */
export function deltaSeconds(value: string | true | undefined): number | undefined {
  if (value === undefined) return undefined;
  return value !== true && /^\d+$/.test(value) ? Math.min(Number(value), LONGEST) : 0;
}

function stricter(name: string, first: string | true, second: string | true): string | true {
  switch (name) {
    case 'max-age':
    case 's-maxage':
    case 'stale-while-revalidate':
    case 'stale-if-error':
      return Number(deltaSeconds(second)) < Number(deltaSeconds(first)) ? second : first;
    case 'no-cache':
    case 'private':
      // With an argument they are about some fields only, without one about the whole response.
      return first === true || second === true ? true : `${first}, ${second}`;
    default:
      return first;
  }
}

function unquote(argument: string): string {
  const quoted = QUOTED.exec(argument)?.[1];
  return quoted === undefined ? argument : quoted.replace(/\\(.)/gs, '$1');
}
