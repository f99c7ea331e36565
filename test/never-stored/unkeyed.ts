import { answer, beside, type Case, FRESH, type Group, type Say } from './case.ts';

const RULE = 'docs/guides/routes.md, keys';

/** Applications that say what they look at are safe. */
const says = (field: string, value: string): Case => ({
  name: `${field}, named in Vary`,
  rule: 'RFC 9111, 4.1',
  reason: 'vary',
  handler: answer({ ...FRESH, Vary: field }),
  a: { headers: { [field]: value } },
  b: {},
});

/** Fields that some applications look at, and that are in no key. */
const FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['X-Forwarded-Host', 'evil.example'],
  ['X-Forwarded-Proto', 'nothttps'],
  ['X-Forwarded-Prefix', '/evil'],
  ['Forwarded', 'host=evil.example'],
  ['X-HTTP-Method-Override', 'DELETE'],
  ['X-Original-URL', '/admin'],
  ['X-Rewrite-URL', '/admin'],
  ['Accept', 'application/x-evil'],
  ['Accept-Encoding', 'gzip'],
  ['User-Agent', 'evil'],
];

/** Applications that don't say it: as documented, what they make for A is everybody's. */
const silent = (name: string, a: Say, b: Say = {}): Case => ({
  name,
  rule: RULE,
  fate: 'shared',
  handler: answer(),
  a,
  b,
});

const shared: readonly Case[] = [
  ...FIELDS.map(([name, value]) =>
    silent(`${name}, which the handler does not name in Vary`, { headers: { [name]: value } }),
  ),
  silent('another Host', { headers: { Host: 'evil.example' } }),
  silent('a target in absolute form with another host', { target: 'http://evil.example/a' }),
  silent('an empty query', { target: '/a?' }, { target: '/a' }),
  silent(
    'an identity that no credentialHeaders names',
    { headers: { 'X-Remote-User': 'a' } },
    { headers: { 'X-Remote-User': 'b' } },
  ),
  {
    name: 'a secret in a field of the handler’s own that is not on the list',
    rule: 'docs/reference/options.md, dropHeaders',
    fate: 'shared',
    handler: beside((res, secret) => res.setHeader('X-CSRF-Token', secret)),
  },
  {
    ...silent('authorize says true to B', {}),
    rule: 'docs/reference/hooks.md',
    options: { authorize: () => true },
    a: { headers: { Authorization: 'a' } },
    b: { headers: { Authorization: 'b' } },
  },
  {
    ...silent("authorize is 'anyone'", {}),
    rule: 'docs/guides/policy.md, credentials',
    options: { authorize: 'anyone' },
    a: { headers: { Cookie: 'a=1' } },
    b: { headers: { Cookie: 'b=1' } },
  },
  {
    ...silent('Authorization, and the response says public', {}),
    rule: 'RFC 9111, 3.5',
    handler: answer({ 'Cache-Control': 'public, max-age=60' }),
    a: { headers: { Authorization: 'a' } },
    b: { headers: { Authorization: 'b' } },
  },
];

export const groups: readonly Group[] = [
  {
    title: 'What an application looks at, and says so',
    cases: FIELDS.map(([name, value]) => says(name, value)),
  },
];

/** Not secrets, as far as anything says: the other side of the rules, so that the page does not promise too much. */
export const SHARED: Group = { title: 'Shared, as documented', cases: shared };
