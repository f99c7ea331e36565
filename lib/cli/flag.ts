// docs/guides/command-line.md

import { Option } from 'commander';
import { OptionError } from '../errors.ts';
import * as read from './flags.ts';

/** A flag with a value, and the variable of the same name. */
export function flag(
  flags: string,
  description: string,
  parse?: (text: string, before: never) => unknown,
): Option {
  const option = new Option(flags, description);
  const variable = variableOf(option);
  // A compose file or a unit sets what it has no value for to nothing.
  if (process.env[variable] === '') delete process.env[variable];
  option.env(variable);
  if (parse !== undefined) option.argParser(parse as (text: string, before: unknown) => unknown);
  return option;
}

/** A flag without a value, which is off unless it, or its variable, says otherwise. */
export function switchFlag(flags: string, description: string): Option {
  const option = new Option(flags, description).default(false);
  const variable = variableOf(option);
  const value = process.env[variable] ?? '';
  if (value === '') return option;
  const wanted = read.yesOrNo(value);
  if (wanted === undefined)
    throw new OptionError(option.name(), `${variable} must be 1 or 0, got '${value}'`);
  return option.default(wanted);
}

/** @param variable what systemd names the directory in: CACHE_DIRECTORY for CacheDirectory=, STATE_DIRECTORY for StateDirectory= */
export function directoryFlag(variable: 'CACHE_DIRECTORY' | 'STATE_DIRECTORY' = 'CACHE_DIRECTORY'): Option {
  const option = flag('--directory <path>', 'where the files are kept');
  // Several are separated by colons.
  const [ours] = (process.env[variable] ?? '').split(':');
  return ours ? option.default(ours, `$${variable}`) : option;
}

export function hostFlag(): Option {
  return flag('--host <address>', 'where to listen').default('127.0.0.1');
}

export function portFlag(port: number): Option {
  return flag('--port <number>', 'where to listen; 0: any free port', read.port).default(port);
}

export function shutdownTimeoutFlag(): Option {
  return flag(
    '--shutdown-timeout <seconds>',
    'how long requests may run on after SIGTERM',
    read.seconds,
  ).default(25_000, '25');
}

export function accessLogFlag(): Option {
  return switchFlag('--access-log', 'a line for every request');
}

function variableOf(option: Option): string {
  return `CACHE_FILTER_${option.name().replaceAll('-', '_').toUpperCase()}`;
}
