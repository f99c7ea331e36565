/** The entry point `cache-filter/registry`. */

export { type BasicAuthOptions, type BasicUser, basicAuth, hashPassword } from './basic-auth.ts';
export type {
  Action,
  Authorization,
  AuthorizeContext,
  ChallengeContext,
  QuotaContext,
  RegistryEvent,
} from './hooks.ts';
export type { RegistryOptions, RegistryStorage } from './options.ts';
export { type Registry, registry } from './router.ts';
