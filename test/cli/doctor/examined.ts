import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Status } from '../../../lib/cli/doctor/check.ts';
import { CHECKS, type Diagnosis, diagnose } from '../../../lib/cli/doctor/diagnose.ts';

/** Checks that depend on nothing but the file system, and hold on every one that a test can have. */
const SOUND = CHECKS.slice(CHECKS.indexOf('exclusive-create')).filter(
  // Limits of the machine, and how busy it is.
  (name) => !['watch', 'fsync-file', 'large-files'].includes(name),
);

/** Every name below a directory, with what tells whether it was touched. */
function trace(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { ino, size, mode, mtimeMs } = statSync(path);
      return `${relative(directory, path)} ${ino} ${mode} ${entry.isFile() ? `${size} ${mtimeMs}` : ''}`;
    })
    .sort();
}

/** A diagnosis that leaves everything as it was. */
export async function examined(directory: string, maxBytes?: number, above = directory): Promise<Diagnosis> {
  const before = trace(above);
  const diagnosis = await diagnose({ directory, maxBytes });
  assert.deepEqual(trace(above), before, 'it leaves no trace');
  return diagnosis;
}

/** The same, without the probes. */
export async function looked(directory: string, maxBytes?: number): Promise<Diagnosis> {
  const enough = new AbortController();
  const before = trace(directory);
  const diagnosis = await diagnose({
    directory,
    maxBytes,
    signal: enough.signal,
    onResult: ({ name }) => name === 'descriptors' && enough.abort(),
  });
  assert.equal(diagnosis.verdict, 'interrupted');
  assert.deepEqual(trace(directory), before, 'it leaves no trace');
  return diagnosis;
}

export function found({ checks }: Diagnosis, name: string, status: Status, fact: RegExp): void {
  const result = checks.find((check) => check.name === name);
  assert.ok(result, `${name} was not checked`);
  assert.equal(result.status, status, `${name}: ${result.fact}`);
  assert.match(result.fact, fact);
  assert.equal(Boolean(result.meaning && result.advice), status !== 'ok', `${name}: what to do`);
}

export function sound({ checks }: Diagnosis): void {
  for (const name of SOUND) {
    const { status, fact } = checks.find((check) => check.name === name) ?? {};
    assert.equal(status, 'ok', `${name}: ${fact}`);
  }
}
