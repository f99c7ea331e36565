import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { TestContext } from 'node:test';
import type { Disk } from '../cache/disk.ts';

/** Files of this process are no longer written from the `nth` write on: the disk is full. */
export function fullFrom(t: TestContext, nth: number): { fired(): number; writes(): number } {
  let writes = 0;
  let fired = 0;
  const real = fs.writev;
  const writev = (...args: Parameters<typeof fs.writev>) => {
    writes++;
    if (writes < nth) return real(...args);
    fired++;
    const callback = args.at(-1) as (error: Error) => void;
    const error = Object.assign(new Error('ENOSPC: no space left on device, writev'), { code: 'ENOSPC' });
    return setImmediate(callback, error);
  };
  t.mock.method(fs, 'writev', writev as unknown as typeof fs.writev);
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  return { fired: () => fired, writes: () => writes };
}

/** In the place of one of the cache's directories there is a file: nothing can be created in it. Returns how to undo that. */
export function blocked(disk: Disk, which: 'entries' | 'incomplete'): () => void {
  const path = disk.layout[which];
  fs.renameSync(path, `${path}.away`);
  fs.writeFileSync(path, '');
  return () => {
    fs.rmSync(path);
    fs.renameSync(`${path}.away`, path);
  };
}
