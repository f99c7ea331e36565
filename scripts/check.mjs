/** Everything that has to hold before a release, besides the tests: `npm run check`. Says at the end what failed. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** In the order of `package.json`: the cheap ones first, the build before what looks at it. */
const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const steps = Object.keys(scripts).filter((name) => name.startsWith('check:'));

const results = steps.map((step) => {
  console.log(`\n=== ${step}: ${scripts[step]}`);
  const begun = Date.now();
  const { status } = spawnSync('npm', ['run', '--silent', step], {
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  return { step, ok: status === 0, seconds: ((Date.now() - begun) / 1000).toFixed(1) };
});

console.log('\n=== check');
for (const { step, ok, seconds } of results)
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${step} (${seconds} s)`);
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;
