// docs/guides/command-line.md

import { Command, Option } from 'commander';
import type { WarmOptions } from './commands/warm.ts';
import { directoryFlag, flag } from './flag.ts';
import * as read from './flags.ts';

export type WarmFlags = Omit<WarmOptions, 'signal' | 'report' | 'input'> & { json: boolean };

const EXAMPLES = `
The list has a path, or a URL below the origin, in each line; # begins a comment. Exit codes: 0 all is there, 1 some of it failed,
2 wrong usage, 130 and 143 ended by a signal.

Examples:
  What a model needs, before anybody asks for it:
    $ cache-filter warm --origin https://files.example --routes '/models/*path' --freshness immutable \\
        --directory /var/cache/cache-filter --max-bytes 1TiB models.txt

  What another program says, at 20 MiB a second at most:
    $ list-files | cache-filter warm --origin https://files.example --directory ./cache \\
        --max-bytes-per-second 20MiB`;

/** `cache-filter warm`, with its flags. */
export function warmCommand(warm: (flags: WarmFlags) => Promise<void>): Command {
  const command = new Command('warm')
    .description('Fetches the files of a list into a directory, ahead of time.')
    .argument('[file]', 'the list; -: standard input', '-')
    .addOption(
      flag(
        '--origin <url>',
        'the server to fetch from; repeat it for others in order of preference',
        read.originUrls,
      ).makeOptionMandatory(),
    )
    .addOption(directoryFlag().makeOptionMandatory())
    .addOption(
      flag(
        '--max-bytes <bytes>',
        'how much is kept at most; plain, or in KiB, MiB, GiB, TiB',
        read.bytes,
      ).default(10 * 2 ** 30, '10GiB'),
    )
    .addOption(
      flag(
        '--min-free-bytes <bytes>',
        'how much of the disk is left free; default 1GiB, or 5 % of it where that is more',
        read.bytes,
      ),
    )
    .addOption(
      flag(
        '--routes <which>',
        "what is cached: all (the default), or path patterns such as '/files/:id'",
        read.routes,
      ),
    )
    .addOption(
      flag('--freshness <how-long>', 'response (what it says itself), immutable, or seconds', read.freshness),
    )
    .addOption(flag('--concurrency <number>', 'how many at a time', read.count).default(2))
    .addOption(flag('--retries <number>', 'how often each is tried again', read.whole).default(3))
    .addOption(
      flag(
        '--max-bytes-per-second <bytes>',
        'how fast all of it may come; default as fast as it does',
        read.bytes,
      ),
    )
    .addOption(flag('--max-redirects <number>', 'how many redirects are followed', read.whole).default(5))
    .addOption(
      flag(
        '--origin-timeout <seconds>',
        'how long the origin may take to begin its answer, and for each next piece of it',
        read.seconds,
      ).default(60_000, '60'),
    )
    .addOption(new Option('--json', 'a JSON object for each').default(false))
    .addHelpText('after', EXAMPLES);
  return command.action(async (file: string) => {
    const { originTimeout, routes, ...others } = command.opts();
    await warm({
      ...(others as Omit<WarmFlags, 'originTimeoutMs' | 'routes' | 'file'>),
      routes: (routes as WarmFlags['routes'] | undefined) ?? 'all',
      originTimeoutMs: originTimeout as number,
      file,
    });
  });
}
