import { type Case, finish, type Group, IMMUTABLE } from './case.ts';

const RULE = 'docs/reference/reasons.md, not-200';

const frameworks = ['express5', 'express4', 'connect'] as const;

const errors: readonly Case[] = [
  ...frameworks.flatMap((kind): Case[] => [
    {
      name: `an error page of ${kind} for an error that was handed on`,
      rule: RULE,
      reason: 'not-200',
      kind,
      status: 500,
      handler: (_req, _res, secret, next) => next(Object.assign(new Error(`no ${secret}`), { expose: true })),
      differs: 'it has the stack in it',
    },
    {
      name: `an error page of ${kind} for an error that was thrown`,
      rule: RULE,
      reason: 'not-200',
      kind,
      status: 500,
      inTurn: kind !== 'express5',
      handler: (_req, _res, secret) => {
        throw new Error(`no ${secret}`);
      },
      differs: 'it has the stack in it',
    },
    {
      name: `an error page of ${kind} after fields of a response that would be kept`,
      rule: RULE,
      reason: 'not-200',
      kind,
      status: 500,
      handler: (_req, res, secret, next) => {
        res.setHeader('Cache-Control', 'public, max-age=3600');
        res.setHeader('ETag', '"a"');
        next(new Error(`no ${secret}`));
      },
      differs: 'it has the stack in it',
    },
  ]),
  {
    name: 'a response that the handler hands on to one behind it, which says no-store',
    rule: 'RFC 9111, 5.2.2.5',
    reason: 'no-store',
    options: IMMUTABLE,
    handler: (_req, res, secret, next) => {
      res.setHeader('X-Secret', secret);
      next();
    },
    after: [
      (_req, res) => {
        res.setHeader('Cache-Control', 'no-store');
        res.end('for one user');
      },
    ],
  },
  {
    name: 'an answer after the handler has destroyed its response',
    rule: 'RFC 9111, 3.3',
    reason: 'unfinished',
    handler: (req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=3600');
      res.destroy();
      finish(req, res, secret);
    },
    differs: 'there is none',
    calls: 3,
  },
  {
    name: 'an answer after the handler has destroyed its socket',
    rule: 'RFC 9111, 3.3',
    reason: 'unfinished',
    handler: (req, res, secret) => {
      res.setHeader('Cache-Control', 'max-age=3600');
      req.socket.destroy();
      finish(req, res, secret);
    },
    differs: 'there is none',
    calls: 3,
  },
  {
    name: 'a second answer after the first, which is private',
    rule: 'RFC 9111, 5.2.2.7',
    reason: 'private',
    handler: (req, res, secret) => {
      res.setHeader('Cache-Control', 'private');
      finish(req, res, secret);
      res.on('error', () => undefined);
      res.write('and more');
      res.end('and more');
    },
  },
];

export const groups: readonly Group[] = [{ title: 'Errors', cases: errors }];
