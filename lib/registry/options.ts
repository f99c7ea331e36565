// docs/reference/registry.md

import type { IncomingMessage } from 'node:http';
import { OptionReader, show } from '../checks.ts';
import { OptionError } from '../errors.ts';
import type { AnyRequest } from '../http/message.ts';
import { isName } from '../storage/names.ts';
import type { Storage } from '../storage/storage.ts';
import type {
  Authorization,
  AuthorizeContext,
  ChallengeContext,
  QuotaContext,
  RegistryEvent,
} from './hooks.ts';

type MaybePromise<T> = T | Promise<T>;

/** What a registry asks of its storage. */
type Operation =
  | 'blobSize'
  | 'streamBlob'
  | 'linkedBlobSize'
  | 'linkBlob'
  | 'unlinkBlob'
  | 'startUpload'
  | 'uploadChunk'
  | 'uploadStatus'
  | 'cancelUpload'
  | 'storeUpload'
  | 'putManifest'
  | 'getManifest'
  | 'deleteManifest'
  | 'listTags'
  | 'referrers'
  | 'repositories';

const OPERATIONS: readonly Operation[] = [
  'blobSize',
  'streamBlob',
  'linkedBlobSize',
  'linkBlob',
  'unlinkBlob',
  'startUpload',
  'uploadChunk',
  'uploadStatus',
  'cancelUpload',
  'storeUpload',
  'putManifest',
  'getManifest',
  'deleteManifest',
  'listTags',
  'referrers',
  'repositories',
];

/** A `Storage`, or anything that does the same. `options`: how large a manifest and a blob may be. */
export type RegistryStorage = Pick<Storage, Operation> & {
  readonly options: Pick<Storage['options'], 'maxManifestBytes' | 'maxBlobBytes'>;
};

export interface RegistryOptions<Req extends AnyRequest = IncomingMessage, User = unknown> {
  storage: RegistryStorage;
  /** Where in the storage the repositories are; per request: undefined says that there is nothing for it (404). Default `'default'`. */
  namespace?: string | ((req: Req) => MaybePromise<string | undefined>);
  /**
   * Who asks: `undefined` where the request has no credentials, `false` where they are wrong (401). `basicAuth()` is one. Absent: `req.user`, as
   * middleware before the registry has set it.
   */
  authenticate?: (req: Req) => MaybePromise<User | undefined | false>;
  /** Who may do what. `'anyone'`: whoever reaches the registry may do everything. Absent: nobody may do anything. */
  authorize?: 'anyone' | ((context: AuthorizeContext<Req, User>) => MaybePromise<Authorization>);
  /** The `WWW-Authenticate` of a 401. Default `Basic realm="cache-filter"`. */
  challenge?: string | ((context: ChallengeContext<Req>) => string);
  /** Refuses whatever would change something, with 405. Default false. */
  readOnly?: boolean;
  /** Whether a repository may have a blob of so many bytes. */
  quota?: (context: QuotaContext<Req, User>) => MaybePromise<boolean>;
  /** Told to clients that push in chunks, as the least that one should have but for the last; for backends that don't take smaller ones. Default: nothing is said. */
  chunkMinBytes?: number;
  /** A pushed body of which nothing comes for so long is given up; what came of it is kept. Default 60,000 ms; 0: never. */
  stallTimeoutMs?: number;
  /** A client that takes nothing of a pulled body for so long is let go. Default 120,000 ms; 0: never. */
  sendTimeoutMs?: number;
  /** Told of what was pushed, mounted, pulled and deleted, afterwards. What it answers or throws has no effect. */
  onEvent?: (event: RegistryEvent<Req, User>) => unknown;
}

/** What the registry goes by, with every default in its place. */
export interface RegistryConfig {
  storage: RegistryStorage;
  namespace: string | ((req: AnyRequest) => MaybePromise<string | undefined>);
  authenticate: ((req: AnyRequest) => MaybePromise<unknown>) | undefined;
  authorize: 'anyone' | ((context: AuthorizeContext<AnyRequest>) => unknown) | undefined;
  challenge: string | ((context: ChallengeContext<AnyRequest>) => string);
  readOnly: boolean;
  quota: ((context: QuotaContext<AnyRequest>) => unknown) | undefined;
  chunkMinBytes: number | undefined;
  maxManifestBytes: number;
  maxBlobBytes: number;
  stallTimeoutMs: number;
  sendTimeoutMs: number;
  onEvent: ((event: RegistryEvent<AnyRequest>) => unknown) | undefined;
}

const KNOWN: Record<keyof RegistryOptions, true> = {
  storage: true,
  namespace: true,
  authenticate: true,
  authorize: true,
  challenge: true,
  readOnly: true,
  quota: true,
  chunkMinBytes: true,
  stallTimeoutMs: true,
  sendTimeoutMs: true,
  onEvent: true,
};

/** @throws OptionError */
export function resolveRegistryOptions<Req extends AnyRequest, User>(
  options: RegistryOptions<Req, User>,
): RegistryConfig {
  if (typeof options !== 'object' || options === null)
    throw new OptionError(
      'options',
      `registry takes an object of options, got ${show(options)}; write registry({ storage, authorize })`,
    );
  const read = new OptionReader(options, KNOWN);
  const { storage } = options;
  requireStorage(storage);
  return Object.freeze<RegistryConfig>({
    storage,
    namespace: namespaceOf(options.namespace) as RegistryConfig['namespace'],
    authenticate: read.hook('authenticate') as RegistryConfig['authenticate'],
    authorize: read.hook('authorize', 'anyone') as RegistryConfig['authorize'],
    challenge: challengeOf(options.challenge) as RegistryConfig['challenge'],
    readOnly: read.flag('readOnly', false),
    quota: read.hook('quota') as RegistryConfig['quota'],
    chunkMinBytes: read.bytes('chunkMinBytes', undefined),
    maxManifestBytes: storage.options.maxManifestBytes,
    maxBlobBytes: storage.options.maxBlobBytes,
    stallTimeoutMs: read.milliseconds('stallTimeoutMs', 60_000),
    sendTimeoutMs: read.milliseconds('sendTimeoutMs', 120_000),
    onEvent: read.hook('onEvent') as RegistryConfig['onEvent'],
  });
}

function requireStorage(storage: unknown): void {
  const has = (storage ?? {}) as Record<string, unknown>;
  const missing: string[] = OPERATIONS.filter((name) => typeof has[name] !== 'function');
  if (typeof has['options'] !== 'object' || has['options'] === null) missing.push('options');
  if (missing.length > OPERATIONS.length)
    throw new OptionError(
      'storage',
      `storage is required: a Storage, got ${show(storage)}; write storage: new Storage(backend)`,
    );
  if (missing.length > 0)
    throw new OptionError('storage', `storage must be a Storage; it lacks ${missing.join(', ')}`);
}

function namespaceOf(value: unknown = 'default'): unknown {
  if (typeof value === 'function' || isName('namespace', value)) return value;
  throw new OptionError(
    'namespace',
    `namespace must be a function, or lower-case letters and digits with . _ - between them, got ${show(value)}`,
  );
}

function challengeOf(value: unknown = 'Basic realm="cache-filter"'): unknown {
  if (typeof value === 'function' || (typeof value === 'string' && /^[\t\x20-\x7e]+$/.test(value)))
    return value;
  throw new OptionError(
    'challenge',
    `challenge must be a function, or what WWW-Authenticate says, such as 'Basic realm="images"', got ${show(value)}`,
  );
}
