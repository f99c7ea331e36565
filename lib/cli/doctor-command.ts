// docs/guides/command-line.md

import { Command, Option } from 'commander';
import type { DoctorOptions } from './commands/doctor.ts';
import { directoryFlag, flag } from './flag.ts';
import * as read from './flags.ts';

export type DoctorFlags = Pick<DoctorOptions, 'directory' | 'maxBytes' | 'minFreeBytes' | 'json'>;

const EXAMPLES = `
Run it as the user that the cache will run as. What it writes, it removes again.

Exit codes: 0 fit (there may be warnings), 1 unfit, 2 wrong usage.

Examples:
  Before the first start; a missing directory is created for the checks, and removed again:
    $ cache-filter doctor --directory /var/cache/cache-filter --max-bytes 100GiB

  For a program, only what is wrong:
    $ cache-filter doctor --directory ./cache --json | jq '.checks[] | select(.status != "ok")'`;

/** `cache-filter doctor`, with its flags. */
export function doctorCommand(examine: (flags: DoctorFlags) => Promise<void>): Command {
  const command = new Command('doctor')
    .description('Says whether a directory is fit for the cache, and why not.')
    .addOption(directoryFlag().makeOptionMandatory())
    .addOption(
      flag(
        '--max-bytes <bytes>',
        'how much is to be kept at most; plain, or in KiB, MiB, GiB, TiB',
        read.bytes,
      ),
    )
    .addOption(
      flag(
        '--min-free-bytes <bytes>',
        'how much of the disk is to be left free; default 1GiB, or 5 % of it where that is more',
        read.bytes,
      ),
    )
    .addOption(new Option('--json', 'one JSON object').default(false))
    .addHelpText('after', EXAMPLES);
  return command.action(() => examine(command.opts()));
}
