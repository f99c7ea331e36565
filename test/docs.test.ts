/** The documentation names everything that the code has, and its examples compile. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { passwdCommand } from '../lib/cli/passwd-command.ts';
import { pruneCommand } from '../lib/cli/prune-command.ts';
import { registryCommand } from '../lib/cli/registry-command.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What the examples leave to the reader's application. */
const PREAMBLE = `
  interface User { name: string }
  declare namespace Express { interface Request { user?: User } }
  declare const app: import('express').Express;
  declare const server: import('node:http').Server;
  declare const filter: import('cache-filter').CacheFilter;
  declare function serve(req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse): void;
  declare const requireUser: import('express').RequestHandler;
  declare const requireAdmin: import('express').RequestHandler;
  declare function requestId(): import('express').RequestHandler;
  declare function session(): import('express').RequestHandler;
  declare const answerErrors: import('express').ErrorRequestHandler;
  declare const filesRouter: import('express').Router;
  interface FileRow { size: number; owner: string; visibility: 'public' | 'private'; os_hash_value: string }
  declare const catalogue: { get(id: string): Promise<FileRow | undefined> };
  declare function mayRead(user: User | undefined, resource: FileRow): boolean;
`;

/** Files of the reader's that examples import. */
const THEIRS = {
  'docs/reference/my-cache.ts': `
    import { MemoryCache } from 'cache-filter';
    export class MyCache extends MemoryCache {}
  `,
  'docs/reference/my-backend.ts': `
    import { MemoryBackend } from 'cache-filter/storage';
    export class MyBackend extends MemoryBackend {
      async empty() {}
    }
  `,
};

const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md'))
  .map((path) => join('docs', path));

