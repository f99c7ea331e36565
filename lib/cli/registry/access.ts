// docs/guides/registry-command.md

import type { IncomingMessage } from 'node:http';
import { OptionError } from '../../errors.ts';
import { isMissing } from '../../fs/files.ts';
import { Refusal } from '../../registry/answers.ts';
import { type BasicUser, basicAuth, type RegistryOptions } from '../../registry/index.ts';
import { parseUsers } from '../../registry/users.ts';
import { errorText } from '../error-text.ts';
import { Failure } from '../failure.ts';
import { forwardedBy, isLoopback, strangeBy } from './this-host.ts';
import { type Say, WatchedFiles } from './watched-files.ts';

/** What the registry says to whoever has to sign in. */
export const CHALLENGE = 'Basic realm="cache-filter"';

export interface AccessFlags {
  host: string;
  /** A file with the users and their passwords. Absent: whoever is on this host may do everything. */
  htpasswd?: string | undefined;
  /** Without a password, everybody may pull. */
  anonymousPull: boolean;
}

type Hooks = Required<
  Pick<RegistryOptions<IncomingMessage, BasicUser>, 'authenticate' | 'authorize' | 'challenge'>
>;

/** Who may do what. */
export interface Access {
  hooks: Hooks;
  /** In words. */
  audience: string;
  /** The file of the users, where there is one. */
  file?: WatchedFiles;
}

/** @throws OptionError where the flags let in the world, or the file is broken; what can't be read */
export async function accessOf(flags: AccessFlags, say: Say): Promise<Access> {
  const { host, htpasswd, anonymousPull } = flags;
  if (htpasswd === undefined) {
    if (anonymousPull)
      throw new OptionError('anonymous-pull', '--anonymous-pull needs --htpasswd FILE: those who may push');
    requireLoopback(host);
    return { audience: 'anyone on this host', hooks: THIS_HOST };
  }
  const { file, authenticate } = await usersOf(htpasswd, say);
  return {
    file,
    audience: `users of ${htpasswd}${anonymousPull ? ', pulls for anyone' : ''}`,
    hooks: {
      challenge: CHALLENGE,
      authenticate: anonymousPull
        ? (req) => (isNobody(req.headers.authorization) ? undefined : authenticate(req))
        : authenticate,
      authorize: ({ user, action }) =>
        user !== undefined || (anonymousPull && (action === 'ping' || action === 'pull'))
          ? true
          : 'challenge',
    },
  };
}

/** @throws OptionError where others than this host would have a registry that asks nobody for a password */
export function requireLoopback(host: string): void {
  if (isLoopback(host)) return;
  throw new OptionError(
    'htpasswd',
    `on ${host} everybody who reaches the port could push and delete; name who may with --htpasswd FILE ` +
      '(cache-filter registry passwd FILE USER makes it), or listen on 127.0.0.1',
  );
}

/** A proxy on this host, and a browser, make other people's requests look like this host's. */
const THIS_HOST: Hooks = {
  challenge: CHALLENGE,
  authenticate(req) {
    const [header, strange] = [forwardedBy(req), strangeBy(req)];
    if (header === undefined && strange === undefined) return undefined;
    const why =
      header === undefined
        ? `is for another one, or from its page (${strange})`
        : `came through a proxy (${header})`;
    throw new Refusal(
      403,
      'DENIED',
      `this registry asks nobody for a password and is for its own host only, but the request ${why}; ` +
        'start it with --htpasswd FILE',
    );
  },
  authorize: 'anyone',
};

async function usersOf(
  path: string,
  say: Say,
): Promise<{ file: WatchedFiles; authenticate: ReturnType<typeof basicAuth> }> {
  let current: ReturnType<typeof basicAuth> = async () => false;
  const file = await WatchedFiles.open({
    ...say,
    paths: [path],
    take([bytes]) {
      const htpasswd = String(bytes);
      try {
        const { size } = parseUsers(htpasswd);
        current = basicAuth({ htpasswd });
        if (size === 0) say.warn(`cache-filter: ${path} has no users: nobody can sign in`);
        return `${size} ${size === 1 ? 'user' : 'users'}`;
      } catch (error) {
        throw new OptionError('htpasswd', `${path}: ${errorText(error)}`, { cause: error });
      }
    },
  }).catch((error: Error) => {
    if (!isMissing(error.cause)) throw error;
    throw new Failure(`${error.message}; cache-filter registry passwd ${path} USER makes it`, {
      cause: error,
    });
  });
  return { file, authenticate: (req) => current(req) };
}

/** Clients of containers/image that were challenged send an empty name and password where they have none. */
function isNobody(header: string | undefined): boolean {
  return /^basic +Og==$/i.test(header?.trim() ?? '');
}
