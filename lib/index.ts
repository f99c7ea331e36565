export type {
  Cache,
  CacheQueue,
  CacheStats,
  Claim,
  ClaimOptions,
  Declined,
  DeclineReason,
  Entry,
  EntryInfo,
  EntryUse,
  Fill,
  FillOptions,
  FillReader,
  FindOut,
  Invalidation,
  Key,
  LeaderClaim,
  PartialBody,
  PartsBeginning,
  PartsDeclined,
  PartsDeclineReason,
  PartsStore,
  PartWriter,
  Proof,
  QueuedKey,
  RefreshOptions,
  Removed,
  Verified,
  VerifyOptions,
} from './cache/cache.ts';
export { FileCache, type FileCacheOptions } from './cache/file-cache.ts';
export type { MemoryOptions } from './cache/hot-entries.ts';
export { MemoryCache, type MemoryCacheOptions } from './cache/memory-cache.ts';
export { cacheFilter, cacheFilter as default } from './cache-filter.ts';
export {
  BackendError,
  type BackendReason,
  BusyError,
  CacheFilterError,
  DigestError,
  DirectoryError,
  FormatError,
  HookError,
  IncompleteError,
  IntegrityError,
  ManifestError,
  MissingReferenceError,
  type NamedThing,
  NameError,
  OffsetError,
  OptionError,
  OriginError,
  type OriginReason,
  PrefetchError,
  QueueFullError,
  RefusedError,
  SizeError,
  StoreError,
  type StoreReason,
  SupersededError,
  TooLargeError,
  UploadUnknownError,
} from './errors.ts';
export type {
  CacheFilterEvents,
  EvictEvent,
  FetchEvent,
  FillTrace,
  RequestEvent,
  ServedEvent,
} from './events.ts';
export { type CacheInfo, getCacheInfo, type Next } from './filter/exchange.ts';
export type { CacheFilter } from './filter/filter.ts';
export type { FilterStats } from './filter/journal.ts';
export type { Prefetched, PrefetchInfo } from './filter/prefetch/job.ts';
export type { PrefetchOptions } from './filter/prefetch/prefetcher.ts';
export type { Wanted } from './filter/prefetch/unattended.ts';
export type { PurgeTarget } from './filter/purge.ts';
export type { Body, BodyEnd, ByteRange, HeaderPairs, ResponseHead } from './http/body.ts';
export type { Digest, DigestAlgorithm } from './http/digest.ts';
export type { AnyRequest, AnyResponse } from './http/message.ts';
export type { Logger } from './log.ts';
export type { CacheFilterOptions } from './options.ts';
export type { Authenticate, Challenge } from './origin/authenticate.ts';
export type { BreakerOptions, UpstreamOptions } from './origin/options.ts';
export type { OriginAnswer, OriginOutcome, OriginPlace } from './origin/places.ts';
export { type TokenAuthOptions, tokenAuth } from './origin/token-auth.ts';
export type { ClientAbort } from './policy/client-abort.ts';
export type { Freshness } from './policy/freshness.ts';
export type {
  AbandonedContext,
  AuthorizeContext,
  AuthorizeOutcome,
  HookContext,
  MetadataOutcome,
  OriginContext,
  OriginFetch,
  OriginFetched,
  ResponseContext,
  RewriteContext,
  ServedContext,
} from './policy/hooks.ts';
export { type DebianOptions, debian } from './presets/debian.ts';
export { type NpmOptions, npm } from './presets/npm.ts';
export { type OciOptions, type OciUpstream, oci } from './presets/oci.ts';
export type { Preset } from './presets/types.ts';
export type { Reason } from './reasons.ts';
export { glance } from './routes/glance.ts';
export type { Route, RouteAnswer, RouteRequest } from './routes/route.ts';
