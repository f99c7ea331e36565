import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let made: { key: Buffer; cert: Buffer } | undefined;

/** A certificate for a server; undefined where there is no openssl to make one. */
export function certificate(): { key: Buffer; cert: Buffer } | undefined {
  if (made !== undefined) return made;
  const directory = mkdtempSync(join(tmpdir(), 'cache-filter-test-'));
  const [key, cert] = [join(directory, 'key'), join(directory, 'pem')];
  try {
    const how = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
    execFileSync('openssl', [...how, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    made = { key: readFileSync(key), cert: readFileSync(cert) };
    return made;
  } catch {
    return undefined;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
