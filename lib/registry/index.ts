/** The entry point `cache-filter/registry`. */

export type { Action, Authorization, AuthorizeContext, ChallengeContext } from './authorize.ts';
export { type BasicAuthOptions, type BasicUser, basicAuth, hashPassword } from './basic-auth.ts';
export type { RegistryEvent } from './notify.ts';
export type { RegistryOptions, RegistryStorage } from './options.ts';
export type { QuotaContext } from './quota.ts';
export { type Registry, registry } from './router.ts';
