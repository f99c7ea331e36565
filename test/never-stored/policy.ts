import type { AuthorizeContext } from '../../lib/index.ts';
import { answer, type Case, caller, finish, type Group, type Options, type Say } from './case.ts';

const RULE = 'docs/reference/hooks.md';

const who = (name: string, more: Say['headers'] = {}): Say => ({ headers: { 'X-Caller': name, ...more } });

/** A's answer is kept, and the hooks keep it from B. */
const guarded = (name: string, status: number, options: Options, b: Say = who('b')): Case => ({
  name,
  rule: RULE,
  fate: 'guarded',
  status,
  options: { freshness: 'immutable', ...options },
  handler: answer({}),
  a: who('a'),
  b,
});

/** Answers that mean nothing, from hooks that forgot to say what they mean. */
const LIES: readonly (readonly [name: string, answer: unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['1', 1],
  ["'yes'", 'yes'],
  ["'anyone'", 'anyone'],
  ['an empty object', {}],
  ['{ status: 200 }', { status: 200 }],
  ["{ status: '403' }", { status: '403' }],
  ['a function', () => true],
  ['an array', [true]],
];

const denied: readonly Case[] = [
  guarded('authorize says false', 403, { authorize: (asked) => caller(asked) === 'a' }),
  guarded('authorize says false later', 403, {
    authorize: async (asked) => {
      await new Promise((resolve) => setImmediate(resolve));
      return caller(asked) === 'a';
    },
  }),
  guarded('authorize says 404', 404, { authorize: () => ({ status: 404 }) }),
  guarded('authorize throws', 500, {
    authorize: () => {
      throw new Error('no database');
    },
  }),
  guarded('authorize rejects', 500, { authorize: () => Promise.reject(new Error('no database')) }),
  ...LIES.map(([name, says]) =>
    guarded(`authorize answers ${name}`, 500, { authorize: (() => says) as () => boolean }),
  ),
  guarded(
    'authorize says false to a Range',
    403,
    { authorize: () => false },
    who('b', { Range: 'bytes=0-9' }),
  ),
  guarded(
    'authorize says false to a condition',
    403,
    { authorize: () => false },
    who('b', { 'If-None-Match': '*' }),
  ),
  guarded('authorize says false to a HEAD', 403, { authorize: () => false }, { ...who('b'), method: 'HEAD' }),
  guarded(
    'authorize says false to credentials',
    403,
    { authorize: () => false },
    who('b', { Authorization: 'b' }),
  ),
  guarded('metadata knows nothing for B', 404, {
    metadata: (asked) => (caller(asked) === 'a' ? {} : undefined),
  }),
  guarded('metadata throws', 500, {
    metadata: () => {
      throw new Error('no database');
    },
  }),
  guarded('metadata answers false', 500, { metadata: (() => false) as never }),
  guarded('metadata answers a word that it may not', 500, { metadata: (() => 'yes') as never }),
  guarded('metadata answers a digest that is none', 500, { metadata: () => ({ digests: 'x' }) }),
  guarded('metadata says deleted', 404, { metadata: () => 'deleted' }),
  guarded('metadata hands over the owner, who is another', 403, {
    metadata: () => ({ owner: 'a' }),
    authorize: ((asked: AuthorizeContext<never, { owner: string }>) =>
      asked.resource.owner === caller(asked)) as never,
  }),
];

/** The hooks leave B to the handler. */
const left = (name: string, options: Options): Case => ({
  name,
  rule: RULE,
  fate: 'apart',
  options: { freshness: 'immutable', ...options },
  handler: answer({}),
  a: who('a'),
  b: who('b'),
});

const passed: readonly Case[] = [
  left("authorize says 'bypass'", { authorize: () => 'bypass' }),
  left("authorize says 'purge'", { authorize: () => 'purge' }),
  left('metadata says deactivated', { metadata: () => ({ status: 'deactivated' }) }),
  left('bypass says yes to B', { bypass: (asked) => caller(asked) === 'b' }),
  {
    name: 'bypass says yes to A',
    rule: RULE,
    reason: 'bypass',
    options: { freshness: 'immutable', bypass: () => true },
    handler: answer({}),
  },
  {
    ...left('metadata knows of another size', { metadata: () => ({ size: 1 }) }),
    inTurn: true,
  },
  {
    ...left('metadata knows of another digest', {
      metadata: () => ({ digests: `sha256:${'0'.repeat(64)}` }),
    }),
    inTurn: true,
  },
  {
    name: 'bypass throws',
    rule: RULE,
    options: {
      bypass: () => {
        throw new Error('no');
      },
    },
    handler: answer(),
    calls: 0,
    status: 500,
    differs: 'the hook failed',
  },
];

const twice: readonly Case[] = [
  {
    name: 'two filters, the outer one refuses for credentials',
    rule: 'RFC 9111, 3.5',
    reason: 'credentials',
    inner: { namespace: 'inner' },
    handler: answer(),
    a: { headers: { Authorization: 'a' } },
    b: { headers: { Authorization: 'b' } },
  },
  {
    name: 'two filters under two namespaces, private',
    rule: 'RFC 9111, 5.2.2.7',
    reason: 'private',
    options: { namespace: 'outer', freshness: 'immutable' },
    inner: { namespace: 'inner', freshness: 'immutable' },
    handler: answer({ 'Cache-Control': 'private' }),
  },
  {
    name: 'two filters, Set-Cookie',
    rule: 'RFC 6265, 3',
    reason: 'set-cookie',
    options: { namespace: 'outer', freshness: 'immutable' },
    inner: { namespace: 'inner', freshness: 'immutable' },
    handler: (req, res, secret) => {
      res.setHeader('Set-Cookie', `sid=${secret}`);
      finish(req, res, secret);
    },
  },
  {
    ...guarded('two filters, the outer one denies', 403, { namespace: 'outer', authorize: () => false }),
    inner: { namespace: 'inner', freshness: 'immutable' },
  },
  {
    name: 'a filter of another namespace on the same cache',
    rule: 'docs/guides/routes.md, keys',
    fate: 'apart',
    options: { freshness: 'immutable', namespace: 'one', routes: [{ path: '/a' }] },
    inner: { freshness: 'immutable', namespace: 'two', routes: [{ path: '/b' }] },
    handler: answer({}),
    b: { target: '/b' },
  },
];

export const groups: readonly Group[] = [
  { title: 'Policy: refused', cases: denied },
  { title: 'Policy: left to the handler', cases: passed },
  { title: 'Two filters', cases: twice },
];
