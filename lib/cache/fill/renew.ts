// docs/reference/disk-format.md

import createDebug from 'debug';
import { SupersededError } from '../../errors.ts';
import type { ResponseHead } from '../../http/body.ts';
import { freshened } from '../../http/freshened.ts';
import type { Declined, DeclineReason, Entry, RefreshOptions } from '../cache.ts';
import { charge } from '../charge.ts';
import { type EntryRecord, encodeRecord } from '../record.ts';
import { Reservation } from '../reservation.ts';
import type { FillPlace } from './begin.ts';
import type { ClaimFile } from './claim.ts';
import { publish } from './publish.ts';

const debug = createDebug('cache-filter:fill');

/** A source that adds a field with each of its answers does not make a head grow beyond this, in bytes. */
const MOST_RECORD_BYTES = 128 * 1024;

/** What a file system says that has no second names for files: nothing is wrong with the store. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set([
  'EMLINK',
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EPERM',
  'EXDEV',
]);

/** One entry that is to be brought up to date. */
export interface Renewal {
  claim: ClaimFile;
  /** As it was found when the key was claimed. */
  previous: Entry | undefined;
  update: ResponseHead;
  options: RefreshOptions;
  /** It was purged, though the store may not have let go of its claim. */
  isRevoked(): boolean;
  /** The claim has become the record. */
  published(): void;
}

/** Puts a new record in the place of an entry's, with the same body. Never rejects; undefined: it is done. */
export async function renew(place: FillPlace, renewal: Renewal): Promise<Declined | undefined> {
  const { claim, previous, update, options } = renewal;
  const { layout, entries, failed } = place;
  const { name, fill, key } = claim;
  const reservation = new Reservation(entries.ledger, (reserved) => claim.say({ reserved }));
  try {
    const before = await entries.record(key);
    if (before === undefined || layout.body(name, before.fill) !== previous?.path)
      return declined('superseded');
    const head = freshened(before.head, update);
    if (head === undefined) return declined('changed');
    const { storedAt = Date.now(), version = before.version } = options;
    const record: EntryRecord = {
      ...before,
      head,
      storedAt,
      ...(version === undefined ? {} : { version }),
      fill,
    };
    const [bytes, bytesBefore] = [record, before].map((each) => encodeRecord(each).byteLength) as [
      number,
      number,
    ];
    if (bytes > Math.max(MOST_RECORD_BYTES, bytesBefore)) return declined('too-large');
    // Beside the one that is there: both are on disk for a moment.
    if (!(await reservation.reach(charge(0, bytes)))) return declined('no-room');
    const publishing = { modes: place.modes, durable: place.durability === 'commit' };
    await entries.replace(
      { name, fill, size: record.size, isSame: true },
      async () => {
        if (renewal.isRevoked()) throw new SupersededError('the key was purged meanwhile');
        return publish(layout, claim, { record, renews: before.fill }, publishing);
      },
      () => {
        renewal.published();
        reservation.release();
      },
    );
    await place.stored(name);
    return undefined;
  } catch (error) {
    debug('%s is not renewed: %o', key.primary, error);
    if (error instanceof SupersededError) return declined('superseded');
    const { syscall, code } = error as NodeJS.ErrnoException;
    if (!(syscall === 'link' && NO_LINKS.has(code))) failed(error, 'store');
    return declined('store-down');
  } finally {
    reservation.release();
  }
}

function declined(reason: DeclineReason): Declined {
  return { declined: reason };
}
