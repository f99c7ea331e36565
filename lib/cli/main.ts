#!/usr/bin/env node
// docs/guides/command-line.md

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { CacheFilterError, OptionError } from '../errors.ts';
import { doctor } from './commands/doctor.ts';
import { passwd } from './commands/passwd.ts';
import { prune } from './commands/prune.ts';
import { serveRegistry } from './commands/registry.ts';
import { serve } from './commands/serve.ts';
import { warm } from './commands/warm.ts';
import { type DoctorFlags, doctorCommand } from './doctor-command.ts';
import { errorText } from './error-text.ts';
import { Failure } from './failure.ts';
import { type PasswdFlags, passwdCommand } from './passwd-command.ts';
import { type PruneFlags, pruneCommand } from './prune-command.ts';
import { type RegistryFlags, registryCommand } from './registry-command.ts';
import { type ServeFlags, serveCommand } from './serve-command.ts';
import { abortOnSignals, stopOnSignals } from './signals.ts';
import { type WarmFlags, warmCommand } from './warm-command.ts';
import { barsReport, jsonReport, linesReport } from './warm-report.ts';

/** Exit codes: 0 as asked, 1 it could not be done, 2 it was asked wrongly, 130 and 143 ended by a second signal. */
const FAILED = 1;
const WRONG_USAGE = 2;

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
const { version } = JSON.parse(manifest) as { version: string };

// Whoever reads the output may stop reading: `cache-filter serve --help | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  const program = new Command('cache-filter')
    .description(
      'Keeps large downloads on local disk, in front of a server that gives them slowly; or container images, as a registry.',
    )
    .version(version)
    // What stands after a command of a command belongs to that one.
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('(cache-filter --help lists the commands)');
  const add = (to: Command, command: Command, name: string) => {
    command.copyInheritedSettings(program);
    to.addCommand(command.showHelpAfterError(`(cache-filter ${name} --help lists the flags)`));
    return command;
  };
  add(program, serveCommand(start), 'serve');
  add(program, warmCommand(fetchAhead), 'warm');
  add(program, doctorCommand(examine), 'doctor');
  // It says itself what is wrong with a command that it does not have.
  const ofRegistry = add(program, registryCommand(startRegistry), 'registry').allowExcessArguments();
  add(ofRegistry, passwdCommand(setPassword), 'registry passwd');
  add(ofRegistry, pruneCommand(pruneStorage), 'registry prune');
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

async function start(flags: ServeFlags): Promise<void> {
  const serving = await serve({ ...flags, log: (line) => console.log(line) });
  // Whoever has read that it listens may stop it.
  stopOnSignals(serving, flags.shutdownTimeoutMs);
  console.log(
    `cache-filter: listening on ${serving.url}, origin ${flags.origin.map(({ href }) => href).join(' ')}, ` +
      `directory ${flags.directory}, budget ${flags.maxBytes} bytes`,
  );
}

/** Exit code 0: all is there. 1: some of it failed. By a signal: its own; what is left stays in the queue. */
async function fetchAhead({ json, ...flags }: WarmFlags): Promise<void> {
  const { signal, code } = abortOnSignals();
  const print = (line: string) => console.log(line);
  const { stdout, stdin } = process;
  const report = json
    ? jsonReport(print)
    : stdout.isTTY
      ? await barsReport(stdout)
      : linesReport(print, (line) => console.error(line));
  // Whoever waits for the list waits for nothing any more.
  signal.addEventListener('abort', () => stdin.destroy());
  const isWell = await warm({ ...flags, input: stdin, signal, report });
  process.exitCode = code() ?? (isWell ? 0 : FAILED);
}

async function startRegistry(flags: RegistryFlags): Promise<void> {
  const serving = await serveRegistry({
    ...flags,
    log: (line) => console.log(line),
    warn: (line) => console.error(line),
  });
  process.on('SIGHUP', () => serving.reload());
  stopOnSignals(serving, flags.shutdownTimeoutMs);
  console.log(
    `cache-filter: listening on ${serving.url}, directory ${flags.directory}, ` +
      `namespace ${flags.namespace}, for ${serving.audience}${flags.readOnly ? ', read-only' : ''}`,
  );
}

async function setPassword(flags: PasswdFlags): Promise<void> {
  console.log(await passwd(flags, process.stdin, process.stderr));
}

/** Exit code 0: all is well. 1: there were problems. By a signal: its own. */
async function pruneStorage(flags: PruneFlags): Promise<void> {
  const { signal, code } = abortOnSignals();
  try {
    const isWell = await prune({ ...flags, signal, print: (line) => console.log(line) });
    process.exitCode = isWell ? 0 : FAILED;
  } catch (error) {
    if (error !== signal.reason) throw error;
    console.error('cache-filter: interrupted; what was removed until now is gone');
    process.exitCode = code();
  }
}

/** Exit code 0: fit. 1: unfit. By a signal: its own, once everything is cleared away. */
async function examine(flags: DoctorFlags): Promise<void> {
  const { signal, code } = abortOnSignals();
  const fit = await doctor({
    ...flags,
    signal,
    colour: process.stdout.isTTY && !process.env['NO_COLOR'],
    print: (line) => console.log(line),
  });
  process.exitCode = fit ? 0 : (code() ?? FAILED);
}

/** Tells the user what is wrong, unless commander has already done so. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE;
  if (error instanceof CacheFilterError) {
    console.error(`error: ${errorText(error)}`);
    return error instanceof OptionError ? WRONG_USAGE : FAILED;
  }
  const isPlain = error instanceof Failure || (error as NodeJS.ErrnoException).syscall !== undefined;
  console.error(isPlain ? `error: ${(error as Error).message}` : error);
  return FAILED;
}
