/**
 * Packs the package, installs it into each project beside this file, in a temporary folder, and uses it there
 * as its users do: `npm run check:consumers`, or `node test/consumers/run.mjs commonjs` for one.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const { devDependencies: versions } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const named = process.argv.slice(2);
const projects = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && (named.length === 0 || named.includes(entry.name)))
  .map(({ name }) => name);
assert.notEqual(projects.length, 0, `no project is called ${named.join(', ')}`);

const folder = mkdtempSync(join(tmpdir(), 'cache-filter-consumers-'));
try {
  npm(root, 'pack', '--pack-destination', folder);
  const [tarball = ''] = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  for (const project of projects) {
    const cwd = join(folder, project);
    cpSync(join(here, project), cwd, { recursive: true });
    install(cwd, join(folder, tarball));
    npm(cwd, 'run', 'build', '--if-present');
    for (const server of manifestOf(cwd).servers) {
      await cachesForReal(cwd, server);
      console.log(`ok ${project}/${server}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Fills in the versions that the project leaves to this repository, and the package itself. */
function install(cwd, tarball) {
  const manifest = manifestOf(cwd);
  for (const dependencies of [manifest.dependencies, manifest.devDependencies ?? {}]) {
    for (const name of Object.keys(dependencies)) {
      if (dependencies[name] === 'repository') dependencies[name] = versions[name];
    }
  }
  manifest.dependencies['cache-filter'] = `file:${tarball}`;
  writeFileSync(join(cwd, 'package.json'), JSON.stringify(manifest));
  npm(cwd, 'install', '--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', '--ignore-scripts');
}

/** Starts a server of the project, which prints its port, and asks it for the same file again and again. */
async function cachesForReal(cwd, main) {
  const directory = join(cwd, `${main}.cache`);
  const server = spawn(process.execPath, [main, directory], {
    cwd,
    // Express prints every refusal in any other environment.
    env: { ...withoutHooks(), NODE_ENV: 'test' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(server, 'exit', { signal: AbortSignal.timeout(60_000) });
  try {
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const { value: port } = await lines.next();
    assert.match(port ?? '', /^\d+$/, `${main} ended without printing its port`);

    const answers = [];
    for (const user of ['x', 'x', 'y']) {
      const response = await fetch(`http://127.0.0.1:${port}/files/a`, {
        headers: { 'x-user': user },
        signal: AbortSignal.timeout(10_000),
      });
      answers.push({
        status: response.status,
        cacheStatus: response.headers.get('cache-status'),
        body: await response.text(),
      });
    }
    const [miss, hit, refused] = answers;
    assert.deepEqual(miss, { status: 200, cacheStatus: 'cache-filter; fwd=uri-miss; stored', body: 'abc' });
    assert.match(hit.cacheStatus ?? 'no Cache-Status', /^cache-filter; hit(;|$)/);
    assert.deepEqual([hit.status, hit.body], [200, 'abc']);
    assert.equal(refused.status, 403, 'a hit is refused to a user whom authorize does not know');

    server.kill('SIGTERM');
    const [code, signal] = await exited;
    assert.deepEqual(
      { code, signal },
      { code: 0, signal: null },
      'the server ends once its filter is closed',
    );
  } finally {
    server.kill('SIGKILL');
    await exited;
  }
}

function manifestOf(cwd) {
  return JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'));
}

function npm(cwd, ...args) {
  try {
    execFileSync('npm', args, {
      cwd,
      env: withoutHooks(),
      stdio: 'pipe',
      shell: process.platform === 'win32',
    });
  } catch (error) {
    throw new Error(`npm ${args.join(' ')} failed in ${cwd}\n${error.stdout}\n${error.stderr}`);
  }
}

/** A user's environment: no loader of ours, and none of what npm tells the scripts it runs. */
function withoutHooks() {
  const ours =
    /^(NODE_OPTIONS|npm_(config_(?!cache|registry|cafile|userconfig|globalconfig)|package_|lifecycle_).*)$/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}
