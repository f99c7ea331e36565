/** Users with passwords. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import { basicAuth, hashPassword } from '../../lib/registry/index.ts';
import { serving } from './serving.ts';

/** The least that scrypt takes: these tests are not about how long it takes. */
const COST = 2;

function as(name: string, password: string): IncomingMessage {
  return { headers: { authorization: basic(name, password) } } as IncomingMessage;
}

function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

describe('hashPassword', () => {
  it('takes a text that is not empty', async () => {
    for (const password of [undefined, '', 5])
      await assert.rejects(hashPassword(password as never), { name: 'OptionError', option: 'password' });
  });

  it('makes another text each time, in a form that says how it was made', async () => {
    const [one, other] = await Promise.all([hashPassword('secret', COST), hashPassword('secret', COST)]);
    assert.match(one, /^\$scrypt\$N=2,r=8,p=1\$[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}$/);
    assert.notEqual(one, other);
    assert.match(await hashPassword('secret'), /^\$scrypt\$N=32768,r=8,p=1\$/);
  });
});

describe('basicAuth', () => {
  it('knows its users by their passwords', async () => {
    const ask = basicAuth({
      users: { ann: await hashPassword('secret', COST), bob: await hashPassword('geheim: ä', COST) },
    });
    assert.deepEqual(await ask(as('ann', 'secret')), { name: 'ann' });
    assert.deepEqual(await ask(as('bob', 'geheim: ä')), { name: 'bob' });
    for (const [name, password] of [
      ['ann', 'Secret'],
      ['ann', ''],
      ['eve', 'secret'],
      ['', 'secret'],
      ['bob', 'secret'],
      ['__proto__', 'x'],
      ['toString', 'x'],
    ] as const)
      assert.equal(await ask(as(name, password)), false, `${name}:${password}`);
  });

  it('says undefined where there are no credentials of its scheme, and false for malformed ones', async () => {
    const ask = basicAuth({ users: { ann: await hashPassword('secret', COST) } });
    const given = (authorization?: string) => ask({ headers: { authorization } } as IncomingMessage);
    // The last is what podman and skopeo send who have none.
    for (const header of [undefined, '', 'Bearer abc', basic('', '')])
      assert.equal(await given(header), undefined, header);
    for (const header of ['Basic', 'Basic ', 'Basic ====', 'basic YW5u', 'Basic !!!'])
      assert.equal(await given(header), false, header);
    assert.deepEqual(await given(basic('ann', 'secret').replace('Basic', 'bASIC')), { name: 'ann' });
  });

  it('takes no password with NULs at its end for the one without', async () => {
    const ask = basicAuth({ users: { ann: await hashPassword('secret', COST) } });
    for (const more of ['\0', '\0\0']) assert.equal(await ask(as('ann', `secret${more}`)), false);
  });

  it('hashes once for credentials that are right, however many ask, and each time for wrong ones', async (t) => {
    const ask = basicAuth({ users: { ann: await hashPassword('secret', COST) } });
    const compared = t.mock.method(crypto, 'timingSafeEqual');
    await Promise.all([1, 2, 3].map(() => ask(as('ann', 'secret'))));
    await ask(as('ann', 'secret'));
    assert.equal(compared.mock.callCount() <= 1, true);
    for (let n = 0; n < 2; n++) assert.equal(await ask(as('ann', 'wrong')), false);
  });

  it('refuses passwords that are too long without hashing them', async () => {
    const long = 'x'.repeat(1025);
    const ask = basicAuth({ users: { ann: await hashPassword(long, COST) } });
    assert.equal(await ask(as('ann', long)), false);
    const patient = basicAuth({ users: { ann: await hashPassword(long, COST) }, maxPasswordBytes: 2000 });
    assert.deepEqual(await patient(as('ann', long)), { name: 'ann' });
  });

  it('lets only so many hash at the same time, and so many wait', async () => {
    const ask = basicAuth({
      users: { ann: await hashPassword('secret', 2 ** 12) },
      maxConcurrent: 1,
      maxWaiting: 2,
    });
    const all = await Promise.allSettled([0, 1, 2, 3, 4].map((n) => ask(as('ann', `wrong ${n}`))));
    const refused = all.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    assert.equal(refused.length, 2);
    for (const { reason } of refused)
      assert.deepEqual([reason.status, reason.code], [429, 'TOOMANYREQUESTS']);
    assert.deepEqual(await ask(as('ann', 'secret')), { name: 'ann' });
  });

  it('answers 429 with Retry-After where too many sign in', async (t) => {
    const users = { ann: await hashPassword('secret', 2 ** 14) };
    const { call } = await serving(t, {
      authenticate: basicAuth({ users, maxConcurrent: 1, maxWaiting: 1 }),
    });
    const all = await Promise.all(
      [0, 1, 2, 3, 4, 5].map((n) =>
        call('GET', '/v2/', { headers: { Authorization: basic('ann', `${n}`) } }),
      ),
    );
    const busy = all.filter(({ status }) => status === 429);
    assert.ok(busy.length > 0, all.map(({ status }) => status).join());
    for (const { headers, code } of busy)
      assert.deepEqual([headers['retry-after'], code], ['1', 'TOOMANYREQUESTS']);
  });

  it('guards a registry: 401 with a challenge, then what the user may do', async (t) => {
    const { call } = await serving(t, {
      authenticate: basicAuth({ htpasswd: `ann:${await hashPassword('secret', COST)}\n` }),
      authorize: ({ user, action }) => user !== undefined && action !== 'delete',
    });
    const stranger = await call('GET', '/v2/');
    assert.deepEqual(
      [stranger.status, stranger.headers['www-authenticate']],
      [401, 'Basic realm="cache-filter"'],
    );
    const wrong = await call('GET', '/v2/', { headers: { Authorization: basic('ann', 'x') } });
    assert.deepEqual([wrong.status, wrong.code], [401, 'UNAUTHORIZED']);
    const headers = { Authorization: basic('ann', 'secret') };
    assert.equal((await call('GET', '/v2/', { headers })).status, 200);
    assert.equal((await call('DELETE', '/v2/a/manifests/v1', { headers })).status, 403);
  });

  it('reads users from a text with a line for each', async () => {
    const text = `# people\n\nann:${await hashPassword('one', COST)}\r\nbob b:${await hashPassword('two', COST)}`;
    const ask = basicAuth({ htpasswd: text });
    assert.deepEqual(await ask(as('ann', 'one')), { name: 'ann' });
    assert.deepEqual(await ask(as('bob b', 'two')), { name: 'bob b' });
  });

  it('says which line of a text, or which user, is wrong, and never shows a hash', async () => {
    const good = await hashPassword('one', COST);
    const cases: [text: string, message: RegExp][] = [
      ['ann', /line 1 of htpasswd must be name:hash, and has no colon/],
      [`ann:${good}\n\nann:${good}`, /line 3 of htpasswd names "ann" a second time/],
      [`:${good}`, /line 1 of htpasswd must have a name/],
      ['ann:$2y$05$abcdefghijklmnopqrstuv', /line 1 of htpasswd: the hash must be .*; this one is of bcrypt/],
      ['ann:$apr1$abc$def', /this one is of MD5/],
      ['ann:{SHA}abc', /this one is of SHA-1/],
      ['ann:secret', /line 1 of htpasswd: the hash must be \$scrypt\$/],
      [`ann:${good.replace('N=2,', 'N=3,')}`, /hashPassword\(\) or cache-filter registry passwd makes it/],
      [`ann:${good.replace('N=2,', 'N=16777216,')}`, /the hash must be/],
      [`ann:${good.replace('p=1', 'p=0')}`, /the hash must be/],
      [`ann:${good.split('$').slice(0, 4).join('$')}$AAAA`, /the hash must be/],
    ];
    for (const [htpasswd, message] of cases) {
      assert.throws(
        () => basicAuth({ htpasswd }),
        (error: Error) => {
          assert.match(error.message, message);
          assert.equal(error.name, 'OptionError');
          assert.ok(!error.message.includes(good.slice(-20)), error.message);
          assert.ok(!error.message.includes('secret'), error.message);
          return true;
        },
      );
    }
    assert.throws(() => basicAuth({ users: { ann: 'secret' } }), /users\["ann"\]: the hash must be/);
    assert.throws(() => basicAuth({ users: { 'a:b': good } }), /must have a name without colons/);
    for (const options of [
      undefined,
      {},
      { users: {}, htpasswd: '' },
      { htpasswd: 1 },
      { users: 'ann' },
      { user: {} },
    ])
      assert.throws(() => basicAuth(options as never), { name: 'OptionError' });
  });
});
