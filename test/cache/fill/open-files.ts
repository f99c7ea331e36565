import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export const NO_PROC = existsSync('/proc/self/fd') ? false : 'only Linux tells which files are open';

/** Of this process, the caches in it. */
export function openFiles(): string[] {
  const links = readdirSync('/proc/self/fd').map((fd) => join('/proc/self/fd', fd));
  return links.flatMap((link) => {
    try {
      return [readlinkSync(link)];
    } catch {
      // Closed in between.
      return [];
    }
  });
}
