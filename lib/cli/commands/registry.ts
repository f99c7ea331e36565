// docs/guides/registry-command.md

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { OptionError } from '../../errors.ts';
import { Log } from '../../log.ts';
import { registry } from '../../registry/index.ts';
import { FilesystemBackend, Storage } from '../../storage/index.ts';
import { logAccess } from '../access-log.ts';
import { answerError, answerText, probeAnswer } from '../answers.ts';
import { errorText } from '../error-text.ts';
import { type AccessFlags, accessOf, CHALLENGE, requireLoopback } from '../registry/access.ts';
import { type CertificateFiles, watchCertificate } from '../registry/certificate.ts';
import { isLoopback } from '../registry/this-host.ts';
import type { Say, WatchedFiles } from '../registry/watched-files.ts';
import { Work } from '../registry/work.ts';
import { listen, Running, type Serving, urlOf, withinMs } from '../serving.ts';

export interface ServeRegistryOptions extends AccessFlags, Say {
  directory: string;
  namespace: string;
  /** 0: any free one. */
  port: number;
  readOnly: boolean;
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
  durability: 'none' | 'commit';
  maxBlobBytes: number;
  maxManifestBytes: number;
  /** Whether it is noted when something is pulled. */
  trackUse: boolean;
  shutdownTimeoutMs: number;
  accessLog: boolean;
}

export interface ServingRegistry extends Serving {
  /** For whom it is, in words. */
  audience: string;
  /** Reads the users, the certificate and its key again. */
  reload(): void;
}

/** What a request that was cut off has sent is stored within that time, or not any more. */
const LAST_WRITES_MS = 5_000;

/** Longer than the 90 s after which Go's clients give up a connection that they don't use: they don't repeat a push that meets its end. */
const KEEP_ALIVE_MS = 95_000;

/**
 * Starts a registry on a directory.
 *
 * @throws OptionError where the options don't go together; BackendError, FormatError, or the error of `listen`, where they can't be met
 */
export async function serveRegistry(options: ServeRegistryOptions): Promise<ServingRegistry> {
  const { directory, namespace, readOnly, shutdownTimeoutMs } = options;
  const certificate = certificateOf(options);
  const files: WatchedFiles[] = [];
  const access = await accessOf(options, options);
  if (access.file !== undefined) files.push(access.file);
  const { durability, maxBlobBytes, maxManifestBytes, trackUse } = options;
  const storage = new Storage(new FilesystemBackend({ directory, durability }), {
    maxBlobBytes,
    maxManifestBytes,
    trackUse,
  });
  const failures = new Log({ warn: options.warn, error: options.warn });
  const work = new Work(storage, (error) => failures.error('store-down', errorText(error)));
  const router = registry({ storage: work.storage, namespace, readOnly, ...access.hooks });
  const running = new Running();
  let draining = false;

  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    running.add(res);
    if (draining) res.shouldKeepAlive = false;
    if (options.accessLog) logAccess(req, res, options.log);
    const probe = probeAnswer(req, draining);
    if (probe !== undefined) {
      answerText(res, probe.status, probe.text);
      return;
    }
    // Those who have a password give it only when asked, and may be asked before anything is refused (RFC 9110, 11.6.1).
    if (options.anonymousPull && isPing(req)) res.setHeader('WWW-Authenticate', CHALLENGE);
    router(req, res, (error) => {
      if (error) answerError(req, res, error);
      else answerText(res, 404, '404 Not Found: the registry is at /v2/');
    });
  };
  const server: Server = certificate === undefined ? createServer(onRequest) : createTlsServer(onRequest);
  // Node's default, 5 minutes for a whole request, would end pushes. The time for the headers stays limited.
  server.requestTimeout = 0;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  try {
    if (certificate !== undefined)
      files.push(await watchCertificate(server as ReturnType<typeof createTlsServer>, certificate, options));
    // Whether the directory can be used is to be known now, and not by the first push.
    await storage.namespaces().next();
    await listen(server, options);
    const { address } = server.address() as AddressInfo;
    // `localhost` is what the host says it is.
    if (options.htpasswd === undefined) requireLoopback(address);
    else if (certificate === undefined && !isLoopback(address)) options.warn(UNENCRYPTED);
  } catch (error) {
    server.close();
    for (const file of files) file.close();
    throw error;
  }

  return {
    server,
    url: urlOf(server, certificate === undefined ? 'http' : 'https'),
    audience: access.audience,
    running: () => running.size,
    reload() {
      for (const file of files) void file.reload();
    },
    async close() {
      draining = true;
      server.close();
      await withinMs(shutdownTimeoutMs, running.idle());
      const cut = running.size;
      server.closeAllConnections();
      await withinMs(LAST_WRITES_MS, work.done());
      for (const file of files) file.close();
      return cut;
    },
  };
}

const UNENCRYPTED =
  'cache-filter: passwords come unencrypted; unless a TLS server is in front of it, give --tls-cert and --tls-key';

/** @throws OptionError */
function certificateOf({ tlsCert, tlsKey }: ServeRegistryOptions): CertificateFiles | undefined {
  if (tlsCert !== undefined && tlsKey !== undefined) return { cert: tlsCert, key: tlsKey };
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  const [given, missing] = tlsCert === undefined ? ['tls-key', 'tls-cert'] : ['tls-cert', 'tls-key'];
  throw new OptionError(missing, `--${given} needs --${missing}`);
}

function isPing({ url = '' }: IncomingMessage): boolean {
  return /^\/v2\/?(\?|$)/.test(url);
}
