/** Writes docs/evidence/never-stored.md from the cases in test/never-stored/: `node --import tsx scripts/never-stored.mjs`. */
import { writeFileSync } from 'node:fs';
import { PAGE, page } from '../test/never-stored/page.ts';

writeFileSync(new URL(`../${PAGE}`, import.meta.url), page());
