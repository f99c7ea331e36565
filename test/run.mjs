/**
 * Runs the tests: `npm test`, or a part of them with `npm test -- test/http test/docs.test.ts`.
 *
 * A file list, because the test runner of Node 20 expands no globs. Arguments that begin with `-` go to
 * Node (`npm test -- --test-name-pattern=purge`). With CACHE_FILTER_TEST=dist every import of `lib/` is
 * answered from `dist/`, so that the same tests try what is published.
 */
import { spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Slow, or in need of a registry or of other servers: run only when named. */
const ON_REQUEST = [
  'test/bench',
  'test/budget',
  'test/campaigns',
  'test/consumers',
  'test/crash',
  'test/e2e',
  'test/many',
];

/** A hang, not a slow test. Node 20 and 22 apply it to a file, later ones to each test. */
const TIMEOUT_MS = 180_000;

const named = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const flags = process.argv.slice(2).filter((argument) => argument.startsWith('-'));

const files = (named.length > 0 ? named.map((path) => resolve(path)) : [join(root, 'test')]).flatMap(
  testFiles,
);
if (files.length === 0) fail(`no *.test.ts in ${named.join(', ') || 'test'}`);

const against = process.env.CACHE_FILTER_TEST ?? 'lib';
if (against !== 'lib' && against !== 'dist') fail(`CACHE_FILTER_TEST is 'lib' or 'dist', got '${against}'`);

// By NODE_OPTIONS rather than by argument: the processes and workers that tests start need them too.
const support = (name) => pathToFileURL(join(root, 'test/support', name)).href;
const hooks = [import.meta.resolve('tsx'), support('worker-hook.mjs')];
if (against === 'dist') hooks.push(support('dist-hook.mjs'));
const nodeOptions = [process.env.NODE_OPTIONS ?? '', ...hooks.map((url) => `--import=${url}`)]
  .join(' ')
  .trim();

// The command is started dozens of times; its build is ready in a fourth of the time, and just after `npm ci` it is there.
const command = against === 'dist' || isBuilt() ? 'dist' : 'lib';

console.log(
  `# ${files.length} test files against ${against}/, the command of ${command}/, on Node ${process.version}`,
);
const child = spawn(
  process.execPath,
  [
    '--test',
    `--test-timeout=${TIMEOUT_MS}`,
    // Tests that wait leave their core to others.
    '--test-concurrency=3',
    `--test-reporter=${process.stdout.isTTY ? 'spec' : 'tap'}`,
    '--test-reporter-destination=stdout',
    ...flags,
    ...files,
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, NODE_OPTIONS: nodeOptions, CACHE_FILTER_TEST_COMMAND: command },
  },
);
child.on('exit', (code, signal) => {
  if (signal !== null) console.error(`the test runner was ended by ${signal}`);
  process.exitCode = code ?? 1;
});

/** @param {string} path @returns {string[]} */
function testFiles(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const child = join(path, entry.name);
      if (entry.isFile()) return entry.name.endsWith('.test.ts') ? [child] : [];
      if (!entry.isDirectory() || ON_REQUEST.includes(relative(root, child).split(sep).join('/'))) return [];
      return testFiles(child);
    });
}

/** Whether `dist/` was built from `lib/` as it is now. */
function isBuilt() {
  const changed = (path) => statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(root, 'lib'), { recursive: true }).map((name) => join('lib', name));
  const built = changed('dist/cli/main.js');
  return [...sources, 'package.json', 'tsconfig.json', 'tsconfig.build.json'].every(
    (path) => changed(path) < built,
  );
}

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(message);
  process.exit(1);
}
