import type { ResponseHead } from '../../http/body.ts';
import type {
  Declined,
  DeclineReason,
  Entry,
  Fill,
  FillOptions,
  Key,
  LeaderClaim,
  RefreshOptions,
} from '../cache.ts';
import type { FillPlace } from './begin.ts';
import type { ClaimFile } from './claim.ts';
import type { FileRun } from './file-run.ts';
import { renew } from './renew.ts';

/** Why an entry was not renewed that has to be fetched then, by whoever comes first. */
const AGAIN: ReadonlySet<DeclineReason> = new Set(['changed', 'superseded']);

/** What a claim asks of the cache that it belongs to. */
interface ClaimPlace extends FillPlace {
  isClosed(): boolean;
  open(key: Key): Promise<Entry | undefined> | Entry | undefined;
}

/** One key that this process leads. */
interface Leading {
  run: FileRun;
  claim: ClaimFile;
  previous: Entry | undefined;
  isRevoked(): boolean;
  start(head: ResponseHead, options: FillOptions): Promise<Fill | Declined>;
  /** The claim has become a record. */
  published(): void;
  /** There is nothing to share. */
  over(): void;
  /** The same, and the claim goes. */
  giveUp(): Promise<void>;
}

/** The claim as its holder sees it. */
export function leaderClaim(place: ClaimPlace, leading: Leading): LeaderClaim {
  const { claim, previous, giveUp } = leading;
  const abandon = async () => {
    previous?.release(false);
    // Those who wait in other processes are to know that there is nothing to share.
    await claim.say({ ended: 'failed' }).catch(() => undefined);
    await giveUp();
  };
  return {
    role: 'leader',
    ...(previous === undefined ? {} : { previous }),
    start: (head, options = {}) => {
      previous?.release(false);
      return leading.start(head, options);
    },
    refresh: (update, options = {}) => refresh(place, leading, { update, options, abandon }),
    abandon,
  };
}

/** A 304: whoever has waited finds the entry, and so does whoever asks. */
async function refresh(
  place: ClaimPlace,
  { run, claim, previous, isRevoked, published, over }: Leading,
  given: { update: ResponseHead; options: RefreshOptions; abandon(): Promise<void> },
): Promise<Entry | Declined> {
  const { update, options, abandon } = given;
  const declined = place.isClosed()
    ? { declined: 'closed' as const }
    : await renew(place, { claim, previous, update, options, isRevoked, published });
  run.isOpen = declined === undefined || AGAIN.has(declined.declined);
  if (declined !== undefined) {
    await abandon();
    return declined;
  }
  previous?.release(false);
  over();
  return (await place.open(run.key)) ?? { declined: 'superseded' };
}
