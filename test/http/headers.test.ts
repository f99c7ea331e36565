import assert from 'node:assert/strict';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { HeaderPairs } from '../../lib/http/body.ts';
import {
  DENIED_HEADERS,
  fieldValue,
  fieldValues,
  listMembers,
  mergeList,
  parseWriteHead,
  storedHeaders,
  without,
} from '../../lib/http/headers.ts';

describe('fieldValue and fieldValues', () => {
  const headers: HeaderPairs = [
    ['Vary', 'Accept'],
    ['ETag', '"a"'],
    ['VARY', 'Origin'],
    ['X-Empty', ''],
  ];

  test('find a field in any letter case', () => {
    assert.equal(fieldValue(headers, 'etag'), '"a"');
    assert.equal(fieldValue(headers, 'ETAG'), '"a"');
  });

  test('keep the lines of a field in order', () => {
    assert.deepEqual(fieldValues(headers, 'vary'), ['Accept', 'Origin']);
    assert.equal(fieldValue(headers, 'vary'), 'Accept, Origin');
  });

  test('tell an empty field from an absent one', () => {
    assert.equal(fieldValue(headers, 'x-empty'), '');
    assert.equal(fieldValue(headers, 'x-absent'), undefined);
    assert.deepEqual(fieldValues(headers, 'x-absent'), []);
  });
});

describe('storedHeaders', () => {
  test('keeps names, values, order and repeats of what it keeps', () => {
    const headers: HeaderPairs = [
      ['Content-Type', 'text/plain'],
      ['LINK', '<a>'],
      ['link', '<b>'],
      ['ETag', '"a"'],
    ];
    assert.deepEqual(storedHeaders(headers, new Set()), headers);
  });

  for (const name of [
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authenticate',
    'Proxy-Authorization',
    'Proxy-Authentication-Info',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'Set-Cookie',
    'Set-Cookie2',
    'Authorization',
    'Authentication-Info',
    'WWW-Authenticate',
    'X-Auth-Token',
    'X-Subject-Token',
    'X-Image-Meta-Location',
    'Content-Length',
    'Cache-Status',
    'Server-Timing',
    'Alt-Svc',
    'Clear-Site-Data',
  ]) {
    test(`leaves out ${name} in any letter case`, () => {
      assert.ok(DENIED_HEADERS.has(name.toLowerCase()), `${name} is in DENIED_HEADERS`);
      for (const each of [name, name.toLowerCase(), name.toUpperCase()]) {
        assert.deepEqual(storedHeaders([[each, 'x']], new Set()), []);
      }
    });
  }

  test('leaves out what Connection names, on any of its lines and wherever it stands', () => {
    const headers: HeaderPairs = [
      ['X-Hop', '1'],
      ['Connection', 'close, x-hop'],
      ['X-Stay', '2'],
      ['connection', 'X-Other'],
      ['x-other', '3'],
    ];
    assert.deepEqual(storedHeaders(headers, new Set()), [['X-Stay', '2']]);
  });

  test('leaves out the pseudo fields of HTTP/2', () => {
    assert.deepEqual(storedHeaders([[':status', '200']], new Set()), []);
  });

  test('leaves out what it is told to', () => {
    const headers: HeaderPairs = [
      ['X-Trace-Id', '1'],
      ['X-Trace', '2'],
    ];
    assert.deepEqual(storedHeaders(headers, new Set(['x-trace-id'])), [['X-Trace', '2']]);
  });

  test('does not touch what it was given', () => {
    const headers: HeaderPairs = [['Age', '1']];
    storedHeaders(headers, new Set());
    assert.deepEqual(headers, [['Age', '1']]);
  });
});

