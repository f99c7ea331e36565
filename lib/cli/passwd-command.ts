// docs/guides/registry-command.md

import { Argument, Command } from 'commander';
import type { PasswdOptions } from './commands/passwd.ts';
import * as read from './flags.ts';
import { requireNoFlagsBefore } from './registry-command.ts';

export type PasswdFlags = PasswdOptions;

const EXAMPLES = `
The password is asked for on a terminal; otherwise it is the first line of the standard input. A registry that serves reads
the file again by itself.

Examples:
    $ cache-filter registry passwd /etc/cache-filter/users alice
    $ pass show registry/ci | cache-filter registry passwd /etc/cache-filter/users ci
    $ cache-filter registry passwd /etc/cache-filter/users alice --remove`;

/** `cache-filter registry passwd`, with its flags. */
export function passwdCommand(set: (flags: PasswdFlags) => Promise<void>): Command {
  const command = new Command('passwd')
    .description('Gives a user of the registry a password, a new one, or none any more.')
    .argument('<file>', 'that --htpasswd names; made if it is missing')
    .addArgument(new Argument('<user>', 'a name').argParser(read.userName))
    .option('--remove', 'takes the user out of the file', false)
    .addHelpText('after', EXAMPLES);
  return command.action(async (file: string, user: string) => {
    requireNoFlagsBefore(command);
    await set({ file, user, remove: command.opts()['remove'] as boolean });
  });
}
