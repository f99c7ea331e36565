import type { Readable } from 'node:stream';
import type { HeaderPairs } from '../http/body.ts';
import type { Authenticate } from './authenticate.ts';

/** Where something can be had. */
export interface OriginTarget {
  /** Absolute, http: or https:, without user information. */
  url: URL;
  /** Ours, credentials among them: for this host, and never sent to another one. They take the place of a request's fields of the same name. */
  headers?: HeaderPairs | undefined;
  /** How to answer a 401 of this host; see `tokenAuth`. What it says is never sent to another host. */
  authenticate?: Authenticate | undefined;
}

export interface OriginRequest {
  method: string;
  /** In order of preference: the next one is asked where one gives no answer, or one that is a failure of its own (502, 503, 504). */
  targets: readonly OriginTarget[];
  /** Sent to whichever is asked, without those about the connection (RFC 9110, 7.6.1), Host and Expect. */
  headers: HeaderPairs;
  /** Sent once, as it comes: such a request is not repeated. GET and HEAD have none. It is destroyed when the request fails. */
  body?: Readable | undefined;
  /** Ends the request, and the body of its answer. */
  signal: AbortSignal;
}

/** An answer, whatever its status. Who gets it reads its body to the end, or destroys it. */
export interface OriginResponse {
  status: number;
  statusMessage: string;
  /** As they came, in their letter case, repeated ones repeated; without those about the connection (RFC 9110, 7.6.1). */
  headers: HeaderPairs;
  /** Which of the targets gave it, and the URL that it came from in the end. */
  target: OriginTarget;
  url: string;
  /** How its end is known. Of `close` (the connection ended, as in HTTP/1.0) nobody can say whether it came too early. */
  delimited: 'length' | 'chunked' | 'close';
  /**
   * Raw bytes, nothing decoded. It is destroyed with an OriginError where it ends before its declared length, is cut off, or stalls; what
   * is beyond the declared length is an error too. It asks for no more than is read of it.
   */
  body: Readable;
}
