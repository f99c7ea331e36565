/** The import arrows between the parts of `lib/`, and a few rules for every file of the project. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What the story of a request ties together, and the files that tell it. */
const INNER = [
  'errors',
  'reasons',
  'events',
  'log',
  'steps',
  'checks',
  'options',
  'http',
  'policy',
  'routes',
  'response',
  'cache',
  'origin',
];
const STORY = ['cache-filter', 'filter'];

/**
 * A part is a folder of `lib/`, or a file directly in it. It may import itself, what `imports` names, and,
 * as types only, what `types` names (a part, or one file of it).
 */
const ARROWS: Record<string, { imports: string[]; types?: string[] }> = {
  errors: { imports: [] },
  reasons: { imports: [] },
  log: { imports: [] },
  steps: { imports: [] },
  checks: { imports: ['errors'] },
  http: { imports: ['errors'] },
  fs: { imports: ['errors'] },
  events: { imports: [], types: ['reasons', 'http', 'cache/cache.ts'] },
  cache: { imports: ['errors', 'reasons', 'events', 'log', 'checks', 'http', 'fs'] },
  response: { imports: ['errors', 'reasons', 'http'] },
  // These know of a cache what its contract says, never which one it is.
  policy: { imports: ['errors', 'reasons', 'steps', 'http'], types: ['cache/cache.ts'] },
  routes: { imports: ['errors', 'reasons', 'checks', 'http', 'policy'], types: ['cache/cache.ts'] },
  origin: { imports: ['errors', 'reasons', 'events', 'log', 'checks', 'http'] },
  storage: { imports: ['errors', 'events', 'log', 'checks', 'http', 'fs'] },
  contracts: { imports: ['errors', 'http'], types: ['cache/cache.ts', 'storage/backends/backend.ts'] },
  'origin-options': { imports: ['errors', 'checks', 'http', 'policy', 'origin'] },
  options: {
    imports: ['errors', 'reasons', 'log', 'checks', 'http', 'policy', 'routes', 'cache', 'origin-options'],
  },
  ...Object.fromEntries(STORY.map((file) => [file, { imports: [...INNER, ...STORY] }])),
  index: { imports: [...INNER, ...STORY, 'presets'] },
  // Nothing that a user could not have written.
  presets: { imports: ['errors', 'checks', 'http', 'policy', 'routes', 'origin'] },
  // Leaves: nothing imports them, but the command line.
  registry: { imports: ['errors', 'events', 'log', 'checks', 'http', 'response', 'storage'] },
  // Its doctor looks at the disk itself.
  cli: { imports: [...INNER, 'fs', 'cache-filter', 'index', 'storage', 'registry'] },
};

interface Import {
  from: string;
  specifier: string;
  typeOnly: boolean;
}

const libFiles = filesBelow('lib').filter((path) => path.endsWith('.ts'));
const imports = libFiles.flatMap(importsOf);

describe('architecture', () => {
  test('lib/ has files, and every part of it has its arrows', () => {
    assert.notEqual(libFiles.length, 0);
    const parts = new Set(libFiles.map(partOf));
    assert.deepEqual(
      [...parts].filter((part) => !Object.hasOwn(ARROWS, part)),
      [],
      'parts of lib/ without an entry in ARROWS',
    );
  });

  test('imports between the parts of lib/ point one way', () => {
    const wrong = imports
      .filter(({ specifier }) => specifier.startsWith('.'))
      .filter((found) => !allowed(found));
    assert.deepEqual(wrong.map(say), []);
  });

  test('relative imports are written with .ts and stay in lib/', () => {
    const wrong = imports
      .filter(({ specifier }) => specifier.startsWith('.'))
      .filter((found) => !libFiles.includes(targetOf(found)));
    assert.deepEqual(wrong.map(say), []);
  });

  test('lib/ imports no framework', () => {
    const wrong = imports.filter(({ specifier }) =>
      /^(@types\/)?(express|connect|koa|fastify)\b/.test(specifier),
    );
    assert.deepEqual(wrong.map(say), []);
  });

  test('no file of lib/ is longer than 350 lines', () => {
    const long = libFiles.map((path) => `${path}: ${read(path).split('\n').length - 1} lines`);
    assert.deepEqual(
      long.filter((line) => Number(/: (\d+) lines$/.exec(line)?.[1]) > 350),
      [],
    );
  });

  test('no file names a place that exists on one machine only', () => {
    const places = [
      /(?<![\w.])\/(work|home|root|Users)\/\w/,
      /\bshared\/[\w-]+(\/|\.md)/,
      /\bregistry\.[a-z]+\.[a-z]{2,}/i,
    ];
    const found = projectFiles().flatMap((path) =>
      read(path)
        .split('\n')
        .flatMap((line, index) =>
          places.some((place) => place.test(line)) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
        ),
    );
    assert.deepEqual(found, []);
  });
});

function allowed(found: Import): boolean {
  const target = targetOf(found);
  const [from, to] = [partOf(found.from), partOf(target)];
  if (from === to) return true;
  const { imports = [], types = [] } = ARROWS[from] ?? {};
  return (
    imports.includes(to) ||
    (found.typeOnly && (types.includes(to) || types.includes(target.slice('lib/'.length))))
  );
}

/** `lib/cache/fill/fill.ts` → `cache`, `lib/errors.ts` → `errors`. */
function partOf(path: string): string {
  return path.split('/')[1]?.replace(/\.ts$/, '') ?? path;
}

function targetOf({ from, specifier }: Import): string {
  return normalize(join(dirname(from), specifier));
}

function say({ from, specifier, typeOnly }: Import): string {
  return `${from} imports ${typeOnly ? 'the types of ' : ''}${specifier}`;
}

function importsOf(path: string): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node | undefined, typeOnly: boolean): void => {
    if (node !== undefined && ts.isStringLiteralLike(node))
      found.push({ from: path, specifier: node.text, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, onlyTypes(node.importClause));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, onlyTypes(node));
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest));
  return found;
}

/** Whether nothing of the import is left at run time: `import type …`, or `type` before each name. */
function onlyTypes(clause: ts.ImportClause | ts.ExportDeclaration | undefined): boolean {
  if (clause === undefined) return false;
  if (ts.isExportDeclaration(clause)) {
    const names = clause.exportClause;
    return clause.isTypeOnly || (names !== undefined && ts.isNamedExports(names) && allTypes(names.elements));
  }
  const names = clause.namedBindings;
  return (
    clause.phaseModifier === ts.SyntaxKind.TypeKeyword ||
    (clause.name === undefined && names !== undefined && ts.isNamedImports(names) && allTypes(names.elements))
  );
}

function allTypes(names: ts.NodeArray<ts.ImportSpecifier | ts.ExportSpecifier>): boolean {
  return names.length > 0 && names.every(({ isTypeOnly }) => isTypeOnly);
}

function projectFiles(): string[] {
  const entries = readdirSync(root, { withFileTypes: true });
  const generated = new Set(['.git', 'node_modules', 'dist', 'coverage', '.cache']);
  return entries.flatMap((entry) => {
    if (generated.has(entry.name) || entry.name === 'package-lock.json') return [];
    return entry.isDirectory() ? filesBelow(entry.name) : entry.isFile() ? [entry.name] : [];
  });
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('node_modules'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}
