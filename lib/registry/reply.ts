import type { ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest } from 'node:http2';
import { type AnyRequest, type AnyResponse, isHttp2 } from '../http/message.ts';
import { watchRest } from '../response/deaf.ts';
import { failVisibly, isGone } from '../response/flow.ts';
import type { AnswerHeaders } from './answers.ts';
import type { RegistryConfig } from './options.ts';
import type { RequestBody } from './request-body.ts';

/** So much of a body that nobody wants is taken, for so long, after the answer has gone out: closed at once, the connection would be reset, and many clients would not see the answer. */
const MOST_BYTES = 16 * 1024 * 1024;
const MOST_MS = 5_000;
/** Where no more than that can come the connection goes on. */
const FEW_BYTES = 64 * 1024;

interface Answering {
  req: AnyRequest;
  res: AnyResponse;
  body: RequestBody;
  config: Pick<RegistryConfig, 'sendTimeoutMs'>;
}

/** Answers with a document, or without one. Whatever of the request's body has not been read is not waited for. */
export function reply(
  exchange: Answering,
  status: number,
  headers: AnswerHeaders = {},
  document?: unknown,
): void {
  const { req, body, config } = exchange;
  const res = exchange.res as ServerResponse;
  if (res.headersSent || isGone(exchange.res)) return;
  const { 'Content-Type': type = 'application/json', ...others } = headers;
  for (const [name, value] of Object.entries(others)) res.setHeader(name, value);
  const bytes = document === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(document));
  if (document !== undefined) res.setHeader('Content-Type', type);
  if (status !== 204) res.setHeader('Content-Length', bytes.byteLength);
  body.stop();
  if (body.isOver || isNearlyOver(body, req)) {
    res.writeHead(status).end(bytes);
    if (!body.isOver) expectEnd(req);
    req.resume();
    watchRest(exchange.res, config.sendTimeoutMs, () => failVisibly(exchange.res));
    return;
  }
  if (!isHttp2(req)) res.setHeader('Connection', 'close');
  res.writeHead(status);
  // With all that Content-Length promises the client has its answer; without it, on HEAD say, the head alone.
  if (bytes.byteLength > 0 && req.method !== 'HEAD') res.write(bytes);
  else res.flushHeaders();
  linger(exchange);
}

function isNearlyOver({ declared }: RequestBody, req: AnyRequest): boolean {
  return declared !== undefined && declared <= FEW_BYTES && !isHttp2(req);
}

/** Of a body that is nearly over the rest comes soon: Node's own time for a request is off where large ones are taken. */
function expectEnd(req: AnyRequest): void {
  const timer = setTimeout(() => req.destroy(), MOST_MS).unref();
  for (const event of ['end', 'close']) req.once(event, () => clearTimeout(timer));
}

/** Takes what still comes, within bounds, before the answer ends. */
function linger({ req, res, config }: Answering): void {
  let bytes = 0;
  const close = (): void => {
    clearTimeout(timer);
    req.off('data', count);
    req.off('end', close);
    req.off('close', close);
    const isCut = !req.readableEnded && !isGone(res);
    (res as ServerResponse).end();
    if (isCut) hangUp(req, res);
    watchRest(res, config.sendTimeoutMs, () => failVisibly(res));
  };
  const count = (piece: Uint8Array): void => {
    bytes += piece.byteLength;
    if (bytes > MOST_BYTES) close();
  };
  const timer = setTimeout(close, MOST_MS).unref();
  req.on('data', count);
  req.once('end', close);
  req.once('close', close);
  req.resume();
}

function hangUp(req: AnyRequest, res: AnyResponse): void {
  // RFC 9113, 8.1: a stream may be reset without an error after a complete answer. It waits for that to have gone out.
  if (isHttp2(req)) (req as Http2ServerRequest).stream.close(constants.NGHTTP2_NO_ERROR);
  else if (res.writableFinished) req.destroy();
  else res.once('finish', () => req.destroy());
}
