// docs/reference/registry.md

import {
  BackendError,
  BusyError,
  type CacheFilterError,
  DigestError,
  ManifestError,
  MissingReferenceError,
  type NamedThing,
  NameError,
  OffsetError,
  SizeError,
  TooLargeError,
  UploadUnknownError,
} from '../errors.ts';

/** The codes of OCI distribution-spec 1.1, "Error Codes", and `UNKNOWN`, which clients take for anything else. */
export type ErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'UNKNOWN';

export type AnswerHeaders = Record<string, string | string[]>;

/** A request that is answered with an error. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly code: ErrorCode;
  readonly headers: AnswerHeaders;
  readonly detail: unknown;

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    { headers = {}, detail, ...options }: ErrorOptions & { headers?: AnswerHeaders; detail?: unknown } = {},
  ) {
    super(message, options);
    this.status = status;
    this.code = code;
    this.headers = headers;
    this.detail = detail;
  }

  /** The document that clients read the code from. */
  get body(): { errors: [{ code: ErrorCode; message: string; detail?: unknown }] } {
    const { code, message, detail } = this;
    return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] };
  }
}

type ErrorClass = abstract new (...args: never[]) => CacheFilterError;

/** What clients are told of an error of the storage; the status is the error's own. */
const CODES: readonly (readonly [ErrorClass, ErrorCode])[] = [
  [DigestError, 'DIGEST_INVALID'],
  [UploadUnknownError, 'BLOB_UPLOAD_UNKNOWN'],
  [OffsetError, 'BLOB_UPLOAD_INVALID'],
  [SizeError, 'SIZE_INVALID'],
  [TooLargeError, 'SIZE_INVALID'],
  [BusyError, 'BLOB_UPLOAD_INVALID'],
  [ManifestError, 'MANIFEST_INVALID'],
  [MissingReferenceError, 'MANIFEST_BLOB_UNKNOWN'],
  [BackendError, 'UNKNOWN'],
];

const NAME_CODES: Record<NamedThing, ErrorCode> = {
  namespace: 'NAME_INVALID',
  repository: 'NAME_INVALID',
  path: 'NAME_INVALID',
  tag: 'MANIFEST_INVALID',
  'media type': 'MANIFEST_INVALID',
  digest: 'DIGEST_INVALID',
  upload: 'BLOB_UPLOAD_UNKNOWN',
};

/** How an error is answered; undefined where it is none of the registry's or its storage's. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof NameError)
    return refuse(error.what === 'upload' ? 404 : error.status, NAME_CODES[error.what], error);
  const code = CODES.find(([type]) => error instanceof type)?.[1];
  if (code === undefined) return undefined;
  const known = error as CacheFilterError;
  return refuse(known.status, code, known);
}

function refuse(status: number, code: ErrorCode, error: CacheFilterError): Refusal {
  const text = error.message.slice(error.code.length + ': '.length);
  const full = status === 507 ? 'the storage is full' : 'the storage is not available';
  return new Refusal(status, code, error.expose ? text : full, {
    cause: error,
    ...(status === 409 || status === 503 ? { headers: { 'Retry-After': '1' } } : {}),
    ...(error instanceof MissingReferenceError ? { detail: { digests: error.digests } } : {}),
    ...(error instanceof DigestError ? { detail: { expected: error.expected, found: error.found } } : {}),
  });
}
