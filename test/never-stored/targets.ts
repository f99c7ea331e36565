import { answer, type Case, type Group, type Options } from './case.ts';

const RULE = 'docs/guides/routes.md, keys';

/** The application may tell the two apart, so that what is kept for one is no answer to the other. */
const apart = (name: string, a: string, b: string, more: Partial<Case> = {}): Case => ({
  name,
  rule: RULE,
  fate: 'apart',
  options: { freshness: 'immutable' },
  handler: answer({}),
  a: { target: a },
  b: { target: b },
  ...more,
});

const FILES: Options = { freshness: 'immutable', routes: [{ path: '/files/:id' }] };

const everywhere: readonly Case[] = [
  apart('an escaped letter', '/files/%61', '/files/a'),
  apart('an escape in small letters', '/files/%2d', '/files/%2D'),
  apart('an escaped slash', '/files/a%2Fb', '/files/a/b'),
  apart('an escaped slash in small letters', '/files/a%2fb', '/files/a%2Fb'),
  apart('an escape that is escaped', '/files/%2541', '/files/%41'),
  apart('a backslash', '/files\\a', '/files/a'),
  apart('an escaped backslash', '/files%5Ca', '/files\\a'),
  apart('an escaped NUL', '/files/a%00', '/files/a'),
  apart('an escaped NUL and an ending', '/files/a%00.png', '/files/a.png'),
  apart('an escaped line end', '/files/a%0D%0AX:1', '/files/a'),
  apart('two slashes', '//files/a', '/files/a'),
  apart('two slashes within', '/files//a', '/files/a'),
  apart('a host behind two slashes', '//other.example/files/a', '/files/a'),
  apart('a dot', '/files/./a', '/files/a'),
  apart('two dots', '/files/x/../a', '/files/a'),
  apart('two dots, escaped', '/files/x/%2e%2e/a', '/files/x/../a'),
  apart('half-escaped dots', '/files/x/.%2e/a', '/files/x/../a'),
  apart('a trailing slash', '/files/a/', '/files/a'),
  apart('a trailing dot', '/files/a.', '/files/a'),
  apart('a letter in capitals', '/FILES/a', '/files/a'),
  apart('an id in capitals', '/files/A', '/files/a'),
  apart('a parameter behind a semicolon', '/files/a;v=1', '/files/a'),
  apart('an escaped semicolon', '/files/a%3Bv=1', '/files/a;v=1'),
  apart('an ending that looks static', '/files/a;x.css', '/files/a'),
  apart('an escaped question mark', '/files/a%3Fv=1', '/files/a?v=1'),
  apart('an escaped number sign', '/files/a%23x', '/files/a'),
  apart('a plus', '/files/a+b', '/files/a%20b'),
  apart('a malformed escape', '/files/%zz', '/files/zz'),
  apart('an escape of no character', '/files/%ff', '/files/%fe'),
  apart('two forms of one letter', '/files/%C3%A9', '/files/e%CC%81'),
  apart('a query', '/files/a?user=1', '/files/a'),
  apart('a query with other values', '/files/a?user=1', '/files/a?user=2'),
  apart('a query in another order', '/files/a?x=1&y=2', '/files/a?y=2&x=1'),
  apart('a query that is escaped', '/files/a?user=%31', '/files/a?user=1'),
  apart('a query in capitals', '/files/a?USER=1', '/files/a?user=1'),
  apart('a query with two question marks', '/files/a??user=1', '/files/a?user=1'),
  apart('a query given twice', '/files/a?u=1&u=2', '/files/a?u=1'),
  apart(
    'a long target that differs at its end',
    `/files/${'a'.repeat(8000)}1`,
    `/files/${'a'.repeat(8000)}2`,
  ),
  apart('a target that looks like a key of the cache', '/files/a?/files/b', '/files/b'),
];

const matched: readonly Case[] = [
  ...(
    [
      ['an escaped letter', '/files/%61', '/files/a'],
      ['a letter in capitals', '/FILES/a', '/files/a'],
      ['a trailing slash', '/files/a/', '/files/a'],
      ['an escaped slash', '/files/a%2Fb', '/files/a%2fb'],
      ['an escaped line end', '/files/a%0A', '/files/a'],
    ] as const
  ).map(([name, a, b]) => apart(`${name}, where a pattern matches both`, a, b, { options: FILES })),
  ...(['express5', 'express4', 'connect'] as const).map((kind) =>
    apart(`an escaped letter, on ${kind}`, '/files/%61', '/files/a', { kind }),
  ),
  apart('two dots on HTTP/2', '/files/x/../a', '/files/a', { kind: 'http2' }),
  apart('a query on HTTP/2', '/files/a?user=1', '/files/a?user=2', { kind: 'http2' }),
];

const VERSION: Options = { freshness: 'immutable', routes: [{ path: '/files/:id', query: ['version'] }] };

/** Only `version` tells entries apart; an application reads it with a parser of its own. */
const queried: readonly Case[] = [
  ['another version', '/files/a?version=1', '/files/a?version=2'],
  ['a version, and none', '/files/a?version=1', '/files/a'],
  ['an empty version, and none', '/files/a?version=', '/files/a'],
  ['two versions, and one', '/files/a?version=1&version=2', '/files/a?version=1'],
  ['a version in brackets (qs reads a list)', '/files/a?version[]=1', '/files/a'],
  ['a version with a key (qs reads an object)', '/files/a?version[x]=1', '/files/a'],
  ['a name in brackets (qs reads the name)', '/files/a?[version]=1', '/files/a'],
  ['a name in escaped brackets', '/files/a?version%5B%5D=1', '/files/a'],
  [
    'a version behind a thousand parameters (parsers stop there)',
    `/files/a?${'x&'.repeat(1000)}version=1`,
    '/files/a?version=1',
  ],
  ['an escape of no character', '/files/a?version=%ff', '/files/a?version=%fe'],
].map(([name = '', a = '', b = '']) =>
  apart(`${name}, where a route names the query`, a, b, { options: VERSION, kind: 'express4' }),
);

const BY_ID: Options = {
  freshness: 'immutable',
  routes: [{ path: '/files/:id', key: ({ id }) => `file:${id}` }],
};

const others: readonly Case[] = [
  {
    name: 'a number sign in the target, of which applications read the part before it',
    rule: 'RFC 9112, 3.2: a target has no fragment',
    reason: 'no route',
    options: BY_ID,
    handler: answer({}),
    a: { target: '/files/a#b' },
    c: { target: '/files/a%23b' },
  },
  {
    name: 'a number sign in the query',
    rule: 'RFC 9112, 3.2: a target has no fragment',
    reason: 'no route',
    options: { freshness: 'immutable' },
    handler: answer({}),
    a: { target: '/files/a?x#b' },
  },
  {
    name: 'a target without a path',
    rule: 'RFC 9112, 3.2.2',
    reason: 'no route',
    options: { freshness: 'immutable' },
    handler: answer({}),
    a: { target: 'http://localhost' },
  },
  {
    name: 'a target with a query and no path',
    rule: 'RFC 9112, 3.2.2',
    reason: 'no route',
    options: { freshness: 'immutable' },
    handler: answer({}),
    a: { target: 'http://localhost?x=/a' },
    c: { target: '/a' },
  },
  apart('a whole address within the path', '/http://other/files/a', '/files/a'),
];

export const groups: readonly Group[] = [
  { title: 'Spellings of a target', cases: everywhere },
  { title: 'Spellings that a route takes for the same', cases: matched },
  { title: 'Spellings of a query', cases: queried },
  { title: 'Targets that are none', cases: others },
];
