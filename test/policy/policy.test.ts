import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { describe, test } from 'node:test';
import type { Digest } from '../../lib/http/digest.ts';
import type { HookContext, Hooks } from '../../lib/policy/hooks.ts';
import { judge, type Verdict } from '../../lib/policy/policy.ts';
import { run } from '../../lib/steps.ts';

const HEX = 'ab'.repeat(32);
const STORED = { size: 1000, digests: [{ algorithm: 'sha256', hex: HEX }] as Digest[] };
const CONTEXT: HookContext = {
  req: { url: '/files/a' } as IncomingMessage,
  id: 'a',
  key: '/files/a',
  route: 'files',
  params: { id: 'a' },
  signal: new AbortController().signal,
};

async function verdict(
  hooks: Partial<Hooks>,
  stored: Parameters<typeof judge>[2] = STORED,
): Promise<Verdict> {
  return run(
    judge(
      { metadata: undefined, authorize: undefined, hookTimeoutMs: 1000, ...hooks },
      { ...CONTEXT },
      stored,
    ),
  );
}

/** A verdict as one line: `refuse not-found 404`, `pass mismatch, dropped`. */
function line(found: Verdict): string {
  if (found.do === 'serve') return 'serve';
  const status = found.do === 'refuse' ? ` ${found.error.status}` : '';
  return `${found.do} ${found.reason}${status}${found.drop ? ', dropped' : ''}`;
}

const METADATA: [answer: unknown, expected: string][] = [
  [{}, 'serve'],
  [{ anything: 'else' }, 'serve'],
  [{ status: 'active', size: 1000, digests: [`sha256:${HEX}`] }, 'serve'],
  [[], 'serve'],
  [undefined, 'refuse not-found 404'],
  [null, 'refuse not-found 404'],
  ['deleted', 'refuse deleted 404, dropped'],
  [{ status: 'deleted', size: 1 }, 'refuse deleted 404, dropped'],
  ['deactivated', 'pass deactivated'],
  [{ status: 'deactivated' }, 'pass deactivated'],
  [{ size: 999 }, 'pass mismatch, dropped'],
  [{ size: 0 }, 'pass mismatch, dropped'],
  [{ digests: `sha256:${HEX}` }, 'serve'],
  [{ digests: [`SHA256:${HEX.toUpperCase()}`] }, 'serve'],
  [{ digests: [`sha256:${'cd'.repeat(32)}`] }, 'pass mismatch, dropped'],
  [{ digests: [`sha256:${HEX}`, `sha256:${'cd'.repeat(32)}`] }, 'pass mismatch, dropped'],
  [{ digests: [`md5:${'cd'.repeat(16)}`] }, 'serve'],
  [{ digests: [] }, 'serve'],
  [{ digests: null }, 'serve'],
];

const AUTHORIZE: [answer: unknown, expected: string][] = [
  [true, 'serve'],
  ['serve', 'serve'],
  [false, 'refuse denied 403'],
  ['bypass', 'pass denied'],
  ['purge', 'pass purge, dropped'],
  [{ status: 401 }, 'refuse denied 401'],
  [{ status: 404 }, 'refuse denied 404'],
  [{ status: 503 }, 'refuse denied 503'],
];

