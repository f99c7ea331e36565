/** Draws docs/images/one-download.svg from a real download with six clients: `node --import tsx scripts/timeline.mjs`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { timeline } from '../test/bench/timeline.ts';

const picture = new URL('../docs/images/one-download.svg', import.meta.url);
mkdirSync(new URL('.', picture), { recursive: true });
writeFileSync(picture, await timeline());
