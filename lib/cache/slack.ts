/** Where room is needed a little more is made, so that not every admission has to wait for it: this part of the budget, */
const PART = 64;
/** at most so much, */
const MOST_BYTES = 64 * 2 ** 20;
/** and none in a budget where it would be less than this. */
const LEAST_BYTES = 2 ** 20;

/** How far below the limit a budget is taken where something has to go, in bytes. */
export function slackOf(maxBytes: number): number {
  const slack = Math.min(MOST_BYTES, Math.floor(maxBytes / PART));
  return slack < LEAST_BYTES ? 0 : slack;
}
