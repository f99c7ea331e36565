#!/usr/bin/env node
// docs/guides/command-line.md

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { CacheFilterError, OptionError } from '../errors.ts';
import { doctor } from './commands/doctor.ts';
import { type Serving, serve } from './commands/serve.ts';
import { type DoctorFlags, doctorCommand } from './doctor-command.ts';
import { type ServeFlags, serveCommand } from './serve-command.ts';

/** Exit codes: 0 as asked, 1 it could not be done, 2 it was asked wrongly, 130 and 143 ended by a second signal. */
const FAILED = 1;
const WRONG_USAGE = 2;
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
const { version } = JSON.parse(manifest) as { version: string };

let stopping = false;

// Whoever reads the output may stop reading: `cache-filter serve --help | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  const program = new Command('cache-filter')
    .description('Keeps large downloads on local disk, in front of a server that gives them slowly.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(cache-filter serve --help lists the flags)');
  program.addCommand(serveCommand(start).copyInheritedSettings(program));
  program.addCommand(
    doctorCommand(examine)
      .copyInheritedSettings(program)
      .showHelpAfterError('(cache-filter doctor --help lists the flags)'),
  );
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

async function start(flags: ServeFlags): Promise<void> {
  const serving = await serve({ ...flags, log: (line) => console.log(line) });
  console.log(
    `cache-filter: listening on ${serving.url}, origin ${flags.origin.href}, ` +
      `directory ${flags.directory}, budget ${flags.maxBytes} bytes`,
  );
  for (const [signal, code] of Object.entries(SIGNALS)) {
    // The first signal of either kind asks for an orderly end, the second one for an end.
    process.on(signal, () =>
      stopping ? process.exit(code) : stop(serving, signal, flags.shutdownTimeoutMs),
    );
  }
}

/** Exit code 0: fit. 1: unfit. By a signal: its own, once everything is cleared away. */
async function examine(flags: DoctorFlags): Promise<void> {
  const interrupted = new AbortController();
  let code: number = FAILED;
  for (const [signal, exitCode] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (interrupted.signal.aborted) process.exit(exitCode);
      code = exitCode;
      interrupted.abort();
    });
  }
  const fit = await doctor({
    ...flags,
    signal: interrupted.signal,
    colour: process.stdout.isTTY && !process.env['NO_COLOR'],
    print: (line) => console.log(line),
  });
  process.exitCode = fit ? 0 : code;
}

function stop(serving: Serving, signal: string, timeoutMs: number): void {
  stopping = true;
  const running = serving.running();
  const closing = serving.close();
  console.log(`cache-filter: ${signal}, finishing ${running} requests within ${timeoutMs / 1000} s`);
  closing.then(
    (cut) => {
      if (cut > 0) console.error(`cache-filter: ${cut} requests were cut off`);
      process.exit(0);
    },
    (error: unknown) => {
      console.error(error);
      process.exit(FAILED);
    },
  );
}

/** Tells the user what is wrong, unless commander has already done so. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE;
  if (error instanceof CacheFilterError) {
    console.error(`error: ${error.message.replace(`${error.code}: `, '')}`);
    return error instanceof OptionError ? WRONG_USAGE : FAILED;
  }
  const system = (error as NodeJS.ErrnoException).syscall !== undefined;
  console.error(system ? `error: ${(error as Error).message}` : error);
  return FAILED;
}
