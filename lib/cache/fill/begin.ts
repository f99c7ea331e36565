import type * as fs from 'node:fs/promises';
import createDebug from 'debug';
import { IntegrityError, StoreError, SupersededError } from '../../errors.ts';
import { createNew, writeAt } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import type { ResponseHead } from '../../http/body.ts';
import type { Declined, EntryInfo, FillOptions, Key } from '../cache.ts';
import { charge } from '../charge.ts';
import type { Doing } from '../fault.ts';
import type { FileEntries } from '../file-entries.ts';
import type { InvalidBodies } from '../invalid.ts';
import { encodeRecord, mostRecordBytes } from '../record.ts';
import { Reservation } from '../reservation.ts';
import type { ClaimFile } from './claim.ts';
import { FileFill } from './file-fill.ts';
import { fillInfo } from './fill-reader.ts';
import type { ForeignFill } from './foreign-fill.ts';
import { tooLarge } from './proof.ts';
import { publish } from './publish.ts';
import { ReaderMark } from './reader-mark.ts';

const debug = createDebug('cache-filter:fill');

/** A running fill's budget grows by at least this, where its length is not known; less where the budget is small. */
const GROW_BYTES = 4 * 1024 * 1024;

/** What a fill needs of the cache that it belongs to. */
export interface FillPlace {
  layout: Layout;
  modes: { file: number; directory: number };
  durability: 'none' | 'commit';
  maxBytes: number;
  maxEntryBytes: number;
  entries: FileEntries;
  invalid: InvalidBodies;
  /** Stores something new; where room is wanting, makes so many bytes of it, and tries once more. */
  attempt<T>(act: () => Promise<T>, bytes: number): Promise<T>;
  /** Hears of what fails otherwise. Never throws. */
  failed(error: unknown, doing: Doing): void;
  /** What has this name has been stored. Never rejects. */
  stored(name: string): Promise<void>;
}

/** One fill that is to begin, and whom to tell what becomes of it. */
export interface Beginning {
  key: Key;
  claim: ClaimFile;
  head: ResponseHead;
  options: FillOptions;
  /** What another process has begun. */
  before?: ForeignFill;
  /** It was purged, though the store may not have let go of its claim. */
  isRevoked(): boolean;
  /** Removes a file, now or when that is possible. Never rejects. */
  remove(path: string): Promise<void>;
  /** Nobody may join any more. */
  unjoinable(): void;
  /** It has an end, but may still be read. */
  ended(fill: FileFill): void;
  /** Its claim is not needed any more; `published`: it has become a record. */
  over(published: boolean): Promise<void>;
}

/** Makes room and a file for a body. Where it is declined, `over` has been called. */
export async function begin(place: FillPlace, beginning: Beginning): Promise<FileFill | Declined> {
  const { layout, modes, durability, maxBytes, maxEntryBytes, entries, invalid, stored, attempt, failed } =
    place;
  const { key, claim, head, options, before } = beginning;
  const publishing = { modes, durable: durability === 'commit' };
  const { name } = claim;
  const { size } = options;
  const reservation = new Reservation(entries.ledger, (reserved) => claim.say({ reserved }));
  const path = layout.incompleteBody(name, claim.fill);
  const decline = async (declined: Declined['declined']): Promise<Declined> => {
    reservation.release();
    await claim.say({ ended: 'failed' }).catch(() => undefined);
    await beginning.over(false);
    return { declined };
  };
  if (size !== undefined && tooLarge(size, maxEntryBytes, options)) return decline('too-large');
  const record = mostRecordBytes(key, head, options);
  const spare = size === undefined ? Math.min(GROW_BYTES, Math.floor(maxBytes / 16)) : 0;
  const known = size ?? before?.growing.taken ?? 0;
  const room = () => reservation.reach(charge(known, record), spare);
  const hasRoom = (await room()) || ((await entries.upkeep.recheckPins()) && (await room()));
  if (!hasRoom) return decline('no-room');
  let file: fs.FileHandle;
  try {
    file = await attempt(() => createNew(path, modes.file), known || spare);
  } catch (error) {
    debug('no body file for %s: %o', key.primary, error);
    return decline('store-down');
  }
  const close = entries.openFiles.add(file);
  const drop = async (): Promise<Declined> => {
    await close();
    await beginning.remove(path);
    return decline('store-down');
  };
  try {
    await before?.copy((bytes, position) => writeAt(file, bytes, position));
  } catch (error) {
    debug('%s can not be gone on with: %o', key.primary, error);
    failed(error, 'store');
    return drop();
  }
  const { key: _, ...info } = fillInfo(key, options);
  try {
    // Others may read along from here on; and a claim that says nothing of its tags is taken for one with any.
    await claim.say({ begun: { ...info, head, ...(size === undefined ? {} : { size }) } });
  } catch (error) {
    // It may be half written, and would never become a record.
    debug('nothing can be said of %s: %o', key.primary, error);
    failed(error, 'store');
    return drop();
  }
  const vouch = (info: EntryInfo) =>
    claim.become(encodeRecord({ ...info, head, fill: claim.fill })).catch(() => undefined);
  const fill: FileFill = new FileFill(
    {
      key,
      head,
      options: { ...options, storedAt: info.storedAt },
      file,
      elsewhere: new ReaderMark(layout, claim, modes.file),
      grow: async (bytes) => {
        const limit = tooLarge(bytes, maxEntryBytes, options);
        if (limit !== undefined) throw limit;
        const fits =
          (await reservation.reach(charge(bytes, record), spare)) && (await reservation.write(bytes));
        if (!fits) throw new StoreError('the budget has no room for more', { reason: 'no-room' });
      },
      publish: async (info, blocks) => {
        const { fill } = claim;
        if (beginning.isRevoked()) {
          await vouch(info);
          throw new SupersededError('the key was purged while its body was being written');
        }
        const publishAll = () =>
          publish(layout, claim, { record: { ...info, head, fill }, blocks }, publishing);
        await entries.replace(
          { name, fill, size: info.size },
          () =>
            publishAll().catch((error: unknown) => {
              failed(error, 'store');
              throw error;
            }),
          () => {
            void beginning.over(true);
            reservation.release(charge(info.size, record));
          },
        );
        await stored(name);
      },
      vouch,
      attempt,
      unreadable: (error) => failed(error, 'read'),
      unjoinable: () => beginning.unjoinable(),
      ended: () => beginning.ended(fill),
      storeLost: () => {
        // Who reads along elsewhere can't get the rest from here.
        claim.say({ ended: 'orphaned' }).catch(() => undefined);
      },
      discard: async (why, wreck) => {
        await claim
          .say({ ended: why instanceof IntegrityError ? 'failed' : 'orphaned' })
          .catch(() => undefined);
        const kept =
          wreck !== undefined &&
          (await invalid.keep(claim, { key, head, wreck }, () => reservation.release()));
        if (!kept) await beginning.remove(path);
        await beginning.over(false);
        reservation.release();
        // The note may be longer than the record would have been.
        if (kept) await entries.ledger.evict(maxBytes);
      },
      closed: close,
    },
    before,
  );
  before?.becomes(fill);
  return fill;
}
