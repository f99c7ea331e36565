import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { createNew, writeWhole } from '../../fs/files.ts';
import { type Finding, LOCAL_DISK, ok, type Probe, warn } from './check.ts';

const ATTEMPTS = 5;

/** Slower than any healthy disk, in milliseconds. */
const SLOW_MS = 100;

const fsyncFile: Probe = {
  name: 'fsync-file',
  needs: 'a disk that can not say when bytes are safe may lose them in a power cut',
  async probe(folder) {
    const file = await createNew(join(folder, 'file'), 0o600);
    try {
      const times: number[] = [];
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        await writeWhole(file, Buffer.alloc(4096, attempt));
        times.push(await duration(() => file.sync()));
      }
      return judgeFsync(times);
    } finally {
      await file.close();
    }
  },
};

/** @param times of some calls, in milliseconds; the middle one counts */
export function judgeFsync(times: readonly number[]): Finding {
  const medianMs = [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
  const fact = `4 KiB are safe after ${medianMs.toFixed(1)} ms`;
  const measured = { medianMs };
  if (medianMs <= SLOW_MS) return ok(fact, measured);
  return warn(
    `${fact}: slow`,
    'the disk is slow, or busy with something else: downloads that are being kept wait for it when memory for writing runs out',
    'Use a faster disk, or one of its own.',
    measured,
  );
}

const fsyncDirectory: Probe = {
  name: 'fsync-directory',
  needs: 'a name may be lost in a power cut: then the entry is a miss',
  async probe(folder) {
    await fs.writeFile(join(folder, 'file'), '', { mode: 0o600 });
    let directory: fs.FileHandle | undefined;
    try {
      const opened = await fs.open(folder, 'r');
      directory = opened;
      const ms = await duration(() => opened.sync());
      return ok(`a name is safe after ${ms.toFixed(1)} ms`, { ms });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return warn(
        `${code}: a directory can not be synced`,
        this.needs,
        `${LOCAL_DISK} It does no harm otherwise.`,
      );
    } finally {
      await directory?.close();
    }
  },
};

async function duration(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

export const durabilityProbes: readonly Probe[] = [fsyncFile, fsyncDirectory];
