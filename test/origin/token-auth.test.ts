import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parseChallenges } from '../../lib/origin/challenges.ts';
import { type TokenAuthOptions, tokenAuth } from '../../lib/origin/token-auth.ts';
import { deferred } from '../support/deferred.ts';
import { bytesOf, get, originOf, type RawServer, rawServer, statusOnly, until } from './raw.ts';

function json(value: unknown, status = 200): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return `HTTP/1.1 ${status} So\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

interface Registry {
  server: RawServer;
  /** What Authorization said, request by request. */
  seen: (string | undefined)[];
  ask(path?: string, signal?: AbortSignal): Promise<number>;
  running(): number;
}

/** A registry that takes the tokens in `good`, and asks for one from `realm` with this scope for each repository. */
async function registryOf(
  t: TestContext,
  realm: string,
  { good = new Set(['one']), ...options }: TokenAuthOptions & { good?: Set<string> } = {},
): Promise<Registry> {
  const server = await rawServer(t, (socket, { fields, path }) => {
    const [scheme, token = ''] = (fields.get('authorization') ?? '').split(' ');
    if (scheme === 'Bearer' && good.has(token)) return socket.write(json('ok'));
    const repository = path.split('/').slice(2, -2).join('/');
    const asks = `Bearer realm="${realm}",service="registry",scope="repository:${repository}:pull"`;
    return socket.write(statusOnly(401, `WWW-Authenticate: ${asks}`));
  });
  const origin = originOf(t, { maxRequests: 2 });
  const authenticate = tokenAuth(options);
  return {
    server,
    get seen() {
      return server.requests.map(({ fields }) => fields.get('authorization'));
    },
    running: () => origin.load.running,
    async ask(path = '/v2/a/b/blobs/1', signal = new AbortController().signal) {
      const target = { ...server.target(path), authenticate };
      const answer = await origin.fetch(get(target, { signal }));
      await bytesOf(answer.body);
      return answer.status;
    },
  };
}

test('a token is had from the realm, and the next request to the repository brings it along', async (t) => {
  const realm = await rawServer(t, (socket) => socket.write(json({ token: 'one', expires_in: 300 })));
  const asked = await registryOf(t, `${realm.url}/token?x=1`, {
    realms: [realm.host],
    insecure: true,
    username: 'alice',
    password: 'pw',
  });
  assert.equal(await asked.ask(), 200);
  assert.equal(await asked.ask('/v2/a/b/manifests/latest'), 200);
  assert.deepEqual(asked.seen, [undefined, 'Bearer one', 'Bearer one']);
  assert.equal(realm.requests.length, 1);
  const [request] = realm.requests;
  assert.equal(request?.path, '/token?x=1&service=registry&scope=repository%3Aa%2Fb%3Apull&account=alice');
  assert.equal(request?.fields.get('authorization'), `Basic ${Buffer.from('alice:pw').toString('base64')}`);
  // Another repository needs another token.
  assert.equal(await asked.ask('/v2/c/blobs/1'), 200);
  assert.equal(realm.requests.length, 2);
});

test('one token is asked for, however many wait for it, though all turns are taken', async (t) => {
  const waiting = deferred();
  const realm = await rawServer(t, async (socket) => {
    await waiting.promise;
    socket.write(json({ access_token: 'one' }));
  });
  const asked = await registryOf(t, `${realm.url}/token`, { realms: [realm.host], insecure: true });
  const leaving = new AbortController();
  const reason = new Error('left');
  const left = asked.ask('/v2/a/b/blobs/0', leaving.signal);
  const stays = asked.ask('/v2/a/b/blobs/1');
  await until(() => realm.requests.length === 1 && asked.server.requests.length === 2);
  leaving.abort(reason);
  await assert.rejects(left, reason);
  waiting.resolve();
  assert.equal(await stays, 200);
  assert.equal(realm.requests.length, 1);
  assert.equal(asked.running(), 0);
});

test('a token is not used when it is about to expire, and another one is had where it is refused', async (t) => {
  const tokens = ['one', 'two', 'three'];
  const realm = await rawServer(t, (socket, { index }) =>
    socket.write(json({ token: tokens[index], expires_in: index === 0 ? 0.02 : 300 })),
  );
  const good = new Set(['one', 'two']);
  const asked = await registryOf(t, `${realm.url}/token`, { realms: [realm.host], insecure: true, good });
  assert.equal(await asked.ask(), 200);
  const expires = Date.now() + 30;
  await until(() => Date.now() > expires);
  assert.equal(await asked.ask(), 200);
  good.delete('two');
  good.add('three');
  assert.equal(await asked.ask(), 200);
  assert.deepEqual(asked.seen, [
    undefined,
    'Bearer one',
    undefined,
    'Bearer two',
    'Bearer two',
    'Bearer three',
  ]);
});

test('where a token does not help, or none is given, the 401 is the answer', async (t) => {
  const realm = await rawServer(t, (socket, { index }) =>
    socket.write(index === 0 ? json({ token: 'bad' }) : statusOnly(401)),
  );
  const asked = await registryOf(t, `${realm.url}/token`, { realms: [realm.host], insecure: true });
  assert.equal(await asked.ask(), 401);
  assert.equal(await asked.ask(), 401);
  assert.deepEqual(asked.seen, [undefined, 'Bearer bad', 'Bearer bad']);
  assert.equal(realm.requests.length, 2);
});

for (const [name, answer, reason] of [
  ['without a token', json({ tokens: [] }), 'broken'],
  ['that is not JSON', json('secret-token'), 'broken'],
  ['with a token that fits no header', json({ token: 'a\nb' }), 'broken'],
  ['without end', json('x'.repeat(100_000)), 'broken'],
  ['that never comes', '', 'timeout'],
  ['with 500', statusOnly(500), 'unreachable'],
] as const) {
  test(`an answer of the realm ${name} is an error`, async (t) => {
    const realm = await rawServer(t, (socket) => socket.write(answer));
    const options = { realms: [realm.host], insecure: true, timeoutMs: 200 };
    const asked = await registryOf(t, `${realm.url}/token`, options);
    await assert.rejects(asked.ask(), (error: Error & { reason?: string }) => {
      assert.equal(error.reason, reason);
      return !error.message.includes('secret-token');
    });
    assert.equal(realm.requests.length, 1);
    assert.equal(asked.running(), 0);
    await until(() => realm.sockets.size <= 1);
  });
}

test('a realm that is not trusted is asked for nothing', async (t) => {
  const realm = await rawServer(t, (socket) => socket.write(json({ token: 'one' })));
  const refused: [realm: string, options: TokenAuthOptions, message: RegExp][] = [
    [`${realm.url}/token`, { insecure: true }, /not among the realms/],
    [`${realm.url}/token`, { realms: [realm.host] }, /can be read on their way/],
    [`http://name:secret@${realm.host}/`, { realms: [realm.host], insecure: true }, /user information/],
    ['file:///etc/passwd', { realms: ['127.0.0.1'], insecure: true }, /is at file:/],
    ['/token', { insecure: true }, /no URL/],
  ];
  for (const [where, options, message] of refused) {
    const asked = await registryOf(t, where, { ...options, username: 'alice', password: 'secret' });
    await assert.rejects(asked.ask(), (error: Error & { reason?: string }) => {
      assert.match(error.message, message);
      return error.reason === 'redirect' && !error.message.includes('secret');
    });
  }
  assert.equal(realm.requests.length, 0);
});

