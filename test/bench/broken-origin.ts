import { type Benchmark, byName, type Ground } from './benchmark.ts';
import { type Finding, finding } from './findings.ts';
import { broken, cold, type Material } from './material.ts';
import type { Server } from './servers.ts';
import { formatSize } from './sizes.ts';

interface Sample {
  round: number;
  breaks: boolean;
  seconds: number;
}

/** What it costs a client that the origin breaks off half-way: what is there is not fetched again. */
export const brokenOrigin: Benchmark = {
  servers: () => ['pull'],
  material: (files) => files.flatMap((file) => [file, broken(file)]),
  async measure({ rounds, smoke }, ground, say) {
    const server = byName(ground.servers, 'pull');
    const findings: Finding[] = [];
    const samples: Sample[] = [];
    for (const whole of ground.material.filter(({ breaksAt }) => breaksAt === undefined)) {
      const breaking = broken(whole);
      if (!smoke) for (const file of [whole, breaking]) await run(ground, server, file, 0);
      const ratios: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const unbroken = await run(ground, server, whole, round);
        const gone = await run(ground, server, breaking, round);
        samples.push(unbroken, gone);
        ratios.push(gone.seconds / unbroken.seconds);
        say(`round ${round + 1} of ${rounds}`);
      }
      findings.push(finding(`${formatSize(whole.size)}, broken off half-way / not`, 'pull', '', ratios));
    }
    return { findings, samples };
  },
};

async function run({ flights }: Ground, server: Server, file: Material, round: number): Promise<Sample> {
  await server.purge();
  const { url, size } = cold(file);
  const breaks = file.breaksAt !== undefined;
  const before = await server.usage();
  const [flown] = await flights.fly(server, [{ url, size, hashed: true }]);
  const after = await server.usage();
  if (flown?.sha256 !== file.sha256) throw new Error(`${url} is not what the origin has`);
  const [calls, sent] = [after.calls - before.calls, after.sent - before.sent];
  // Asked once more where it broke off, and for nothing that was there.
  if (calls !== (breaks ? 2 : 1) || sent !== size)
    throw new Error(`the origin was asked ${calls} times for ${url}, and has sent ${sent} of ${size} bytes`);
  return { round, breaks, seconds: ((flown.ended ?? Number.NaN) - flown.asked) / 1000 };
}
