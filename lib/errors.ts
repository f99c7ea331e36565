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
