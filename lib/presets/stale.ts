/** What an upstream that can't be reached has said before is better than nothing: so long it is served, in milliseconds. */
export const STALE_IF_ERROR_MS: number = 24 * 60 * 60 * 1000;
