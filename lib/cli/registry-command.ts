// docs/guides/registry-command.md

import { Command, type Option } from 'commander';
import type { ServeRegistryOptions } from './commands/registry.ts';
import {
  accessLogFlag,
  directoryFlag,
  flag,
  hostFlag,
  portFlag,
  shutdownTimeoutFlag,
  switchFlag,
} from './flag.ts';
import * as read from './flags.ts';

export type RegistryFlags = Omit<ServeRegistryOptions, 'log' | 'warn'>;

const EXAMPLES = `
Each flag can also be given as a variable: CACHE_FILTER_HTPASSWD for --htpasswd. A flag outdoes its variable; an empty
variable counts as none.

Examples:
  For this host only; whoever is on it may do everything:
    $ cache-filter registry --directory /var/lib/cache-filter

  For others, who sign in:
    $ cache-filter registry passwd /etc/cache-filter/users alice
    $ cache-filter registry --directory /var/lib/cache-filter --host 0.0.0.0 --port 443 \\
        --htpasswd /etc/cache-filter/users --tls-cert /etc/cache-filter/cert.pem --tls-key /etc/cache-filter/key.pem

  Once a day, beside it:
    $ cache-filter registry prune --directory /var/lib/cache-filter --manifest-max-age 90d --keep-tags 10`;

/** `cache-filter registry`, with its flags. */
export function registryCommand(start: (flags: RegistryFlags) => Promise<void>): Command {
  const command = new Command('registry')
    .description(
      'Keeps container images in a directory: clients push to it and pull from it (OCI distribution).',
    )
    .addOption(directoryFlag('STATE_DIRECTORY'))
    .addOption(hostFlag())
    .addOption(portFlag(5000))
    .addOption(
      flag('--namespace <name>', 'what in the directory the repositories are below', read.namespace).default(
        'default',
      ),
    )
    .addOption(flag('--htpasswd <file>', 'who may sign in; without it, it listens for this host only'))
    .addOption(switchFlag('--anonymous-pull', 'everybody may pull, only users push'))
    .addOption(switchFlag('--read-only', 'nothing is pushed or deleted'))
    .addOption(flag('--tls-cert <file>', 'certificate in PEM, for https://'))
    .addOption(flag('--tls-key <file>', 'its key in PEM'))
    .addOption(
      (flag('--durability <how>', 'commit: what was pushed survives a loss of power; none') as Option)
        .choices(['commit', 'none'])
        .default('commit'),
    )
    .addOption(
      flag(
        '--max-blob-bytes <bytes>',
        'how large a layer may be; plain, or in KiB, MiB, GiB, TiB',
        read.bytes,
      ).default(10 ** 12, '10^12'),
    )
    .addOption(
      flag('--max-manifest-bytes <bytes>', 'how large a manifest may be', read.bytes).default(
        4 * 2 ** 20,
        '4MiB',
      ),
    )
    .addOption(switchFlag('--track-use', 'notes what is pulled, for prune --used-within'))
    .addOption(shutdownTimeoutFlag())
    .addOption(accessLogFlag())
    .addHelpText('after', EXAMPLES);
  return command.action(async () => {
    requireNoWords(command);
    requireDirectory(command);
    const { shutdownTimeout, ...others } = command.opts();
    await start({
      ...(others as Omit<RegistryFlags, 'shutdownTimeoutMs'>),
      shutdownTimeoutMs: shutdownTimeout as number,
    });
  });
}

/** commander takes a command that it does not know for an argument. */
function requireNoWords(command: Command): void {
  const [word] = command.args;
  const has = command.commands.map((each) => each.name()).join(' and ');
  if (word !== undefined) command.error(`error: unknown command '${word}' (${command.name()} has ${has})`);
}

/** A command's own commands must not need its flags, so commander can't be told that this one is mandatory. */
export function requireDirectory(command: Command): void {
  if (command.opts()['directory'] === undefined)
    command.error("error: required option '--directory <path>' not specified");
}

/** `registry --directory A prune` may not mean another directory than A. */
export function requireNoFlagsBefore(command: Command): void {
  const { parent } = command;
  const before = parent?.options.find(
    (option) => parent.getOptionValueSource(option.attributeName()) === 'cli',
  );
  if (before !== undefined)
    command.error(`error: write ${before.long} after ${command.name()}, as far as that has it`);
}
