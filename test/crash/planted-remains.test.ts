/** What stays although it should have gone. */
import { notices } from './notices.ts';

notices({
  'purged-record': /purge had been acknowledged|damaged|undefined of \d+ bytes/,
  'kept-body': /has no record/,
  'no-sweep': /is left over/,
});
