import { show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import { type PasswordHash, parsePasswordHash } from './password.ts';

export type Users = ReadonlyMap<string, PasswordHash>;

const SHAPE =
  '$scrypt$N=32768,r=8,p=1$<salt>$<hash>, as hashPassword() or cache-filter registry passwd makes it';

/** @throws OptionError for a name or a hash that can't be one */
export function usersOf(hashes: Readonly<Record<string, string>>): Users {
  const users = new Map<string, PasswordHash>();
  for (const [name, hash] of Object.entries(hashes)) add(users, name, hash, `users[${show(name)}]`, 'users');
  return users;
}

/**
 * The users of a text with a line `name:hash` for each; empty lines and those that begin with `#` are left out.
 * @throws OptionError naming the line
 */
export function parseUsers(text: string): Users {
  const users = new Map<string, PasswordHash>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const where = `line ${index + 1} of htpasswd`;
    const colon = line.indexOf(':');
    if (colon < 0) throw new OptionError('htpasswd', `${where} must be name:hash, and has no colon`);
    const name = line.slice(0, colon);
    if (users.has(name)) throw new OptionError('htpasswd', `${where} names ${show(name)} a second time`);
    add(users, name, line.slice(colon + 1).trim(), where, 'htpasswd');
  }
  return users;
}

/** The hash itself is in no message: those go to logs. */
function add(
  users: Map<string, PasswordHash>,
  name: string,
  hash: unknown,
  where: string,
  option: string,
): void {
  // RFC 7617, 2: what comes after the first colon is the password.
  const isName = name !== '' && !name.includes(':') && !hasControl(name);
  if (!isName)
    throw new OptionError(
      option,
      `${where} must have a name without colons and control characters, got ${show(name)}`,
    );
  const parsed = typeof hash === 'string' ? parsePasswordHash(hash) : undefined;
  if (parsed === undefined) throw new OptionError(option, `${where}: the hash must be ${SHAPE}${hint(hash)}`);
  users.set(name, parsed);
}

/** What the tools of others make. */
function hint(hash: unknown): string {
  if (typeof hash !== 'string') return '';
  if (/^\$2[aby]\$/.test(hash)) return '; this one is of bcrypt';
  if (/^\$apr1\$|^\$1\$/.test(hash)) return '; this one is of MD5';
  if (/^\{SHA\}/.test(hash)) return '; this one is of SHA-1';
  return '';
}

function hasControl(text: string): boolean {
  return [...text].some((char) => char < ' ' || char === '\x7f');
}
