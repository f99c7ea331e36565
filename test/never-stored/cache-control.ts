import {
  ANYONE,
  type Answering,
  answer,
  type Case,
  FRESH,
  finish,
  type Group,
  IMMUTABLE,
  type Options,
} from './case.ts';

const TTL: Options = { freshness: { ttlMs: 60_000 } };

type Control = string | readonly string[];

function control(
  name: string,
  rule: string,
  value: Control,
  reason: NonNullable<Case['reason']>,
  options?: Options,
): Case {
  return {
    name,
    rule,
    reason,
    handler: answer({ 'Cache-Control': value }),
    ...(options === undefined ? {} : { options }),
  };
}

const NO_STORE = 'RFC 9111, 5.2.2.5';
const PRIVATE = 'RFC 9111, 5.2.2.7';
const NO_CACHE = 'RFC 9111, 5.2.2.4';
const LIFETIME = 'RFC 9111, 4.2.1';
const EXPIRES = 'RFC 9111, 5.3';
const MALFORMED = 'RFC 9111, 4.2.1: what is invalid is taken for the stricter';

const forbidding: readonly Case[] = [
  control('no-store', NO_STORE, 'no-store', 'no-store'),
  control('no-store beside max-age', NO_STORE, 'max-age=3600, no-store', 'no-store'),
  control('no-store in capitals', NO_STORE, 'NO-STORE, MAX-AGE=3600', 'no-store'),
  control('no-store in a second line', NO_STORE, ['max-age=3600', 'no-store'], 'no-store'),
  control('no-store in the first of three lines', NO_STORE, ['no-store', 'public', 'max-age=9'], 'no-store'),
  control('no-store behind a quoted comma', NO_STORE, 'x="a,b", no-store, max-age=60', 'no-store'),
  control('no-store behind an escaped quote', NO_STORE, 'x="a\\"b", no-store, max-age=60', 'no-store'),
  control('no-store behind a quote that never closes', NO_STORE, 'max-age=60, x="a, no-store', 'no-store'),
  control('no-store with an argument', NO_STORE, 'max-age=60, no-store="x"', 'no-store'),
  control('no-store after empty members', NO_STORE, ',, ,no-store,max-age=60', 'no-store'),
  control('no-store after a tab', NO_STORE, 'max-age=60,\tno-store', 'no-store'),
  control('no-store beside public and s-maxage', NO_STORE, 'public, s-maxage=9, no-store', 'no-store'),
  control(
    'no-store beside must-understand',
    'RFC 9111, 5.2.2.3: not claimed',
    'must-understand, no-store, max-age=9',
    'no-store',
  ),
  control('no-store although the route is immutable', NO_STORE, 'no-store', 'no-store', IMMUTABLE),
  control('no-store although the route has a time to live', NO_STORE, 'no-store', 'no-store', TTL),
  control('no-store although everybody is authorised', NO_STORE, 'no-store', 'no-store', ANYONE),
  control(
    'no-store separated by a semicolon, on an immutable route',
    MALFORMED,
    'max-age=60; no-store',
    'no-store',
    IMMUTABLE,
  ),
  control(
    'no-store separated by a space, on an immutable route',
    MALFORMED,
    'no-cache no-store',
    'no-store',
    IMMUTABLE,
  ),
  control('no-store in quotes, on an immutable route', MALFORMED, '"no-store"', 'no-store', IMMUTABLE),
  control('private', PRIVATE, 'private, max-age=3600', 'private'),
  control('private in mixed case', PRIVATE, 'max-age=3600, PriVate', 'private'),
  control('private in a second line', PRIVATE, ['max-age=3600', 'private'], 'private'),
  control('private beside public', PRIVATE, 'public, private, max-age=9', 'private'),
  control('private beside s-maxage', PRIVATE, 's-maxage=9, private', 'private'),
  control('private="x-user"', PRIVATE, 'max-age=3600, private="x-user"', 'private'),
  control('private="a, b" with a comma in quotes', PRIVATE, 'private="x-user, x-b", max-age=9', 'private'),
  control('private with an empty argument', PRIVATE, 'max-age=9, private=', 'private'),
  control('private although the route is immutable', PRIVATE, 'private', 'private', IMMUTABLE),
  control('private although the route has a time to live', PRIVATE, 'private', 'private', TTL),
  control('private although everybody is authorised', PRIVATE, 'private', 'private', ANYONE),
  control(
    'private separated by a semicolon, on an immutable route',
    MALFORMED,
    'private; max-age=60',
    'private',
    IMMUTABLE,
  ),
  control('no-cache', NO_CACHE, 'no-cache, max-age=3600', 'no-store'),
  control('no-cache in a second line', NO_CACHE, ['max-age=3600', 'no-cache'], 'no-store'),
  control('no-cache="x-user"', NO_CACHE, 'max-age=3600, no-cache="x-user"', 'no-store'),
  control(
    'no-cache="x-user" although the route is immutable',
    NO_CACHE,
    'no-cache="x-user"',
    'no-store',
    IMMUTABLE,
  ),
  control(
    'no-cache="x-user" although the route has a time to live',
    NO_CACHE,
    'no-cache="x-user"',
    'no-store',
    TTL,
  ),
];

