// docs/reference/errors.md

/** What every error of this package has in common: a stable `code`, and the HTTP status it stands for. */
export class CacheFilterError extends Error {
  override readonly name: string = 'CacheFilterError';
  readonly code: string;
  /** What Express's and Connect's final handler answers with. */
  readonly status: number;
  /** Whether the message may be shown to a client. */
  readonly expose: boolean;

  constructor(
    code: string,
    message: string,
    options: ErrorOptions & { status?: number; expose?: boolean } = {},
  ) {
    super(`${code}: ${message}`, options);
    this.code = code;
    this.status = options.status ?? 500;
    this.expose = options.expose ?? false;
  }
}

/** An option that can't be used as given: says which, what came, and what would be right. */
export class OptionError extends CacheFilterError {
  override readonly name = 'OptionError';
  readonly option: string;

  constructor(option: string, message: string, options?: ErrorOptions) {
    super('ERR_CACHE_FILTER_OPTION', message, options);
    this.option = option;
  }
}

/** A cache directory that can't be used: names the path, the operating system's error and the user. */
export class DirectoryError extends CacheFilterError {
  override readonly name = 'DirectoryError';
  readonly directory: string;

  constructor(directory: string, message: string, options?: ErrorOptions) {
    super('ERR_CACHE_FILTER_DIRECTORY', message, options);
    this.directory = directory;
  }
}

/** A hook that threw nothing, but answered what it can't mean, or did not answer in time (503). */
export class HookError extends CacheFilterError {
  override readonly name = 'HookError';
  readonly hook: string;

  constructor(hook: string, message: string, options?: ErrorOptions & { status?: number }) {
    super('ERR_CACHE_FILTER_HOOK', message, options);
    this.hook = hook;
  }
}

/** The policy said no: `status` is what the client gets (403 from `authorize`, 404 from `metadata`). */
export class RefusedError extends CacheFilterError {
  override readonly name = 'RefusedError';
  /** What the answer should carry. */
  readonly headers: Record<string, string> = {};

  constructor(status: number, message: string) {
    super('ERR_CACHE_FILTER_REFUSED', message, { status, expose: status < 500 });
  }
}

/** Bytes that are not what was declared: wrong length or wrong digest. Never stored, never passed off as whole. */
export class IntegrityError extends CacheFilterError {
  override readonly name = 'IntegrityError';

  constructor(message: string) {
    super('ERR_CACHE_FILTER_INTEGRITY', message, { status: 502 });
  }
}

/** A body whose source stopped before its end: the handler destroyed its response, or ended short. */
export class IncompleteError extends CacheFilterError {
  override readonly name = 'IncompleteError';

  constructor(message: string, options?: ErrorOptions) {
    super('ERR_CACHE_FILTER_INCOMPLETE', message, { ...options, status: 502 });
  }
}

/** A fill that was purged, or whose cache was closed, while it ran. */
export class SupersededError extends CacheFilterError {
  override readonly name = 'SupersededError';

  constructor(message: string) {
    super('ERR_CACHE_FILTER_SUPERSEDED', message, { status: 503 });
  }
}

/** Why a store did not keep a body that was as it should be. */
export type StoreReason = 'no-room' | 'store-down' | 'too-large' | 'too-small';

/**
 * The store did not keep a body: its disk failed (full, read-only, gone), or it is not of a size that is kept. The response it
 * happened under goes on without it.
 */
export class StoreError extends CacheFilterError {
  override readonly name = 'StoreError';
  readonly reason: StoreReason;

  constructor(
    message: string,
    { reason = 'store-down', ...options }: ErrorOptions & { reason?: StoreReason } = {},
  ) {
    super('ERR_CACHE_FILTER_STORE', message, options);
    this.reason = reason;
  }
}

/**
 * Why an origin gave no answer, or not all of it. `unreachable`: no connection, or one that ended before the answer. `timeout`: no answer in time.
 * `busy`: too many requests of ours wait for it. `circuit-open`: it has failed so often that it is left alone for a while. `redirect`: it sent us where we
 * don't go. `broken`: what came is no answer, or its body ended early. `stalled`: its body stopped coming. `changed`: the rest of a body
 * that broke off can't be had, because the origin now has another one.
 */
export type OriginReason =
  | 'unreachable'
  | 'timeout'
  | 'busy'
  | 'circuit-open'
  | 'redirect'
  | 'broken'
  | 'stalled'
  | 'changed';

const ORIGIN_STATUS: Partial<Record<OriginReason, number>> = { timeout: 504, busy: 503, 'circuit-open': 503 };

/** An origin gave no answer, or not all of it. Names method and host, never a path, a query or credentials. */
export class OriginError extends CacheFilterError {
  override readonly name = 'OriginError';
  readonly reason: OriginReason;
  /** What the answer should carry: Retry-After, where it is known. */
  readonly headers: Record<string, string>;

  /** @param options `retryAfter` in seconds */
  constructor(
    reason: OriginReason,
    message: string,
    { retryAfter, ...options }: ErrorOptions & { retryAfter?: number | undefined } = {},
  ) {
    super('ERR_CACHE_FILTER_ORIGIN', message, { ...options, status: ORIGIN_STATUS[reason] ?? 502 });
    this.reason = reason;
    this.headers = retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) };
  }
}

/** As many keys are queued for fetching as the cache keeps. */
export class QueueFullError extends CacheFilterError {
  override readonly name = 'QueueFullError';
  /** How many. */
  readonly limit: number;

  constructor(limit: number) {
    super(
      'ERR_CACHE_FILTER_QUEUE_FULL',
      `the queue has its limit of ${limit} keys; have some fetched, or remove some with queue.remove()`,
      { status: 503 },
    );
    this.limit = limit;
  }
}