test('a realm on the very host that asks is trusted', async (t) => {
  const server = await rawServer(t, (socket, { path, fields }) => {
    if (path.startsWith('/token')) socket.write(json({ token: 'one' }));
    else if (fields.has('authorization')) socket.write(json('ok'));
    else socket.write(statusOnly(401, `WWW-Authenticate: Bearer realm="${server.url}/token"`));
  });
  const target = { ...server.target('/v2/a/blobs/1'), authenticate: tokenAuth() };
  assert.equal((await originOf(t).fetch(get(target))).status, 200);
});

test('a token does not go along a redirect to another host', async (t) => {
  const cdn = await rawServer(t, (socket) => socket.write(json('blob')));
  const server = await rawServer(t, (socket, { path, fields }) => {
    if (path.startsWith('/token')) socket.write(json({ token: 'one' }));
    else if (fields.has('authorization')) socket.write(statusOnly(307, `Location: ${cdn.url}/blob`));
    else socket.write(statusOnly(401, `WWW-Authenticate: Bearer realm="${server.url}/token"`));
  });
  const target = { ...server.target('/v2/a/blobs/1'), authenticate: tokenAuth() };
  const answer = await originOf(t).fetch(get(target));
  assert.equal(String(await bytesOf(answer.body)), 'blob');
  assert.deepEqual([cdn.requests.length, cdn.requests[0]?.fields.has('authorization')], [1, false]);
});

