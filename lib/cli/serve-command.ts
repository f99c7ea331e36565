// docs/guides/command-line.md

import { Command } from 'commander';
import type { ServeOptions } from './commands/serve.ts';
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

export type ServeFlags = Omit<ServeOptions, 'log'>;

const EXAMPLES = `
Each flag can also be given as a variable: CACHE_FILTER_MAX_BYTES for --max-bytes. A flag outdoes its variable; an empty
variable counts as none.

Examples:
  In front of OpenStack Glance; who may have an image is asked of Glance each time:
    $ cache-filter serve --origin http://127.0.0.1:9292 --routes glance \\
        --directory /var/cache/cache-filter --max-bytes 100GiB --port 9393

  Files whose content never changes under their name, for everybody:
    $ cache-filter serve --origin https://files.example --routes '/files/:id' --freshness immutable \\
        --authorize anyone --directory /var/cache/cache-filter --max-bytes 1TiB --host 0.0.0.0 --port 8080

  Whatever the server itself allows to be kept, for whom another server allows it:
    $ cache-filter serve --origin http://127.0.0.1:3000 --routes all \\
        --authorize-url http://127.0.0.1:4000/may-read --directory ./cache`;

/** `cache-filter serve`, with its flags. */
export function serveCommand(start: (flags: ServeFlags) => Promise<void>): Command {
  const command = new Command('serve')
    .description('Answers downloads from disk, and everything else by passing it on to the origin.')
    .addOption(
      flag(
        '--origin <url>',
        'the server to fetch from, and to pass requests on to; repeat it for others in order of preference',
        read.originUrls,
      ).makeOptionMandatory(),
    )
    .addOption(
      flag(
        '--routes <which>',
        "what is cached: glance, all (every GET), or path patterns such as '/files/:id'",
        read.routes,
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
    .addOption(hostFlag())
    .addOption(portFlag(8080))
    .addOption(
      flag(
        '--freshness <how-long>',
        'response (what it says itself), immutable, or seconds; not with glance',
        read.freshness,
      ),
    )
    .addOption(
      flag(
        '--authorize <who>',
        'anyone; or, with glance, download (whom Glance lets download) or visible (whom it lets see the image)',
        read.authorize,
      ),
    )
    .addOption(
      flag(
        '--authorize-url <url>',
        'a server that is asked before every answer from the cache',
        read.questionUrl,
      ),
    )
    .addOption(
      flag(
        '--origin-timeout <seconds>',
        'how long the origin may take to begin its answer, and for each next piece of it',
        read.seconds,
      ).default(60_000, '60'),
    )
    .addOption(
      flag('--connect-timeout <seconds>', 'how long a connection to it may take; default 10', read.seconds),
    )
    .addOption(
      flag(
        '--retries <number>',
        'how often it is asked again where it does not answer; default 2',
        read.whole,
      ),
    )
    .addOption(
      flag(
        '--max-redirects <number>',
        'how many of its redirects are followed; default 0: they are passed on',
        read.whole,
      ),
    )
    .addOption(
      flag(
        '--cold-range <how>',
        'what a range of something not stored has fetched: direct (that part; the default), fill (the whole), bypass (it is passed on)',
        read.coldRange,
      ),
    )
    .addOption(switchFlag('--tee', 'keeps what is passed on to clients, in place of fetching it itself'))
    .addOption(shutdownTimeoutFlag())
    .addOption(accessLogFlag())
    .addHelpText('after', EXAMPLES);
  return command.action(async () => {
    const { originTimeout, connectTimeout, shutdownTimeout, ...others } = command.opts();
    await start({
      ...(others as Omit<ServeFlags, 'originTimeoutMs' | 'connectTimeoutMs' | 'shutdownTimeoutMs'>),
      originTimeoutMs: originTimeout as number,
      connectTimeoutMs: connectTimeout as number | undefined,
      shutdownTimeoutMs: shutdownTimeout as number,
    });
  });
}
