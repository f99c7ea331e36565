// docs/guides/registry-command.md

import { Command, Option } from 'commander';
import type { PruneCommandOptions } from './commands/prune.ts';
import { directoryFlag, flag } from './flag.ts';
import * as read from './flags.ts';
import { requireDirectory, requireNoFlagsBefore } from './registry-command.ts';

export type PruneFlags = Omit<PruneCommandOptions, 'signal' | 'print'>;

const EXAMPLES = `
It may run while a registry serves the directory. Exit codes: 0 done, 1 there were problems, 2 wrong usage.

Examples:
  What is left of pushes that were given up, and layers that no image needs:
    $ cache-filter registry prune --directory /var/lib/cache-filter

  Also tags that were not pushed for 90 days, but for the last 10 of each repository; first what that would be:
    $ cache-filter registry prune --directory /var/lib/cache-filter --manifest-max-age 90d --keep-tags 10 --dry-run`;

/** `cache-filter registry prune`, with its flags. */
export function pruneCommand(prune: (flags: PruneFlags) => Promise<void>): Command {
  const command = new Command('prune')
    .description('Removes what no image of the registry needs, and images that are too old.')
    .addOption(directoryFlag('STATE_DIRECTORY'))
    .addOption(
      flag('--namespace <name>', 'only this one; repeat it for several; default all', read.namespaces),
    )
    .addOption(
      flag(
        '--upload-max-age <age>',
        'a push that nobody has gone on with for so long is given up; seconds, or with m, h, d',
        read.age,
      ).default(3_600_000, '1h'),
    )
    .addOption(
      flag(
        '--manifest-max-age <age>',
        'tags that were pushed longer ago are removed; default none',
        read.age,
      ),
    )
    .addOption(
      flag('--keep-tags <number>', 'of each repository so many tags stay, those pushed last', read.count),
    )
    .addOption(
      flag('--used-within <age>', 'what was pulled within that time stays; needs --track-use', read.age),
    )
    .addOption(new Option('--dry-run', 'removes nothing, and says what it would remove').default(false))
    .addOption(new Option('--json', 'one JSON object').default(false))
    .addHelpText('after', EXAMPLES);
  return command.action(async () => {
    requireNoFlagsBefore(command);
    requireDirectory(command);
    const { directory, dryRun, json, namespace, ...limits } = command.opts();
    const { uploadMaxAge, manifestMaxAge, keepTags, usedWithin } = limits;
    await prune({
      directory,
      dryRun,
      json,
      namespaces: namespace,
      uploadMaxAgeMs: uploadMaxAge,
      manifestMaxAgeMs: manifestMaxAge,
      keepTags,
      usedWithinMs: usedWithin,
    });
  });
}
