import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createNew, writeWhole } from '../../fs/files.ts';
import { type Finding, fail, LOCAL_DISK, ok, type Probe, warn } from './check.ts';

// What the cache does with times: mtime says when an entry was last used, and that the owner of a claim lives.

/** In the past, odd, and with all that a millisecond needs: what comes back says what was lost. */
const TIME_MS = Date.UTC(2024, 5, 1, 12, 0, 1, 999);

const utimes: Probe = {
  name: 'utimes',
  needs: 'which entry was used last, and whether the owner of a fill lives, is told by the modification time',
  async probe(folder) {
    const path = join(folder, 'file');
    const file = await createNew(path, 0o600);
    try {
      await file.utimes(new Date(TIME_MS), new Date(TIME_MS));
      const open = (await fs.stat(path)).mtimeMs;
      const later = TIME_MS + 60_000;
      await fs.utimes(path, new Date(later), new Date(later));
      const named = (await file.stat()).mtimeMs;
      return judgeUtimes(Math.max(Math.abs(open - TIME_MS), Math.abs(named - later)));
    } finally {
      await file.close();
    }
  },
};

/** @param lostMs by how much the time that is seen differs from the one that was set */
export function judgeUtimes(lostMs: number): Finding {
  if (lostMs > 2000) {
    return fail(
      `a time that was set is seen ${(lostMs / 1000).toFixed(0)} s off`,
      'which entry was used last can not be told, and every running fill looks abandoned: it would be deleted',
      LOCAL_DISK,
      { lostMs },
    );
  }
  const granularityMs = lostMs < 1 ? 1 : lostMs < 10 ? 10 : lostMs < 1000 ? 1000 : 2000;
  const measured = { granularityMs };
  if (granularityMs <= 10) return ok(`seen at once, to ${granularityMs} ms or finer`, measured);
  return warn(
    `seen at once, but in steps of ${granularityMs / 1000} s`,
    'of entries used within one step it can not be told which was last, and a file that changes within one is not noticed',
    LOCAL_DISK,
    measured,
  );
}

/** File systems go by a clock that ticks every few milliseconds; FAT, every two seconds. */
const TICK_MS = 3000;

/** Does it again and again until ctime is later than before; whether it came to that. */
async function movesCtime(path: () => string, change: () => Promise<unknown>): Promise<boolean> {
  const { ctimeNs } = await fs.stat(path(), { bigint: true });
  const end = performance.now() + TICK_MS;
  do {
    await change();
    if ((await fs.stat(path(), { bigint: true })).ctimeNs > ctimeNs) return true;
    await sleep(5);
  } while (performance.now() < end);
  return false;
}

const ctime: Probe = {
  name: 'ctime',
  needs: 'that a file was changed behind our back is told by its ctime',
  async probe(folder) {
    let [here, there] = [join(folder, 'a'), join(folder, 'b')];
    await fs.writeFile(here, 'a', { mode: 0o600 });
    const touched = await movesCtime(
      () => here,
      () => fs.utimes(here, new Date(TIME_MS), new Date(TIME_MS)),
    );
    const renamed = await movesCtime(
      () => here,
      async () => {
        await fs.rename(here, there);
        [here, there] = [there, here];
      },
    );
    const measured = { byUtimes: touched, byRename: renamed };
    if (touched && renamed) return ok('moves on when a file is renamed or its times are set', measured);
    return warn(
      `does not move on when ${[!renamed && 'a file is renamed', !touched && 'its times are set'].filter(Boolean).join(', nor when ')}`,
      'a file that somebody else put in the place of ours may not be noticed',
      LOCAL_DISK,
      measured,
    );
  },
};

/** As far as the clocks of a file server and of its client may be apart, in milliseconds; a tick of FAT is within it. */
const SKEW_MS = 2500;

const skew: Probe = {
  name: 'clock-skew',
  needs: 'times of files are compared with the time of this host',
  async probe(folder) {
    const file = await createNew(join(folder, 'file'), 0o600);
    try {
      const before = Date.now();
      await writeWhole(file, Buffer.from('now'));
      const after = Date.now();
      const { mtimeMs } = await file.stat();
      return judgeSkew(mtimeMs < before ? mtimeMs - before : Math.max(0, mtimeMs - after));
    } finally {
      await file.close();
    }
  },
};

/** @param skewMs how far the file system's clock is ahead of ours; negative: behind */
export function judgeSkew(skewMs: number): Finding {
  const measured = { skewMs };
  if (Math.abs(skewMs) <= SKEW_MS)
    return ok(`files are dated within ${Math.max(1, Math.ceil(Math.abs(skewMs)))} ms of the clock`, measured);
  return warn(
    `files are dated ${(Math.abs(skewMs) / 1000).toFixed(1)} s ${skewMs > 0 ? 'ahead of' : 'behind'} the clock`,
    'the file server has another time than this host: running fills may look abandoned, and abandoned ones alive',
    `Keep both by NTP, or better: ${LOCAL_DISK}`,
    measured,
  );
}

export const timeProbes: readonly Probe[] = [utimes, ctime, skew];
