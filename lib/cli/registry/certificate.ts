// docs/operating/tls.md

import { createPrivateKey, X509Certificate } from 'node:crypto';
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

/** @throws OptionError which says which of the two is not what it should be */
function pairOf(cert: Buffer, key: Buffer, certFile: string, keyFile: string): X509Certificate {
  const certificate = asking('tls-cert', `${certFile} is no certificate in PEM`, () => {
    if (!cert.includes('-----BEGIN ')) throw new Error('nothing in it begins with -----BEGIN');
    return new X509Certificate(cert);
  });
  const privateKey = asking('tls-key', `${keyFile} is no key in PEM without a passphrase`, () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey))
    throw new OptionError('tls-key', `the key in ${keyFile} is not that of the certificate in ${certFile}`);
  // What is wrong with those after the first, or too weak; a server that was given such a pair answers nobody.
  asking('tls-cert', `${certFile} and ${keyFile} can't be used`, () => createSecureContext({ cert, key }));
  return certificate;
}

function asking<T>(flag: string, what: string, ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    throw new OptionError(flag, `${what}: ${(error as Error).message}`, { cause: error });
  }
}