describe('documentation', () => {
  test('docs/reference/options.md has every option', () => {
    const options = propertiesOf('lib/options.ts', 'CacheFilterOptions');
    assert.deepEqual(missingFrom('docs/reference/options.md', options), []);
  });

  test('docs/reference/registry.md has every option, what hooks are given, and every error code', () => {
    const page = 'docs/reference/registry.md';
    const options = [
      ...propertiesOf('lib/registry/options.ts', 'RegistryOptions'),
      ...propertiesOf('lib/registry/basic-auth.ts', 'BasicAuthOptions'),
      ...propertiesOf('lib/registry/hooks.ts', 'AuthorizeContext'),
      ...propertiesOf('lib/registry/hooks.ts', 'QuotaContext'),
      ...propertiesOf('lib/registry/hooks.ts', 'RegistryEvent'),
    ];
    const codes = read('lib/registry/answers.ts').match(/type ErrorCode =([^;]*);/)?.[1] ?? '';
    const names = [...codes.matchAll(/'([A-Z_]+)'/g)].map(([, code = '']) => code);
    assert.ok(names.length > 10, 'no codes in lib/registry/answers.ts');
    assert.deepEqual(missingFrom(page, [...options, ...names]), []);
  });

  test('docs/reference/cache-contract.md has every option of the built-in caches, and of a fill', () => {
    const options = [
      ...propertiesOf('lib/cache/file-cache-options.ts', 'FileCacheOptions'),
      ...propertiesOf('lib/cache/memory-cache.ts', 'MemoryCacheOptions'),
      ...propertiesOf('lib/cache/cache.ts', 'FillOptions'),
    ];
    assert.deepEqual(missingFrom('docs/reference/cache-contract.md', options), []);
  });

  test('docs/reference/cache-contract.md has every method of a cache, and every member of what it says of itself', () => {
    const page = 'docs/reference/cache-contract.md';
    const contract = 'lib/cache/cache.ts';
    const words = new Set(read(page).match(/\w+/g));
    const members = [
      'Cache',
      'CacheQueue',
      'Fill',
      'Proof',
      'ClaimOptions',
      'CacheStats',
      'VerifyOptions',
      'Verified',
      'EntryUse',
      'QueuedKey',
    ];
    const names = [...members, 'EntryInfo', 'FillReader'].flatMap((name) => propertiesOf(contract, name));
    assert.deepEqual(
      names.filter((name) => !words.has(name)),
      [],
    );
  });

  test('docs/reference/backend-contract.md has every operation, and every option of the built-in backends', () => {
    const page = 'docs/reference/backend-contract.md';
    const contract = 'lib/storage/backends/backend.ts';
    const entries = new Set(entriesOf(page).map((entry) => entry.replace(/\(.*/, '')));
    const names = [
      ...propertiesOf(contract, 'StorageBackend'),
      ...propertiesOf('lib/storage/backends/filesystem.ts', 'FilesystemBackendOptions'),
      ...propertiesOf('lib/storage/backends/memory.ts', 'MemoryBackendOptions'),
      ...propertiesOf('lib/contracts/backend/suite.ts', 'MadeBackend'),
    ];
    assert.deepEqual(
      names.filter((name) => !entries.has(name)),
      [],
    );
    const words = new Set(read(page).match(/\w+/g));
    const members = ['ObjectInfo', 'ObjectStream', 'Part', 'Appending'];
    assert.deepEqual(
      members.flatMap((name) => propertiesOf(contract, name)).filter((name) => !words.has(name)),
      [],
    );
  });

  test('docs/reference/storage.md has every operation, every option, and every member of what goes in and comes out', () => {
    const page = 'docs/reference/storage.md';
    const entries = new Set(entriesOf(page).map((entry) => entry.replace(/\(.*/, '')));
    const names = [
      ...methodsOf('lib/storage/storage.ts', 'Storage'),
      ...propertiesOf('lib/storage/options.ts', 'StorageOptions'),
      ...propertiesOf('lib/storage/prune.ts', 'PruneOptions'),
      ...propertiesOf('lib/storage/prune/report.ts', 'PruneReport'),
      ...propertiesOf('lib/storage/uploads.ts', 'ChunkOptions'),
      ...propertiesOf('lib/storage/manifests.ts', 'PutManifestOptions'),
    ];
    assert.deepEqual(
      names.filter((name) => !entries.has(name)),
      [],
    );
    const words = new Set(read(page).match(/\w+/g));
    const members = [
      ...propertiesOf('lib/storage/uploads.ts', 'UploadOptions'),
      ...propertiesOf('lib/storage/uploads.ts', 'UploadStatus'),
      ...propertiesOf('lib/storage/uploads.ts', 'Chunk'),
      ...propertiesOf('lib/storage/manifests.ts', 'PutManifest'),
      ...propertiesOf('lib/storage/manifests.ts', 'StoredManifest'),
      ...propertiesOf('lib/storage/manifest.ts', 'Descriptor'),
      ...propertiesOf('lib/storage/prune/report.ts', 'Tally'),
      ...propertiesOf('lib/storage/prune/report.ts', 'PruneProblem'),
      ...propertiesOf('lib/storage/prune/report.ts', 'NamespaceReport'),
      ...propertiesOf('lib/storage/prune/run.ts', 'PruneEvent'),
    ];
    assert.deepEqual(
      members.filter((name) => !words.has(name)),
      [],
    );
  });

  test('docs/reference/storage-format.md has every member of the record of an upload', () => {
    const record = propertiesOf('lib/storage/upload-record.ts', 'UploadRecord');
    assert.deepEqual(missingFrom('docs/reference/storage-format.md', record), []);
  });

  test('docs/reference/filter.md has what can be asked of a filter, and all that it counts', () => {
    const page = 'docs/reference/filter.md';
    const words = new Set(read(page).match(/\w+/g));
    const counted = read('lib/filter/journal.ts').match(/interface FilterStats[\s\S]*?^}/m)?.[0] ?? '';
    const names = [
      ...propertiesOf('lib/filter/exchange.ts', 'CacheInfo'),
      ...propertiesOf('lib/cache/cache.ts', 'CacheStats'),
      ...[...counted.matchAll(/(\w+)\??:/g)].map(([, name = '']) => name),
      ...['purge', 'verify', 'stats', 'idle', 'close', 'cache'],
    ];
    assert.ok(names.includes('servedBytes') && names.includes('collapsed'));
    assert.deepEqual(
      names.filter((name) => !words.has(name)),
      [],
    );
  });

  test('docs/guides/registry-command.md has every flag of the registry and its commands, and no other', () => {
    const nothing = async () => undefined;
    const commands = [registryCommand(nothing), passwdCommand(nothing), pruneCommand(nothing)];
    const flags = new Set(commands.flatMap(({ options }) => options.map(({ flags }) => flags)));
    const page = 'docs/guides/registry-command.md';
    assert.deepEqual(missingFrom(page, [...flags]), []);
    // In the table of who may do what, flags stand for a way to run it.
    const [, before = '', after = ''] =
      /^([\s\S]*?)^## Who may do what$[\s\S]*?(^## [\s\S]*)/m.exec(read(page)) ?? [];
    const rows = [...`${before}${after}`.matchAll(/^\| `(--[^`]*)`/gm)].map(([, name = '']) => name);
    assert.ok(rows.length >= flags.size);
    assert.deepEqual(
      rows.filter((name) => !flags.has(name)),
      [],
      'flags that there are not',
    );
  });

  test('docs/reference/errors.md has every error code, and no other', () => {
    const pattern = /(ERR_CACHE_FILTER_[A-Z_]+)/g;
    const thrown = found(pattern);
    assert.notEqual(thrown.length, 0);
    assert.deepEqual(missingFrom('docs/reference/errors.md', thrown), []);
    const unknown = read('docs/reference/errors.md')
      .match(pattern)
      ?.filter((code) => !thrown.includes(code));
    assert.deepEqual(unknown, [], 'codes that nothing in lib/ has');
  });

  test('docs/reference/reasons.md has every reason', async () => {
    const { REASONS } = await import('../lib/reasons.ts');
    assert.deepEqual(missingFrom('docs/reference/reasons.md', Object.keys(REASONS)), []);
  });

  test('CHANGELOG.md begins with the version of package.json', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    const top = /^## \[(?!Unreleased\])([^\]]+)\] - \d{4}-\d{2}-\d{2}$/m.exec(read('CHANGELOG.md'))?.[1];
    assert.equal(top, version);
  });

  test('docs/reference/events.md has every channel, and every namespace of the debug log', () => {
    const page = 'docs/reference/events.md';
    const channels = propertiesOf('lib/events.ts', 'CacheFilterEvents').map((name) => name.replace(/'/g, ''));
    const [tracing, ...more] = found(/tracingChannel\('([^']+)'\)/g);
    assert.ok(tracing !== undefined && more.length === 0, 'one tracing channel in lib/');
    assert.deepEqual(missingFrom(page, [...channels, tracing]), []);
    const namespaces = found(/createDebug\('([^']+)'\)/g);
    assert.notEqual(namespaces.length, 0);
    assert.deepEqual(missingFrom(page, namespaces), []);
    const prose = read(page).replace(/^```[\s\S]*?^```$/gm, '');
    const words = new Set([...prose.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word.replace(/\?$/, '')));
    assert.deepEqual(
      payloadMembers().filter((member) => !words.has(member)),
      [],
      'members of payloads',
    );
    const unknown = entriesOf(page)
      .filter((name) => name.startsWith('cache-filter:'))
      .filter((name) => ![...channels, tracing, ...namespaces].includes(name));
    assert.deepEqual(unknown, [], 'names that nothing in lib/ has');
  });

  test('docs/dependencies.md has every dependency, and no other as one that is taken', () => {
    const { dependencies, peerDependencies } = JSON.parse(read('package.json')) as Record<string, object>;
    const taken = Object.keys({ ...dependencies, ...peerDependencies });
    assert.notEqual(taken.length, 0);
    const page = 'docs/dependencies.md';
    assert.deepEqual(missingFrom(page, taken), []);
    const headings = entriesOf(page, /^### .*/gm);
    assert.deepEqual(
      headings.filter((name) => !taken.includes(name)),
      [],
      'headings for what package.json has not',
    );
  });

  test('the TypeScript examples of README.md and of every page in docs/ compile', () => {
    assert.notEqual(examplesOf('README.md').size, 0, 'README.md has no ```ts examples');
    const examples = new Map(['README.md', ...docs].flatMap((page) => [...examplesOf(page)]));
    assert.deepEqual(problemsOf(examples), []);
  });

  test('links between the pages lead somewhere', () => {
    const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...docs];
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, link = '']) => link)
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => !leadsSomewhere(page, link))
        .map((link) => `${page}: ${link}`),
    );
    assert.deepEqual(broken, []);
  });
});