/** Why a storage backend did not do what it was asked to. `missing`: there is no such object. `damaged`: it is not what was said of it. */
export type BackendReason = 'missing' | 'damaged' | 'full' | 'failed';

/** What a storage keeps its objects in failed: its disk, or the network to it. Says which operation on which object. */
export class BackendError extends CacheFilterError {
  override readonly name = 'BackendError';
  readonly reason: BackendReason;

  constructor(
    message: string,
    { reason = 'failed', ...options }: ErrorOptions & { reason?: BackendReason } = {},
  ) {
    super('ERR_CACHE_FILTER_BACKEND', message, { ...options, status: reason === 'full' ? 507 : 503 });
    this.reason = reason;
  }
}

/** A namespace, repository, tag, digest, upload id or path that is none: says what came, and what would be right. */
export class NameError extends CacheFilterError {
  override readonly name = 'NameError';
  readonly what: NamedThing;

  constructor(what: NamedThing, message: string) {
    super('ERR_CACHE_FILTER_NAME', message, { status: 400, expose: true });
    this.what = what;
  }
}

export type NamedThing = 'namespace' | 'repository' | 'tag' | 'digest' | 'upload' | 'path' | 'media type';

/** Bytes that do not have the digest that they were to be stored under. Nothing has changed: it may be tried again with the right one. */
export class DigestError extends CacheFilterError {
  override readonly name = 'DigestError';
  readonly expected: string;
  readonly found: string;

  constructor(expected: string, found: string) {
    super('ERR_CACHE_FILTER_DIGEST', `the content has the digest ${found}, not ${expected}`, {
      status: 400,
      expose: true,
    });
    this.expected = expected;
    this.found = found;
  }
}

/** There is no such upload: it was completed, cancelled, or not touched for too long. */
export class UploadUnknownError extends CacheFilterError {
  override readonly name = 'UploadUnknownError';

  constructor(id: string) {
    super(
      'ERR_CACHE_FILTER_UPLOAD_UNKNOWN',
      `there is no upload ${id}: it was completed, cancelled, or has expired`,
      { status: 404, expose: true },
    );
  }
}

/** A chunk that does not begin where the stored bytes end. */
export class OffsetError extends CacheFilterError {
  override readonly name = 'OffsetError';
  /** Where the next chunk has to begin: how many bytes are stored. */
  readonly offset: number;

  constructor(offset: number, came: number) {
    super(
      'ERR_CACHE_FILTER_OFFSET',
      `the chunk begins at byte ${came}, but ${offset} are stored: go on from there`,
      { status: 416, expose: true },
    );
    this.offset = offset;
  }
}

/** A chunk with more or fewer bytes than were announced. What came of it is stored. */
export class SizeError extends CacheFilterError {
  override readonly name = 'SizeError';
  readonly expected: number;
  readonly found: number;

  constructor(expected: number, found: number) {
    super('ERR_CACHE_FILTER_SIZE', `${found} bytes came where ${expected} were announced`, {
      status: 400,
      expose: true,
    });
    this.expected = expected;
    this.found = found;
  }
}

/** More bytes than are taken. */
export class TooLargeError extends CacheFilterError {
  override readonly name = 'TooLargeError';
  readonly limit: number;

  constructor(what: string, limit: number) {
    super('ERR_CACHE_FILTER_TOO_LARGE', `${what} may have ${limit} bytes`, { status: 413, expose: true });
    this.limit = limit;
  }
}

/** Somebody else is writing to the upload, and did not end in time. */
export class BusyError extends CacheFilterError {
  override readonly name = 'BusyError';

  constructor(what: string) {
    super('ERR_CACHE_FILTER_BUSY', `${what} is being written to by another request; try again`, {
      status: 409,
      expose: true,
    });
  }
}

/** A document that is no manifest: says why. */
export class ManifestError extends CacheFilterError {
  override readonly name = 'ManifestError';

  constructor(message: string, options?: ErrorOptions) {
    super('ERR_CACHE_FILTER_MANIFEST', message, { ...options, status: 400, expose: true });
  }
}

/** A manifest names content that its repository does not have. */
export class MissingReferenceError extends CacheFilterError {
  override readonly name = 'MissingReferenceError';
  /** What is missing, or the first 100 of it. */
  readonly digests: readonly string[];

  constructor(digests: readonly string[]) {
    super(
      'ERR_CACHE_FILTER_REFERENCE',
      `the manifest names content that the repository does not have: ${digests.join(', ')}; push that first`,
      { status: 404, expose: true },
    );
    this.digests = digests;
  }
}

/** A storage that a newer version of this package has written. */
export class FormatError extends CacheFilterError {
  override readonly name = 'FormatError';
  readonly format: number;

  constructor(where: string, format: number, known: number) {
    super(
      'ERR_CACHE_FILTER_FORMAT',
      `${where} has format ${format}, and this version knows formats up to ${known}: use a newer version of cache-filter`,
    );
    this.format = format;
  }
}

/** Something was to be fetched ahead of time, and is not stored. */
export class PrefetchError extends CacheFilterError {
  override readonly name = 'PrefetchError';
  /** Why, as one of the tokens of docs/reference/reasons.md; `no-origin`: the filter has nothing to fetch from. */
  readonly reason: string;
  /** The status that the origin answered with, where that is why. */
  readonly answered: number | undefined;

  constructor(message: string, reason: string, answered?: number) {
    super('ERR_CACHE_FILTER_PREFETCH', message, { status: 502 });
    this.reason = reason;
    this.answered = answered;
  }
}
