// docs/reference/registry.md

import type { IncomingMessage, ServerResponse } from 'node:http';
import createDebug from 'debug';
import type { AnyRequest, AnyResponse } from '../http/message.ts';
import { isGone } from '../response/flow.ts';
import { requireName } from '../storage/names.ts';
import { Refusal, refusalOf } from './answers.ts';
import { identify, permit } from './authorize.ts';
import { deleteBlob, pullBlob } from './blobs.ts';
import { listRepositories } from './catalog.ts';
import type { Exchange } from './exchange.ts';
import type { Question } from './hooks.ts';
import { deleteManifest, pullManifest, pushManifest } from './manifests.ts';
import { type RegistryConfig, type RegistryOptions, resolveRegistryOptions } from './options.ts';
import { listReferrers } from './referrers.ts';
import { reply } from './reply.ts';
import { type EndPoint, parseTarget, type Target } from './request.ts';
import { RequestBody } from './request-body.ts';
import { listTags } from './tags.ts';
import { appendToUpload, cancelUpload, completeUpload, startUpload, uploadStatus } from './uploads.ts';

const debug = createDebug('cache-filter:registry');

/** For Express, Connect, or a server of `node:http` or `node:http2` itself. */
export type Registry<Req extends AnyRequest = IncomingMessage> = (
  req: Req,
  res: AnyResponse,
  next?: (error?: unknown) => void,
) => void;

type Handler<P extends EndPoint> = (exchange: Exchange, point: P) => Promise<void>;

type Handlers = {
  [Kind in EndPoint['kind']]: Partial<Record<string, Handler<Extract<EndPoint, { kind: Kind }>>>>;
};

/** What is done at each end point. HEAD is GET without its body. */
const HANDLERS: Handlers = {
  root: { GET: ping },
  catalog: { GET: listRepositories },
  tags: { GET: listTags },
  uploads: { POST: startUpload },
  upload: { GET: uploadStatus, PATCH: appendToUpload, PUT: completeUpload, DELETE: cancelUpload },
  blob: { GET: pullBlob, DELETE: deleteBlob },
  manifest: { GET: pullManifest, PUT: pushManifest, DELETE: deleteManifest },
  referrers: { GET: listReferrers },
};

/**
 * A router that serves a storage as an OCI registry (distribution-spec 1.1, and what its main branch adds): container clients push to it and
 * pull from it. What is not below `/v2` goes to `next`, or is answered with 404 where there is none.
 * @throws OptionError
 */
export function registry<Req extends AnyRequest = IncomingMessage, User = unknown>(
  options: RegistryOptions<Req, User>,
): Registry<Req> {
  const config = resolveRegistryOptions(options);
  return function registry(req, res, next) {
    const target = parseTarget(req);
    if (target === undefined) {
      if (next !== undefined) next();
      else (res as ServerResponse).writeHead(404).end();
      return;
    }
    const body = new RequestBody(req, config.stallTimeoutMs);
    void serve(config, { req, res, target, body }).catch((error: unknown) =>
      fail({ req, res, body, config }, error, next),
    );
  };
}

async function serve(
  config: RegistryConfig,
  asked: Omit<Exchange, 'config' | 'namespace' | 'user'>,
): Promise<void> {
  const { req, res, target } = asked;
  (res as ServerResponse).setHeader('Docker-Distribution-API-Version', 'registry/2.0');
  const point = check(target);
  const handler = handlerOf(point, req.method ?? '', config);
  const user = await identify(config, req, aboutOf(point, req.method));
  const namespace = typeof config.namespace === 'string' ? config.namespace : await config.namespace(req);
  if (namespace === undefined) throw new Refusal(404, 'NAME_UNKNOWN', 'there is no such repository');
  announceNamespace(asked);
  await handler({ ...asked, config, user, namespace }, point);
}

/** Nothing is asked of hooks and storage about names that are none. @throws Refusal, NameError */
function check({ endPoint }: Target): EndPoint {
  if (endPoint === undefined) throw new Refusal(404, 'UNSUPPORTED', 'there is no such end point');
  if ('repository' in endPoint) requireName('repository', endPoint.repository);
  if ('digest' in endPoint) requireName('digest', endPoint.digest);
  if ('id' in endPoint) requireName('upload', endPoint.id);
  if (endPoint.kind === 'manifest' && endPoint.reference.includes(':'))
    requireName('digest', endPoint.reference);
  return endPoint;
}

function handlerOf(point: EndPoint, method: string, { readOnly }: RegistryConfig): Handler<EndPoint> {
  const handlers = HANDLERS[point.kind] as Partial<Record<string, Handler<EndPoint>>>;
  const all = Object.keys(handlers);
  const allowed = (readOnly ? all.filter((each) => each === 'GET') : all).flatMap((each) =>
    each === 'GET' ? ['GET', 'HEAD'] : [each],
  );
  const handler = handlers[method === 'HEAD' ? 'GET' : method];
  if (handler !== undefined && allowed.includes(method)) return handler;
  throw new Refusal(
    405,
    'UNSUPPORTED',
    readOnly && handler !== undefined ? 'the registry is read-only' : 'there is no such method here',
    { headers: { Allow: allowed.join(', ') } },
  );
}

/** What a request will be asked about, as far as its end point says. */
function aboutOf(point: EndPoint, method: string | undefined): Pick<Question, 'action' | 'repository'> {
  if (point.kind === 'root') return { action: 'ping', repository: '' };
  if (point.kind === 'catalog') return { action: 'catalog', repository: '' };
  const { kind, repository } = point;
  if (kind === 'uploads' || kind === 'upload' || method === 'PUT') return { action: 'push', repository };
  return { action: method === 'DELETE' ? 'delete' : 'pull', repository };
}

/** GET /v2/: whether there is a registry, and whether it takes the credentials (end point 1). */
async function ping(exchange: Exchange): Promise<void> {
  await permit(exchange, { action: 'ping', repository: '' });
  reply(exchange, 200, {}, {});
}

/** A client that takes the registry for a proxy says which host it means; this one has the same for all of them. */
function announceNamespace({ req, res, target }: Pick<Exchange, 'req' | 'res' | 'target'>): void {
  const ns = target.query.get('ns');
  const reads = req.method === 'GET' || req.method === 'HEAD';
  if (ns !== null && reads && /^[\w.:[\]-]{1,255}$/.test(ns))
    (res as ServerResponse).setHeader('OCI-Namespace', ns);
}

function fail(
  exchange: Pick<Exchange, 'req' | 'res' | 'body' | 'config'>,
  error: unknown,
  next: ((error?: unknown) => void) | undefined,
): void {
  const { req, res, body } = exchange;
  body.stop();
  if (isGone(res)) {
    debug('%s %s: the client has left: %o', req.method, req.url, error);
    return;
  }
  const refusal = refusalOf(error);
  debug('%s %s: %o', req.method, req.url, error);
  try {
    if (refusal !== undefined) {
      reply(exchange, refusal.status, refusal.headers, refusal.body);
      return;
    }
  } catch (unsendable) {
    // A challenge that is no header.
    fail(exchange, unsendable, next);
    return;
  }
  if (next !== undefined) next(error);
  else reply(exchange, 500, {}, new Refusal(500, 'UNKNOWN', 'something failed').body);
}
