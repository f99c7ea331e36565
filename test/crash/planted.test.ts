/** What goes wrong while it is written. The other plants have a file of their own: a file may take three minutes. */
import { notices } from './notices.ts';

notices({
  'late-body': /damaged|LOST|of \d+ bytes/,
  'torn-record': /damaged|has no record/,
  'wrong-byte': /WRONG BYTES/,
  'lost-pin': /LOST: the pin/,
});
