/**
 * Damages files of a cache, one after the other, and looks at what clients get:
 * `npm run test:flips -- --count 2000 --seed 7`. Exit code 0: not one wrong byte was delivered, and every entry was right again afterwards.
 * `--plant size` makes caches that check sizes only: then wrong bytes have to be found, and the exit code is 1.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { flip } from './flipping.ts';

/** More of what went wrong is not shown. */
const SHOWN = 20;

const { values } = parseArgs({
  options: { count: { type: 'string' }, seed: { type: 'string' }, plant: { type: 'string' } },
});
const count = whole('count', values.count ?? '2000');
const seed = whole('seed', values.seed ?? String(Date.now() % 2 ** 31));
const { plant } = values;
if (plant !== undefined && plant !== 'size') stop(`--plant knows 'size', got '${plant}'`);

console.log(
  `${count} rounds, seed ${seed}${plant === undefined ? '' : `, planted: ${plant}`}; Node ${process.version} on ${process.platform} ${process.arch}, ${availableParallelism()} cores`,
);
const begun = performance.now();
let complaints = 0;
const { damages, answers, healed, wrong, unhealed, rounds } = await flip({
  count,
  seed,
  ...(plant === undefined ? {} : { plant }),
  complain: (line) => {
    if (complaints++ < SHOWN) console.log(line);
  },
});
if (complaints > SHOWN) console.log(`and ${complaints - SHOWN} more`);
for (const [what, times] of Object.entries(damages).sort()) console.log(`  ${what.padEnd(16)} ${times}`);
console.log(
  `answers right after: ${answers.right} right, ${answers.broken} visibly broken off, ${answers.wrong} wrong; fetched anew in ${healed} rounds`,
);
console.log(
  `${wrong} answers with wrong bytes, ${unhealed} entries not right afterwards, in ${rounds} rounds and ${((performance.now() - begun) / 1000).toFixed(0)} s`,
);
process.exitCode = wrong === 0 && unhealed === 0 ? 0 : 1;

function whole(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1 || text.trim() === '')
    stop(`--${name} must be a whole number from 1 on, got '${text}'`);
  return number;
}

function stop(message: string): never {
  console.error(message);
  process.exit(2);
}