/** Those of `names` that are in no heading and in no first cell of a table row, as code. */
function missingFrom(page: string, names: readonly string[]): string[] {
  const documented = new Set(entriesOf(page));
  return names.filter((name) => !documented.has(name));
}

/** What a page has as code in its headings and in the first cells of its tables. */
function entriesOf(page: string, where = /^(#+ .*|\|[^|]*\|)/gm): string[] {
  const entries = read(page).match(where) ?? [];
  return entries.flatMap((entry) => [...entry.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

/** To a file, and to a heading of it where the link names one. */
function leadsSomewhere(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? page : join(page, '..', path);
  if (!existsSync(join(root, target))) return false;
  return anchor === undefined || anchorsOf(target).includes(anchor);
}

/** As GitHub makes them of headings. */
function anchorsOf(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** What the pattern's group finds in the source, once each. */
function found(pattern: RegExp): string[] {
  const sources = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  const all = sources.flatMap((path) =>
    [...read(join('lib', path)).matchAll(pattern)].map(([, name = '']) => name),
  );
  return [...new Set(all)];
}

function propertiesOf(path: string, name: string): string[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest);
  const declaration = source.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === name,
  );
  const names = declaration?.members.map(({ name }) => name?.getText(source) ?? '') ?? [];
  assert.notEqual(names.length, 0, `${path} has no interface ${name} with members`);
  return names;
}

/** Of a class, those that are public, and not inherited. */
function methodsOf(path: string, name: string): string[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest);
  const declaration = source.statements.find(
    (statement): statement is ts.ClassDeclaration =>
      ts.isClassDeclaration(statement) && statement.name?.text === name,
  );
  const names = (declaration?.members ?? [])
    .filter(ts.isMethodDeclaration)
    .map((method) => method.name?.getText(source) ?? '')
    .filter((method) => method !== '' && !method.startsWith('#'));
  assert.notEqual(names.length, 0, `${path} has no class ${name} with methods`);
  return names;
}

/** The names of all members that are declared in lib/events.ts, which has nothing but channels (in quotes) and their payloads. */
function payloadMembers(): string[] {
  const path = 'lib/events.ts';
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest);
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isPropertySignature(node) && ts.isIdentifier(node.name)) names.push(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  assert.notEqual(names.length, 0);
  return [...new Set(names)];
}

/**
 * The ```ts blocks of a page, as files of their own in which each line keeps its number. One that begins with `// app.ts` is the file of
 * that name beside the page, which others import.
 */
function examplesOf(page: string): Map<string, string> {
  const text = read(page);
  const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)];
  return new Map(
    blocks.map((block, index) => {
      const linesBefore = text.slice(0, block.index).split('\n').length;
      const named = /^\/\/ ([\w-]+\.ts)\n/.exec(block[1] ?? '')?.[1];
      const path = named === undefined ? `${page}.${index + 1}.ts` : join(page, '..', named);
      return [join(root, path), `${'\n'.repeat(linesBefore)}${block[1]}export {};\n`];
    }),
  );
}

