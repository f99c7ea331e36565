/** `cache-filter registry` as a process of its own, and what clients send to it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { hashPassword } from '../../lib/registry/index.ts';
import { type Answer, type Asking, ask, type Cli, runCli, scratchDirectory } from './support.ts';

export const IMAGE = 'application/vnd.oci.image.manifest.v1+json';

export interface RegistryCli extends Cli {
  url: string;
  directory: string;
}

/** `registry` with these flags, once it listens. A directory and any free port are provided. */
export async function startRegistry(
  t: TestContext,
  args: readonly string[] = [],
  directory?: string,
): Promise<RegistryCli> {
  const own = directory ?? (await scratchDirectory(t));
  const cli = runCli(t, ['registry', '--directory', own, '--port', '0', '--durability', 'none', ...args]);
  const [, url = ''] = await cli.printed(/listening on (\S+),/);
  return { ...cli, url, directory: own };
}

/** What `--htpasswd` takes, with passwords that are hashed fast. */
export async function usersText(passwords: Record<string, string>): Promise<string> {
  const lines = Object.entries(passwords).map(
    async ([name, password]) => `${name}:${await hashPassword(password, 2)}\n`,
  );
  return (await Promise.all(lines)).join('');
}

export async function usersFile(t: TestContext, passwords: Record<string, string>): Promise<string> {
  const path = join(await scratchDirectory(t), 'users');
  await writeFile(path, await usersText(passwords));
  return path;
}

export function as(user: string, password: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function errorOf({ body }: Answer): { code: string; message: string } | undefined {
  const { errors } = JSON.parse(body.toString()) as { errors?: { code: string; message: string }[] };
  return errors?.[0];
}

export type Ask = (url: string, asking?: Asking) => Promise<Answer>;

/** Pushes a blob in one request. */
export async function pushBlob(
  url: string,
  bytes: Buffer | string,
  { headers = {}, repository = 'app', with: send = ask }: Pushing = {},
): Promise<Answer> {
  const to = `${url}/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`;
  return send(to, {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream', ...headers },
    body: bytes,
  });
}

export interface Pushing {
  headers?: Record<string, string>;
  repository?: string;
  with?: Ask;
}

/** Pushes an image of one layer; its digest. */
export async function pushImage(url: string, tag: string, pushing: Pushing = {}): Promise<string> {
  const { headers = {}, repository = 'app', with: send = ask } = pushing;
  const [config, layer] = ['{}', `layer of ${tag}`];
  for (const blob of [config, layer])
    assert.equal((await pushBlob(url, blob, pushing)).status, 201, `blob ${blob}`);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: IMAGE,
    config: describe('application/vnd.oci.image.config.v1+json', config),
    layers: [describe('application/vnd.oci.image.layer.v1.tar', layer)],
  });
  const answer = await send(`${url}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'Content-Type': IMAGE, ...headers },
    body: manifest,
  });
  assert.equal(answer.status, 201, answer.body.toString());
  return digestOf(manifest);
}

function describe(mediaType: string, content: string): object {
  return { mediaType, digest: digestOf(content), size: Buffer.byteLength(content) };
}

export function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
