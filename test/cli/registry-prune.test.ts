import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { linesOf } from '../../lib/cli/commands/prune.ts';
import { FilesystemBackend } from '../../lib/storage/index.ts';
import { layout } from '../../lib/storage/layout.ts';
import { digestOf, pushBlob, pushImage, startRegistry } from './registry-support.ts';
import { ask, runCli, scratchDirectory } from './support.ts';

interface Tally {
  objects: number;
  bytes: number;
  tags: number;
  uploads: number;
  manifests: number;
  blobs: number;
}

interface Report {
  dryRun: boolean;
  removed: Tally;
  kept: Tally;
  problems: { namespace: string; what: string; message: string }[];
  namespaces: Record<string, { removed: Tally; kept: Tally; swept: boolean }>;
}

async function prune(
  t: TestContext,
  directory: string,
  ...flags: string[]
): Promise<{ code: number | null; report: Report }> {
  const cli = runCli(t, ['registry', 'prune', '--directory', directory, '--json', ...flags]);
  const { code } = await cli.ended;
  assert.equal(cli.stderr(), '');
  return { code, report: JSON.parse(cli.stdout()) as Report };
}

/** Everything is old. */
const AT_ONCE = ['--upload-max-age', '0'];

test('what no image needs is removed beside a registry that serves; a dry run says the same, and removes nothing', async (t) => {
  const { url, directory } = await startRegistry(t);
  await pushImage(url, 'v1');
  await pushBlob(url, 'nobody needs this');
  assert.equal((await ask(`${url}/v2/app/blobs/uploads/`, { method: 'POST' })).status, 202);
  const orphan = `${url}/v2/app/blobs/${digestOf('nobody needs this')}`;

  const young = await prune(t, directory);
  assert.equal(young.report.removed.objects, 0, 'what is younger than an hour stays');

  const dry = await prune(t, directory, ...AT_ONCE, '--dry-run');
  assert.equal(dry.report.dryRun, true);
  // Asked for over HTTP, the blob would be noted as asked for.
  assert.deepEqual((await prune(t, directory, ...AT_ONCE, '--dry-run')).report, dry.report);
  const { code, report } = await prune(t, directory, ...AT_ONCE);
  assert.equal(code, 0);
  assert.deepEqual({ ...dry.report, dryRun: false }, report);
  assert.equal(report.removed.blobs, 1);
  assert.equal(report.removed.uploads, 1);
  assert.deepEqual(report.problems, []);

  assert.equal((await ask(orphan)).status, 404);
  assert.equal((await ask(`${url}/v2/app/manifests/v1`)).status, 200);
  assert.equal((await ask(`${url}/v2/app/blobs/${digestOf('layer of v1')}`)).status, 200);
  assert.equal(
    (await prune(t, directory, ...AT_ONCE)).report.removed.objects,
    0,
    'nothing is left to remove',
  );
});

test('for people it prints what was removed and kept, in objects and bytes', async (t) => {
  const { url, directory } = await startRegistry(t);
  await pushImage(url, 'v1');
  await pushBlob(url, Buffer.alloc(2048));
  const cli = runCli(t, ['registry', 'prune', '--directory', directory, ...AT_ONCE, '--dry-run']);
  assert.equal((await cli.ended).code, 0);
  assert.match(
    cli.stdout(),
    /^to remove \d+ objects, 2\.\d KiB \(2\d+ bytes\): no uploads, no tags, no manifests, 1 blob\nto keep {3}\d+ objects, \d+ bytes \(\d+ bytes\): no uploads, 1 tag, 1 manifest, 3 blobs\n$/,
  );
});

test('--keep-tags: the tags that were pushed last stay; --namespace: other ones are not touched', async (t) => {
  const { url, directory } = await startRegistry(t);
  for (const tag of ['v1', 'v2', 'v3']) await pushImage(url, tag);
  const elsewhere = await prune(t, directory, ...AT_ONCE, '--keep-tags', '1', '--namespace', 'other');
  assert.deepEqual(elsewhere.report.removed.objects, 0);
  const { report } = await prune(t, directory, ...AT_ONCE, '--keep-tags', '1', '--namespace', 'default');
  assert.equal(report.removed.tags, 2);
  const tags = await ask(`${url}/v2/app/tags/list`);
  assert.deepEqual(JSON.parse(tags.body.toString()).tags, ['v3']);
});

test('--used-within: a tag that was pulled stays, where the registry notes that', async (t) => {
  const { url, directory } = await startRegistry(t, ['--track-use']);
  for (const tag of ['v1', 'v2']) await pushImage(url, tag);
  assert.equal((await ask(`${url}/v2/app/manifests/v1`)).status, 200);
  await prune(t, directory, ...AT_ONCE, '--manifest-max-age', '0', '--used-within', '1d');
  const tags = await ask(`${url}/v2/app/tags/list`);
  assert.deepEqual(JSON.parse(tags.body.toString()).tags, ['v1']);
});

test('a document that is damaged is a problem: exit code 1, and its path is named', async (t) => {
  const { url, directory } = await startRegistry(t);
  await pushImage(url, 'v1');
  const backend = new FilesystemBackend({ directory });
  await backend.put(layout.manifest('default', 'app', 'v1'), Buffer.from('damaged'));
  const { code, report } = await prune(t, directory, ...AT_ONCE);
  assert.equal(code, 1);
  assert.match(report.problems[0]?.what ?? '', /app\/_manifests\/v1/);
  const people = runCli(t, ['registry', 'prune', '--directory', directory, ...AT_ONCE]);
  assert.equal((await people.ended).code, 1);
  assert.match(people.stdout(), /^problem {3}default: .*_manifests\/v1: .*\nremoved /);
});

test('a directory in which no registry has been ends it with exit code 1, and is not made', async (t) => {
  const directory = await scratchDirectory(t);
  for (const path of [directory, join(directory, 'mistyped')]) {
    const cli = runCli(t, ['registry', 'prune', '--directory', path]);
    assert.equal((await cli.ended).code, 1);
    assert.equal(cli.stderr(), `error: ${path} has nothing of a registry in it\n`);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('a namespace whose blobs were left alone is named', () => {
  const tally = { objects: 0, bytes: 0, uploads: 0, tags: 0, manifests: 0, blobs: 0 };
  const namespaces = {
    one: { removed: tally, kept: tally, swept: true },
    two: { removed: tally, kept: tally, swept: false },
  };
  const [first] = linesOf({ removed: tally, kept: tally, problems: [], namespaces }, false);
  assert.equal(first, 'unswept   two: no blob of it was removed, since what needs them is not known');
});
