import { type Finding, fail, type Look, ok, warn } from './check.ts';

/** The time by which entries are fresh or stale. */
export const clock: Look = {
  name: 'clock',
  async look({ contents }) {
    return judgeClock(Date.now(), (await contents.catch(() => undefined))?.latest ?? 0);
  },
};

/** No version of this package is older. */
const EARLIEST = Date.UTC(2025, 0);
const LATEST = Date.UTC(2100, 0);

/** Entries dated so much later than now, in milliseconds, say that the clock was set back. */
const TOLERANCE_MS = 60_000;

/**
 * @param now what the clock says, in milliseconds since the epoch
 * @param latest when the latest entry was stored, 0 for none
 */
export function judgeClock(now: number, latest: number): Finding {
  const fact = new Date(now).toISOString();
  if (now < EARLIEST || now >= LATEST) {
    return fail(
      fact,
      'this can not be the time: entries would be taken for fresh that are stale, or the other way round',
      'Set the clock, and keep it right by NTP.',
    );
  }
  if (latest > now + TOLERANCE_MS) {
    return warn(
      `${fact}; an entry was stored at ${new Date(latest).toISOString()}`,
      'the clock was wrong then, or is now: entries with a limited lifetime are served for longer than they should be',
      'Set the clock; if it is right, delete the entries.',
    );
  }
  return ok(fact);
}
