import { Refusal } from './answers.ts';

/** What of a sorted list is asked for: at most `n` after `last` (OCI distribution-spec 1.1, "Listing tags"). */
export interface Page {
  n: number | undefined;
  last: string | undefined;
}

/** @throws Refusal */
export function pageOf(query: URLSearchParams): Page {
  const n = query.get('n');
  if (n !== null && !/^\d{1,9}$/.test(n)) throw new Refusal(400, 'UNSUPPORTED', 'n must be a whole number');
  return { n: n === null ? undefined : Number(n), last: query.get('last') ?? undefined };
}

/** In the order that paging goes by: that of ASCII. */
export function isAfter(name: string, last: string | undefined): boolean {
  return last === undefined || name > last;
}

/** Where the next page is. */
export function linkTo(path: string, n: number, last: string): string {
  return `<${path}?${new URLSearchParams({ n: String(n), last })}>; rel="next"`;
}