describe('metadata', () => {
  for (const [answer, expected] of METADATA) {
    test(`${show(answer)}: ${expected}`, async () => {
      assert.equal(line(await verdict({ metadata: () => answer })), expected);
      assert.equal(line(await verdict({ metadata: async () => answer })), expected, 'as a promise');
    });
  }

  for (const answer of [
    'active',
    '',
    'DELETED',
    true,
    false,
    0,
    7,
    7n,
    Symbol('s'),
    { digests: ['abc'] },
    { digests: [7] },
  ]) {
    test(`${show(answer)} means nothing, and is an error that says so`, async () => {
      await assert.rejects(verdict({ metadata: () => answer }), {
        name: 'HookError',
        code: 'ERR_CACHE_FILTER_HOOK',
        hook: 'metadata',
        status: 500,
        message: /metadata answered/,
      });
    });
  }

  test('what is not known yet of a fill can not disagree', async () => {
    const resource = { size: 999, digests: [`sha256:${'cd'.repeat(32)}`] };
    assert.equal(line(await verdict({ metadata: () => resource }, { digests: [] })), 'serve');
  });

  test('authorize is asked only of what metadata knows', async () => {
    for (const answer of [undefined, 'deleted', 'deactivated', { size: 1 }]) {
      await verdict({ metadata: () => answer, authorize: () => assert.fail('it was asked') });
    }
  });
});

describe('authorize', () => {
  for (const [answer, expected] of AUTHORIZE) {
    test(`${show(answer)}: ${expected}`, async () => {
      assert.equal(line(await verdict({ authorize: () => answer })), expected);
      assert.equal(line(await verdict({ authorize: async () => answer })), expected, 'as a promise');
    });
  }

  for (const answer of [
    undefined,
    null,
    'yes',
    '',
    1,
    0,
    {},
    [],
    { status: 200 },
    { status: 304 },
    { status: 600 },
    { status: '403' },
    { status: 403.5 },
    Symbol('s'),
  ]) {
    test(`${show(answer)} means nothing, and is an error that says so`, async () => {
      await assert.rejects(verdict({ authorize: () => answer }), {
        name: 'HookError',
        code: 'ERR_CACHE_FILTER_HOOK',
        hook: 'authorize',
        message:
          /authorize answered .*; it may say true, false, 'serve', 'bypass', 'purge' or \{ status: 400 to 599 \}/,
      });
    });
  }

  test('it is told the resource, the entry, and all that metadata was told', async () => {
    const resource = { owner: 'alice' };
    const entry = { key: { primary: '/files/a' }, size: 1000, digests: [], storedAt: 1, tags: [] };
    const asked: unknown[] = [];
    const hooks = {
      metadata: (context: object) => {
        asked.push({ ...context });
        return resource;
      },
      authorize: (context: object) => {
        asked.push({ ...context });
        return true;
      },
    };
    await verdict(hooks, { ...STORED, entry });
    await verdict(hooks);
    assert.deepEqual(asked, [CONTEXT, { ...CONTEXT, resource, entry }, CONTEXT, { ...CONTEXT, resource }]);
  });

  test('the word anyone asks nobody, but metadata is asked all the same', async () => {
    assert.equal(line(await verdict({ authorize: 'anyone' })), 'serve');
    assert.equal(
      line(await verdict({ authorize: 'anyone', metadata: () => undefined })),
      'refuse not-found 404',
    );
  });

  test('a client may see why it was refused, but not what failed on our side', async () => {
    for (const [status, expose] of [
      [403, true],
      [503, false],
    ] as const) {
      const found = await verdict({ authorize: () => ({ status }) });
      assert.ok(found.do === 'refuse');
      assert.deepEqual([found.error.code, found.error.expose], ['ERR_CACHE_FILTER_REFUSED', expose]);
    }
  });
});

test('without hooks everything is served', async () => {
  assert.deepEqual(await verdict({}), { do: 'serve' });
});

test('what a hook throws, or rejects with, is handed on as it is', async () => {
  const error = new TypeError('the database is down');
  const thrower = () => {
    throw error;
  };
  const rejecter = () => Promise.reject(error);
  for (const hook of [thrower, rejecter]) {
    await assert.rejects(verdict({ metadata: hook }), (thrown) => thrown === error);
    await assert.rejects(verdict({ authorize: hook }), (thrown) => thrown === error);
  }
});

function show(value: unknown): string {
  return typeof value === 'object'
    ? JSON.stringify(value)
    : typeof value === 'string'
      ? `'${value}'`
      : String(value);
}
