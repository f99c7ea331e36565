// docs/guides/registry-command.md

import type { ReadStream } from 'node:tty';
import { hashPassword } from '../../registry/index.ts';
import { Failure } from '../failure.ts';
import { askTwice, firstLine } from '../registry/ask-password.ts';
import { editUsers, type UsersEdit } from '../registry/users-file.ts';

export interface PasswdOptions {
  file: string;
  user: string;
  remove: boolean;
}

/** What basicAuth takes no longer one than. */
const MAX_PASSWORD_BYTES = 1_024;

/**
 * Puts a user's password into a file of users, or takes the user out of it; says what was done.
 * @throws Failure for what can't be a password, and for a user to remove who is not there
 */
export async function passwd(
  { file, user, remove }: PasswdOptions,
  input: ReadStream | NodeJS.ReadableStream,
  terminal: NodeJS.WritableStream,
): Promise<string> {
  const edit: UsersEdit = remove
    ? { user }
    : { user, hash: await hashPassword(await ask(input, terminal, user)) };
  const { before, warnings } = await editUsers(file, edit);
  for (const warning of warnings) terminal.write(`cache-filter: ${file}: ${warning}\n`);
  const what = remove ? 'removed' : before ? 'has a new password' : 'added';
  return `cache-filter: ${file}: ${user} ${what}`;
}

async function ask(
  input: ReadStream | NodeJS.ReadableStream,
  terminal: NodeJS.WritableStream,
  user: string,
): Promise<string> {
  const isTerminal = 'isTTY' in input && input.isTTY;
  const password = isTerminal ? await askTwice(input, terminal, user) : await firstLine(input);
  if (password === '') throw new Failure('a password of no characters is none');
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES)
    throw new Failure(`a password may have ${MAX_PASSWORD_BYTES} bytes at most`);
  return password;
}