test('Basic is answered where there is a name, once, and brought along afterwards', async (t) => {
  const expected = `Basic ${Buffer.from('alice:pw').toString('base64')}`;
  const server = await rawServer(t, (socket, { fields }) =>
    socket.write(
      fields.get('authorization') === expected
        ? json('ok')
        : statusOnly(401, 'WWW-Authenticate: Basic realm="x"'),
    ),
  );
  const origin = originOf(t);
  const named = { ...server.target('/a/1'), authenticate: tokenAuth({ username: 'alice', password: 'pw' }) };
  assert.equal((await origin.fetch(get(named))).status, 200);
  assert.equal((await origin.fetch(get(named))).status, 200);
  assert.equal(server.requests.length, 3);
  const wrong = { ...server.target('/a/1'), authenticate: tokenAuth({ username: 'bob', password: 'pw' }) };
  assert.equal((await origin.fetch(get(wrong))).status, 401);
  assert.equal((await origin.fetch(get(wrong))).status, 401);
  const nobody = { ...server.target('/a/1'), authenticate: tokenAuth() };
  assert.equal((await origin.fetch(get(nobody))).status, 401);
  // Refused once and brought along the next time; each 401 to it ends there.
  assert.equal(server.requests.length, 7);
});

const refusedOptions: [options: unknown, option: string][] = [
  [{ user: 'x' }, 'tokenAuth.user'],
  [{ username: 'a:b' }, 'tokenAuth.username'],
  [{ username: 1 }, 'tokenAuth.username'],
  [{ password: 'x' }, 'tokenAuth.password'],
  [{ realms: 'auth.example' }, 'tokenAuth.realms'],
  [{ realms: ['https://auth.example/'] }, 'tokenAuth.realms'],
  [{ insecure: 'yes' }, 'tokenAuth.insecure'],
  [{ timeoutMs: -1 }, 'tokenAuth.timeoutMs'],
];
for (const [options, option] of refusedOptions) {
  test(`${JSON.stringify(options)} is refused`, () => {
    assert.throws(() => tokenAuth(options as TokenAuthOptions), { code: 'ERR_CACHE_FILTER_OPTION', option });
  });
}

const parsed: [lines: string[], expected: [scheme: string, params: Record<string, string>][]][] = [
  [['Basic realm="x"'], [['basic', { realm: 'x' }]]],
  [['BEARER Realm="a,b=c", scope=x:y'], [['bearer', { realm: 'a,b=c', scope: 'x:y' }]]],
  [
    ['Basic realm="x", Bearer realm="y",service="z"', 'Negotiate'],
    [
      ['basic', { realm: 'x' }],
      ['bearer', { realm: 'y', service: 'z' }],
      ['negotiate', {}],
    ],
  ],
  [
    ['Negotiate YII=, Basic realm = "q\\"q"'],
    [
      ['negotiate', {}],
      ['basic', { realm: 'q"q' }],
    ],
  ],
  [['Bearer realm="open'], [['bearer', {}]]],
  [['', '=', '"x"'], []],
];
for (const [lines, expected] of parsed) {
  test(`${JSON.stringify(lines)} as challenges`, () => {
    const found = parseChallenges(lines).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);
    assert.deepEqual(found, expected);
  });
}