/** What Node sends for `res.writeHead(...args)` on a response without headers, or the code of what it throws. */
async function nodeWrites(
  args: readonly unknown[],
): Promise<{ status?: number; reason?: string; raw?: string[]; code?: unknown }> {
  let code: unknown;
  const server = createServer((_req, res) => {
    res.sendDate = false;
    try {
      (res.writeHead as (...args: unknown[]) => void)(...args);
      res.end();
    } catch (error) {
      code = (error as { code?: unknown }).code;
      res.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await new Promise((resolve) => {
      const { port } = server.address() as AddressInfo;
      const request = get({ port, host: '127.0.0.1', agent: false }, (res) => {
        res.resume();
        const raw = res.rawHeaders.slice(0, res.rawHeaders.indexOf('Connection'));
        resolve({ status: res.statusCode ?? 0, reason: res.statusMessage ?? '', raw });
      });
      request.on('error', () => resolve({ code }));
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('parseWriteHead', () => {
  const forms: [what: string, args: unknown[], parsed: ReturnType<typeof parseWriteHead>][] = [
    ['a status', [204], { status: 204, headers: [], appends: false }],
    ['a status in a string', ['204'], { status: 204, headers: [], appends: false }],
    ['a status with a fraction', [200.9], { status: 200, headers: [], appends: false }],
    ['a reason', [200, 'Fine'], { status: 200, statusMessage: 'Fine', headers: [], appends: false }],
    ['an empty reason', [200, ''], { status: 200, statusMessage: '', headers: [], appends: false }],
    [
      'an object',
      [200, { 'X-A': '1', 'X-N': 5, 'X-L': ['1', 2] }],
      {
        status: 200,
        headers: [
          ['X-A', '1'],
          ['X-N', 5],
          ['X-L', ['1', '2']],
        ],
        appends: false,
      },
    ],
    [
      'a reason and an object',
      [200, 'Fine', { a: '1' }],
      { status: 200, statusMessage: 'Fine', headers: [['a', '1']], appends: false },
    ],
    [
      'an undefined reason',
      [200, undefined, { a: '1' }],
      { status: 200, headers: [['a', '1']], appends: false },
    ],
    ['a null reason', [200, null, { a: '1' }], { status: 200, headers: [['a', '1']], appends: false }],
    [
      'a reason that is a number',
      [200, 5, { a: '1' }],
      { status: 200, headers: [['a', '1']], appends: false },
    ],
    [
      'an object and undefined',
      [200, { a: '1' }, undefined],
      { status: 200, headers: [['a', '1']], appends: false },
    ],
    ['an object and null', [200, { a: '1' }, null], { status: 200, headers: [['a', '1']], appends: false }],
    [
      'two objects, of which the last counts',
      [200, { a: '1' }, { b: '2' }],
      { status: 200, headers: [['b', '2']], appends: false },
    ],
    ['no headers', [200, undefined, undefined], { status: 200, headers: [], appends: false }],
    [
      'null for headers',
      [200, 'Fine', null],
      { status: 200, statusMessage: 'Fine', headers: [], appends: false },
    ],
    ['an object and an empty string', [200, { a: '1' }, ''], { status: 200, headers: [], appends: false }],
    ['a number for headers', [200, 5], { status: 200, headers: [], appends: false }],
    [
      'a Map, which has no own names',
      [200, new Map([['a', '1']])],
      { status: 200, headers: [], appends: false },
    ],
    [
      'a flat array',
      [200, ['a', '1', 'A', '2', 'n', 5]],
      {
        status: 200,
        headers: [
          ['a', '1'],
          ['A', '2'],
          ['n', 5],
        ],
        appends: true,
      },
    ],
    [
      'a reason and a flat array',
      [200, 'Fine', ['a', '1']],
      { status: 200, statusMessage: 'Fine', headers: [['a', '1']], appends: true },
    ],
    [
      'an array of pairs, also of odd length',
      [
        200,
        [
          ['a', '1'],
          ['a', ['2', '3']],
          ['b', '4'],
        ],
      ],
      {
        status: 200,
        headers: [
          ['a', '1'],
          ['a', ['2', '3']],
          ['b', '4'],
        ],
        appends: true,
      },
    ],
    ['an empty array', [200, []], { status: 200, headers: [], appends: true }],
    [
      'a value of another type',
      [200, { a: true, b: null }],
      {
        status: 200,
        headers: [
          ['a', 'true'],
          ['b', 'null'],
        ],
        appends: false,
      },
    ],
  ];
  for (const [what, args, parsed] of forms) {
    test(`reads ${what}`, () => assert.deepEqual(parseWriteHead(args), parsed));

    test(`reads ${what} as Node does`, async () => {
      const { status, statusMessage, headers } = parseWriteHead(args);
      const found = await nodeWrites(args);
      assert.equal(found.status, status);
      if (statusMessage !== undefined) assert.equal(found.reason, statusMessage);
      const pairs = headers.flatMap(([name, value]) =>
        [value].flat().flatMap((each) => [name, String(each)]),
      );
      assert.deepEqual(found.raw, pairs);
    });
  }

  test('leaves out fields without a name, as Node does where headers were set before', () => {
    assert.deepEqual(parseWriteHead([200, { '': 'x', a: '1' }]).headers, [['a', '1']]);
    assert.deepEqual(parseWriteHead([200, ['', 'x']]).headers, []);
  });

  const refused: [what: string, args: unknown[], error: new () => Error, code: string][] = [
    ['no status', [], RangeError, 'ERR_HTTP_INVALID_STATUS_CODE'],
    ['a status that is no number', ['abc'], RangeError, 'ERR_HTTP_INVALID_STATUS_CODE'],
    ['status 99', [99], RangeError, 'ERR_HTTP_INVALID_STATUS_CODE'],
    ['status 1000', [1000], RangeError, 'ERR_HTTP_INVALID_STATUS_CODE'],
    ['status -1', [-1], RangeError, 'ERR_HTTP_INVALID_STATUS_CODE'],
    ['a flat array of odd length', [200, ['a', '1', 'b']], TypeError, 'ERR_INVALID_ARG_VALUE'],
    ['a line end in the reason', [200, 'a\nb'], TypeError, 'ERR_INVALID_CHAR'],
    ['a line end in a value', [200, { a: '1\n' }], TypeError, 'ERR_INVALID_CHAR'],
    ['a line end in one of several values', [200, { a: ['1', '2\n'] }], TypeError, 'ERR_INVALID_CHAR'],
    ['a name that is no token', [200, { 'a b': '1' }], TypeError, 'ERR_INVALID_HTTP_TOKEN'],
    ['a name that is no string', [200, ['a', '1', ['b'], '2']], TypeError, 'ERR_INVALID_HTTP_TOKEN'],
    ['an undefined value', [200, { a: undefined }], TypeError, 'ERR_HTTP_INVALID_HEADER_VALUE'],
    ['an undefined value in an array', [200, ['a', undefined]], TypeError, 'ERR_HTTP_INVALID_HEADER_VALUE'],
  ];
  for (const [what, args, error, code] of refused) {
    test(`refuses ${what} with the error of Node`, async () => {
      assert.throws(
        () => parseWriteHead(args),
        (thrown: Error & { code?: string }) => {
          assert.ok(thrown instanceof error, `${thrown.name} is a ${error.name}`);
          assert.equal(thrown.code, code);
          return true;
        },
      );
      assert.equal((await nodeWrites(args)).code, code);
    });
  }

  for (const [what, pair] of [
    ['a name alone', ['b']],
    ['three', ['b', '1', '2']],
    ['a string', 'b1'],
  ] as const) {
    test(`refuses ${what} in place of a pair`, () => {
      assert.throws(() => parseWriteHead([200, [['a', '1'], pair]]), { code: 'ERR_INVALID_ARG_VALUE' });
    });
  }
});

describe('listMembers', () => {
  for (const [value, members] of [
    ['', []],
    [' , ,', []],
    ['a', ['a']],
    ['a,b ,\tc', ['a', 'b', 'c']],
    ['a="x, y", b', ['a="x, y"', 'b']],
    ['a="x\\", y", b', ['a="x\\", y"', 'b']],
    ['a="x\\\\", b', ['a="x\\\\"', 'b']],
    ['a\\, b', ['a\\', 'b']],
    ['a="x, b', ['a="x', 'b']],
    ['a, b="x\\", c', ['a', 'b="x\\"', 'c']],
  ] as const) {
    test(`splits ${value || 'nothing'} into ${members.length}`, () =>
      assert.deepEqual(listMembers(value), members));
  }
});

describe('mergeList', () => {
  for (const [existing, added, merged] of [
    [undefined, 'Origin', 'Origin'],
    ['', 'Origin', 'Origin'],
    ['Origin', 'Accept', 'Origin, Accept'],
    ['Origin', 'origin, ACCEPT', 'Origin, ACCEPT'],
    ['Origin', '', 'Origin'],
    ['a,b', 'c,a', 'a, b, c'],
    ['*', 'Origin', '*'],
    ['Origin', 'a, *', '*'],
    [undefined, '', ''],
  ] as const) {
    test(`joins ${existing} and ${added} to ${merged}`, () =>
      assert.equal(mergeList(existing, added), merged));
  }
});

describe('without', () => {
  for (const [list, base, rest] of [
    ['a, b', undefined, 'a, b'],
    ['a,b', '', 'a, b'],
    ['Origin, Accept', 'ACCEPT', 'Origin'],
    ['a', 'a, b', ''],
    ['', 'a', ''],
    ['a, *', '*', 'a'],
  ] as const) {
    test(`takes ${base} from ${list}, which leaves ${rest || 'nothing'}`, () =>
      assert.equal(without(list, base), rest));
  }
});