const unfresh: readonly Case[] = [
  control('max-age=0', LIFETIME, 'max-age=0', 'no-freshness'),
  control('s-maxage=0 beside max-age', 'RFC 9111, 5.2.2.10', 'max-age=3600, s-maxage=0', 'no-freshness'),
  control('two max-age that disagree', LIFETIME, 'max-age=3600, max-age=0', 'no-freshness'),
  control('two max-age in two lines', LIFETIME, ['max-age=3600', 'max-age=0'], 'no-freshness'),
  control('a max-age that is no number', LIFETIME, 'max-age=soon', 'no-freshness'),
  control('a max-age below zero', LIFETIME, 'max-age=-1', 'no-freshness'),
  control('a max-age with a fraction', LIFETIME, 'max-age=1.5', 'no-freshness'),
  control('a max-age without an argument', LIFETIME, 'max-age', 'no-freshness'),
  control(
    'a max-age with a second directive behind a semicolon',
    MALFORMED,
    'max-age=60; public',
    'no-freshness',
  ),
  control('only must-revalidate', 'RFC 9111, 5.2.2.2', 'must-revalidate', 'no-freshness'),
  control('only immutable', 'RFC 8246, 2', 'immutable', 'no-freshness'),
  control('only public', 'no heuristic freshness', 'public', 'no-freshness'),
  control('only stale-while-revalidate', 'RFC 5861, 3', 'stale-while-revalidate=60', 'no-freshness'),
  {
    name: 'nothing about freshness',
    rule: 'no heuristic freshness',
    reason: 'no-freshness',
    handler: answer({}),
  },
  {
    name: 'a Last-Modified of ten years ago and nothing else',
    rule: 'no heuristic freshness',
    reason: 'no-freshness',
    handler: answer({ 'Last-Modified': 'Thu, 01 Jan 2015 00:00:00 GMT' }),
  },
  {
    name: 'Pragma: no-cache with Expires: 0',
    rule: EXPIRES,
    reason: 'no-freshness',
    handler: answer({ Pragma: 'no-cache', Expires: '0' }),
  },
  {
    name: 'an Expires in the past',
    rule: EXPIRES,
    reason: 'no-freshness',
    handler: answer({ Expires: 'Thu, 01 Jan 2015 00:00:00 GMT' }),
  },
  {
    name: 'an Expires that is no date',
    rule: EXPIRES,
    reason: 'no-freshness',
    handler: answer({ Expires: 'tomorrow' }),
  },
  {
    name: 'an Expires that is the Date',
    rule: EXPIRES,
    reason: 'no-freshness',
    handler: (req, res, secret) => {
      const now = new Date().toUTCString();
      res.setHeader('Date', now);
      res.setHeader('Expires', now);
      finish(req, res, secret);
    },
    differs: 'it says the time',
  },
  {
    name: 'max-age=0 beside an Expires that is far away',
    rule: EXPIRES,
    reason: 'no-freshness',
    handler: answer({ 'Cache-Control': 'max-age=0', Expires: 'Thu, 01 Jan 2099 00:00:00 GMT' }),
  },
  {
    name: 'an Age beyond max-age',
    rule: 'RFC 9111, 4.2.3',
    reason: 'no-freshness',
    handler: answer({ ...FRESH, Age: '7200' }),
  },
  {
    name: 'a Date longer ago than max-age',
    rule: 'RFC 9111, 4.2.3',
    reason: 'no-freshness',
    handler: answer({ ...FRESH, Date: 'Thu, 01 Jan 2015 00:00:00 GMT' }),
  },
  {
    name: 'a request with Cache-Control: no-store',
    rule: 'RFC 9111, 5.2.1.5',
    reason: 'no-store',
    handler: answer(),
    a: { headers: { 'Cache-Control': 'no-store' } },
  },
  {
    name: 'a request with Cache-Control: no-store, on an immutable route',
    rule: 'RFC 9111, 5.2.1.5',
    reason: 'no-store',
    options: IMMUTABLE,
    handler: answer({}),
    a: { headers: { 'Cache-Control': 'max-age=0, NO-STORE' } },
  },
];

/** Set by middleware outside, which the handler knows nothing of. */
const earlier = (
  name: string,
  value: string,
  reason: NonNullable<Case['reason']>,
  handler: Answering | undefined,
  options?: Options,
): Case => ({
  name,
  rule: 'docs/guides/order-of-middleware.md',
  reason,
  before: [
    (_req, res, next) => {
      res.setHeader('Cache-Control', value);
      next();
    },
  ],
  handler: handler ?? answer({}),
  ...(options === undefined ? {} : { options }),
});

const outside: readonly Case[] = [
  earlier(
    'no-store of earlier middleware, on an immutable route',
    'no-store',
    'no-store',
    undefined,
    IMMUTABLE,
  ),
  earlier('private of earlier middleware, on an immutable route', 'private', 'private', undefined, IMMUTABLE),
  earlier(
    'max-age of earlier middleware, which is no word of the handler',
    'max-age=3600',
    'no-freshness',
    undefined,
  ),
  earlier('max-age that the handler only repeats', 'max-age=3600', 'no-freshness', answer()),
  earlier(
    'private of earlier middleware, to which the handler adds max-age',
    'private',
    'private',
    (req, res, secret) => {
      res.appendHeader('Cache-Control', 'max-age=3600');
      finish(req, res, secret);
    },
  ),
];

export const groups: readonly Group[] = [
  { title: 'Cache-Control that forbids', cases: forbidding },
  { title: 'Nothing that says how long', cases: unfresh },
  { title: 'Cache-Control of earlier middleware', cases: outside },
];