function problemsOf(examples: ReadonlyMap<string, string>): string[] {
  const files = new Map(examples).set(join(root, 'preamble.d.ts'), PREAMBLE);
  for (const [path, text] of Object.entries(THEIRS)) files.set(join(root, path), text);
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  Object.assign(options, {
    noUnusedLocals: false,
    noUnusedParameters: false,
    isolatedDeclarations: false,
    declaration: false,
    paths: {
      'cache-filter': [join(root, 'lib/index.ts')],
      'cache-filter/storage': [join(root, 'lib/storage/index.ts')],
      'cache-filter/registry': [join(root, 'lib/registry/index.ts')],
      'cache-filter/contracts': [join(root, 'lib/contracts/index.ts')],
    },
  } satisfies ts.CompilerOptions);

  const host = ts.createCompilerHost(options);
  const { fileExists, readFile } = host;
  host.fileExists = (path) => files.has(path) || fileExists.call(host, path);
  host.readFile = (path) => files.get(path) ?? readFile.call(host, path);

  return ts.getPreEmitDiagnostics(ts.createProgram([...files.keys()], options, host)).map((diagnostic) => {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n');
    if (diagnostic.file === undefined || diagnostic.start === undefined) return message;
    const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start);
    return `${diagnostic.file.fileName.slice(root.length)}, line ${line + 1}: ${message}`;
  });
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}
