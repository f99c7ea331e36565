// docs/reference/reasons.md

/** Why a request was not answered from the cache, or its answer not kept: stable tokens, with what each means. */
export const REASONS = {
  bypass: 'the `bypass` hook asked to step aside',
  changed: 'the response that was to go on with a fill is of another representation',
  closed: 'the filter has been closed',
  collapse: 'the fill it waited for did not start in time, or its answer could not be shared',
  conditional: 'a conditional request for something not stored goes to the application as it is',
  credentials: 'the request carries credentials and the response is not marked `public` or `s-maxage`',
  deactivated: '`metadata` says that the resource is deactivated',
  deleted: '`metadata` says that the resource is deleted',
  denied: '`authorize` said no',
  discarded: 'its last client left, and `clientAbort` said not to finish it',
  encoding: 'the response has a Content-Encoding that earlier middleware chose for this client',
  expired: 'the stored response is no longer fresh',
  head: 'a HEAD request for something not stored goes to the application',
  'head-sent': 'an earlier middleware has already begun the response',
  'fills-full': 'as many fills run as `maxFills` allows',
  'hook-error': '`shouldStore` or `digest` threw, took too long, or answered what it can not mean',
  mismatch: 'what is stored is not what `metadata` describes',
  'min-uses': 'it has not been asked for `minUses` times yet',
  'no-digest': 'no digest is declared, and `integrity` is `digest`',
  'no-freshness': 'the response says nothing about how long it is fresh',
  'no-length': 'neither a length nor a digest can prove the body',
  'no-room': 'the body does not fit the budget beside what is being read or written',
  'no-store': 'the response (or its no-cache) forbids to keep it, or the request does',
  'not-200': 'only complete 200 responses are kept',
  'not-found': '`metadata` knows nothing of the resource for this caller',
  private: 'the response is for one user',
  purge: 'the entry was purged: `authorize` asked for it, or it happened while the body was being written',
  range: 'a range far from where the fill is, `coldRange` is `bypass`, or the request has a Content-Range',
  'request-body': 'the request has a body, on which its answer may depend',
  'set-cookie': 'the response sets a cookie',
  'should-store': '`shouldStore` said no',
  stalled: 'the application did nothing for `stallTimeoutMs`, or took longer than `maxFillMs`',
  'store-down': 'the cache could not be read or written, or did not answer within `storeTimeoutMs`',
  superseded: 'the entry was purged, replaced or evicted while its head was brought up to date',
  'too-large': 'the body is larger than `maxEntryBytes`',
  'too-small': 'the body is smaller than `minEntryBytes`',
  unfinished: 'the application did not finish the response',
  'unknown-format': 'a newer version of this package has stored it, in a format that this one does not know',
  unproven:
    'the body is not what its length or digests declare, or not what came of it before it was handed over',
  vary: 'the response varies by request headers that `vary` does not name',
} as const;

/** One of the tokens of {@link REASONS}. */
export type Reason = keyof typeof REASONS;
