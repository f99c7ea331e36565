import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

/** A request as a server of `node:http`, or the compatibility API of `node:http2`, hands it to its listeners. */
export type AnyRequest = IncomingMessage | Http2ServerRequest;
/** The same, of a response. */
export type AnyResponse = ServerResponse | Http2ServerResponse;

/** Whether the exchange is HTTP/2. */
export function isHttp2(message: AnyRequest | AnyResponse): boolean {
  return 'stream' in message;
}
