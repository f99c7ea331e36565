// docs/reference/registry.md

import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { OptionReader, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { AnyRequest } from '../http/message.ts';
import { Refusal } from './answers.ts';
import { dummyHash, isPassword } from './password.ts';
import { parseUsers, type Users, usersOf } from './users.ts';

export { hashPassword } from './password.ts';

export interface BasicAuthOptions {
  /** What `hashPassword()` made of each user's password, by the user's name. This, or `htpasswd`. */
  users?: Readonly<Record<string, string>>;
  /** The same as a text, such as that of a file: a line `name:hash` for each user. */
  htpasswd?: string;
  /** Longer passwords are none. Default 1,024 bytes. */
  maxPasswordBytes?: number;
  /** So many passwords are hashed at the same time, in 32 MiB each. Default 2. */
  maxConcurrent?: number;
  /** So many more wait for their turn; the next are answered with 429. Default 64. */
  maxWaiting?: number;
  /** So many credentials that were right are remembered, so that not every request hashes. Default 1,000. */
  maxRemembered?: number;
}

/** Who `basicAuth` says asks. */
export interface BasicUser {
  name: string;
}

/**
 * Users with passwords (RFC 7617), for `authenticate` of a registry. Its answer: the user; false where the credentials are wrong; undefined where
 * there are none, or of another scheme.
 * @throws OptionError; the function: Refusal (429) where too many ask at once
 */
export function basicAuth(
  options: BasicAuthOptions,
): (req: AnyRequest) => Promise<BasicUser | undefined | false> {
  const read = new OptionReader(options, {
    users: true,
    htpasswd: true,
    maxPasswordBytes: true,
    maxConcurrent: true,
    maxWaiting: true,
    maxRemembered: true,
  });
  const verifier = new Verifier(usersFrom(options), {
    maxConcurrent: read.count('maxConcurrent', 2),
    maxWaiting: read.count('maxWaiting', 64),
    maxRemembered: read.count('maxRemembered', 1_000),
  });
  const maxPasswordBytes = read.count('maxPasswordBytes', 1_024);
  return async function basicAuth(req) {
    const given = credentialsOf(req.headers.authorization);
    if (given === undefined) return undefined;
    if (given === false || Buffer.byteLength(given.password) > maxPasswordBytes) return false;
    return (await verifier.isRight(given)) && { name: given.name };
  };
}

function usersFrom({ users, htpasswd }: BasicAuthOptions): Users {
  if ((users === undefined) === (htpasswd === undefined))
    throw new OptionError('users', 'basicAuth takes either users or htpasswd');
  if (htpasswd !== undefined) {
    if (typeof htpasswd === 'string') return parseUsers(htpasswd);
    throw new OptionError('htpasswd', `htpasswd must be a text with lines name:hash, got ${show(htpasswd)}`);
  }
  if (typeof users === 'object' && users !== null) return usersOf(users);
  throw new OptionError('users', `users must be an object of names and hashes, got ${show(users)}`);
}

interface Credentials {
  name: string;
  password: string;
}

/** False where they are malformed. An empty name without a password is what podman and skopeo send who have none. */
function credentialsOf(header: string | undefined): Credentials | undefined | false {
  const [, scheme, rest = ''] = /^([^ ]+)(?: +(.*))?$/.exec(header?.trim() ?? '') ?? [];
  if (scheme?.toLowerCase() !== 'basic') return undefined;
  const text = Buffer.from(rest, 'base64').toString();
  if (text === ':') return undefined;
  // scrypt pads passwords with NUL, so that it takes one with some more of them for the same (RFC 7617, 2: there are none).
  if (text.includes('\0')) return false;
  const colon = text.indexOf(':');
  return colon > 0 && { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

interface Limits {
  maxConcurrent: number;
  maxWaiting: number;
  maxRemembered: number;
}

/** Looks whether credentials are right. Those that were need not be hashed again; a user who is unknown takes as long as a wrong password. */
class Verifier {
  readonly #users: Users;
  readonly #limits: Limits;
  readonly #dummy;
  /** What is remembered can't be read back, nor looked up by whoever does not have this process. */
  readonly #key = randomBytes(32);
  readonly #right: LRUCache<string, true>;
  readonly #asked = new Map<string, Promise<boolean>>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(users: Users, limits: Limits) {
    this.#users = users;
    this.#limits = limits;
    const [like] = users.values();
    this.#dummy = dummyHash(like);
    this.#right = new LRUCache({ max: limits.maxRemembered });
  }

  async isRight({ name, password }: Credentials): Promise<boolean> {
    const known = createHmac('sha256', this.#key)
      .update(JSON.stringify([name, password]))
      .digest('base64');
    if (this.#right.get(known) === true) return true;
    // Clients ask with the same credentials for many things at once.
    const asked = this.#asked.get(known) ?? this.#hash(name, password);
    this.#asked.set(known, asked);
    try {
      const isRight = await asked;
      if (isRight) this.#right.set(known, true);
      return isRight;
    } finally {
      this.#asked.delete(known);
    }
  }

  async #hash(name: string, password: string): Promise<boolean> {
    await this.#turn();
    try {
      const user = this.#users.get(name);
      const isRight = await isPassword(password, user ?? this.#dummy);
      return isRight && user !== undefined;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < this.#limits.maxConcurrent) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= this.#limits.maxWaiting)
      throw new Refusal(429, 'TOOMANYREQUESTS', 'too many sign in at the same time', {
        headers: { 'Retry-After': '1' },
      });
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
