// docs/operating/tls.md

import { X509Certificate } from 'node:crypto';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import { OptionError } from '../../errors.ts';
import { type Say, WatchedFiles } from './watched-files.ts';

export interface CertificateFiles {
  /** The certificate, and after it those of the authorities between it and one that clients know; PEM. */
  cert: string;
  /** PEM, without a passphrase. */
  key: string;
}

/**
 * Gives a server its certificate, and the next one when the files change. Connections that are there go on with the one that they began with.
 * @throws OptionError where the files don't make a certificate with its key, and what can't be read
 */
export function watchCertificate(
  server: Server,
  { cert: certFile, key: keyFile }: CertificateFiles,
  say: Say,
): Promise<WatchedFiles> {
  return WatchedFiles.open({
    ...say,
    paths: [certFile, keyFile],
    take([cert = Buffer.alloc(0), key = Buffer.alloc(0)]) {
      const certificate = pairOf(cert, key, certFile, keyFile);
      server.setSecureContext({ cert, key });
      return `valid until ${new Date(certificate.validTo).toISOString()}`;
    },
  });
}

/** @throws OptionError */
function pairOf(cert: Buffer, key: Buffer, certFile: string, keyFile: string): X509Certificate {
  try {
    // OpenSSL finds out here whether the two belong together; a server that was given others answers nobody.
    createSecureContext({ cert, key });
    return new X509Certificate(cert);
  } catch (error) {
    const why = (error as Error).message;
    throw new OptionError('tls-cert', `${certFile} and ${keyFile} are no certificate and its key: ${why}`, {
      cause: error,
    });
  }
}
