import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ByteRange } from '../../lib/http/body.ts';
import {
  contentRange,
  firstPosition,
  firstRange,
  multipartByteranges,
  parseContentRange,
  parseRange,
} from '../../lib/http/ranges.ts';

const HUGE = '9'.repeat(400);

describe('parseRange', () => {
  const satisfiable: [header: string, size: number, ranges: [start: number, end: number][]][] = [
    ['bytes=0-0', 10, [[0, 1]]],
    ['bytes=0-9', 10, [[0, 10]]],
    ['bytes=2-5', 10, [[2, 6]]],
    ['bytes=5-5', 10, [[5, 6]]],
    ['bytes=2-', 10, [[2, 10]]],
    ['bytes=9-', 10, [[9, 10]]],
    ['bytes=-3', 10, [[7, 10]]],
    ['bytes=5-100', 10, [[5, 10]]],
    ['bytes=-100', 10, [[0, 10]]],
    [`bytes=5-${HUGE}`, 10, [[5, 10]]],
    ['bytes=5-9007199254740991', 10, [[5, 10]]],
    ['bytes=5-9007199254740993', 10, [[5, 10]]],
    [`bytes=-${HUGE}`, 10, [[0, 10]]],
    ['bytes=005-0006', 10, [[5, 7]]],
    ['BYTES=1-2', 10, [[1, 3]]],
    [' bytes=1-2 ', 10, [[1, 3]]],
    [
      'bytes=7-8,0-1',
      10,
      [
        [7, 9],
        [0, 2],
      ],
    ],
    [
      'bytes=0-1 ,\t3-4 , -1',
      10,
      [
        [0, 2],
        [3, 5],
        [9, 10],
      ],
    ],
    [
      'bytes=,0-1,, ,3-4,',
      10,
      [
        [0, 2],
        [3, 5],
      ],
    ],
    ['bytes=10-,2-3,-0,99-100', 10, [[2, 4]]],
    [
      'bytes=0-4,0-4',
      10,
      [
        [0, 5],
        [0, 5],
      ],
    ],
    [
      'bytes=9007199254740000-9007199254740989',
      Number.MAX_SAFE_INTEGER,
      [[9007199254740000, 9007199254740990]],
    ],
  ];
  for (const [header, size, ranges] of satisfiable) {
    test(`cuts ${header.slice(0, 50)} out of ${size} bytes`, () => {
      const expected = ranges.map(([start, end]) => ({ start, end }));
      assert.deepEqual(parseRange(header, size), { kind: 'ranges', ranges: expected });
    });
  }

  for (const [header, size] of [
    ['bytes=10-', 10],
    ['bytes=10-10', 10],
    ['bytes=-0', 10],
    ['bytes=10-,-0,11-12', 10],
    [`bytes=${HUGE}-`, 10],
    [`bytes=${HUGE}-${HUGE}`, 10],
    ['bytes=0-', 0],
    ['bytes=0-0', 0],
    ['bytes=-1', 0],
    ['bytes=-0', 0],
  ] as const) {
    test(`can't satisfy ${header.slice(0, 50)} with ${size} bytes`, () => {
      assert.deepEqual(parseRange(header, size), { kind: 'unsatisfiable' });
    });
  }

  const ignored: [why: string, header: string | undefined][] = [
    ['no header', undefined],
    ['an empty header', ''],
    ['another unit', 'items=0-1'],
    ['a unit that only begins like bytes', 'bytesx=0-1'],
    ['no equals sign', 'bytes 0-1'],
    ['space before the equals sign', 'bytes =0-1'],
    ['no ranges', 'bytes='],
    ['only empty members', 'bytes=, ,'],
    ['only a dash', 'bytes=-'],
    ['no dash', 'bytes=5'],
    ['a last position before the first', 'bytes=5-2'],
    ['the same past 2 ** 53', 'bytes=9007199254740993-9007199254740992'],
    ['letters', 'bytes=a-b'],
    ['signs', 'bytes=+1-2'],
    ['negative numbers', 'bytes=--5'],
    ['fractions', 'bytes=0.5-1'],
    ['hex', 'bytes=0x0-0x1'],
    ['spaces inside a range', 'bytes=0 - 1'],
    ['a range and a half', 'bytes=0-1-2'],
    ['one malformed range among good ones', 'bytes=0-1,x,3-4'],
    ['one malformed range among unsatisfiable ones', 'bytes=10-,5-2'],
    ['digits of another script', 'bytes=٠-١'],
    ['two headers in one', 'bytes=0-1, bytes=2-3'],
    ['ranges that overlap into more than the body', 'bytes=0-,0-0'],
    ['the whole body twice', 'bytes=0-9,0-9'],
  ];
  for (const [why, header] of ignored) {
    test(`ignores a header with ${why}`, () => {
      assert.deepEqual(parseRange(header, 10), { kind: 'whole' });
    });
  }

  const single = (count: number) => `bytes=${Array.from({ length: count }, (_, n) => `${n}-${n}`).join()}`;

  test('answers 64 ranges and ignores 65', () => {
    assert.equal(parseRange(single(64), 1000).kind, 'ranges');
    assert.equal(parseRange(single(65), 1000).kind, 'whole');
  });

  test('takes another limit, where empty members do not count', () => {
    assert.equal(parseRange('bytes=0-0,,,1-1', 1000, 2).kind, 'ranges');
    assert.equal(parseRange('bytes=0-0,1-1,2-2', 1000, 2).kind, 'whole');
  });

  test('reads the longest header that Node lets through without delay', () => {
    const started = performance.now();
    for (const filler of ['0-0,', ' ', ',', '9', '-', '\t,'])
      parseRange(`bytes=${filler.repeat(16_384)}`, 10);
    const elapsed = performance.now() - started;
    assert.ok(elapsed < 500, `6 headers of 16 KiB and more took ${elapsed} ms`);
  });
});

describe('firstPosition', () => {
  for (const [header, position] of [
    ['bytes=100-', 100],
    ['bytes=0-0', 0],
    ['bytes=7-8,0-1', 7],
    ['bytes=,7-8', 7],
    [`bytes=${HUGE}-`, Number.MAX_SAFE_INTEGER],
    ['bytes=-100', undefined],
    ['bytes=-100,5-6', undefined],
    ['bytes=5-2', undefined],
    ['bytes=5-6,x', undefined],
    ['items=5-', undefined],
    ['', undefined],
    [undefined, undefined],
  ] as const) {
    test(`is ${position} for ${header?.slice(0, 50)}`, () => assert.equal(firstPosition(header), position));
  }
});

describe('contentRange', () => {
  test('names the last byte, not the one after it', () => {
    assert.equal(contentRange({ start: 0, end: 100 }, 1000), 'bytes 0-99/1000');
  });

  test('names only the size where nothing could be satisfied', () => {
    assert.equal(contentRange(undefined, 1000), 'bytes */1000');
    assert.equal(contentRange(undefined, 0), 'bytes */0');
  });
});

describe('multipartByteranges', () => {
  const body = Buffer.from('0123456789');
  const ranges: ByteRange[] = [
    { start: 1, end: 3 },
    { start: 8, end: 10 },
  ];
  const whole = ({ parts, closing }: ReturnType<typeof multipartByteranges>) =>
    Buffer.concat([
      ...parts.flatMap(({ preamble, range }) => [preamble, body.subarray(range.start, range.end)]),
      closing,
    ]);

  test('frames the parts as in RFC 9110 14.6', () => {
    const framing = multipartByteranges(ranges, 10, 'text/plain', 'THIS');
    assert.equal(framing.contentType, 'multipart/byteranges; boundary=THIS');
    assert.equal(
      whole(framing).toString(),
      [
        '--THIS',
        'Content-Type: text/plain',
        'Content-Range: bytes 1-2/10',
        '',
        '12',
        '--THIS',
        'Content-Type: text/plain',
        'Content-Range: bytes 8-9/10',
        '',
        '89',
        '--THIS--',
        '',
      ].join('\r\n'),
    );
    assert.deepEqual(
      framing.parts.map(({ range }) => range),
      ranges,
    );
  });

  test('leaves Content-Type out of the parts where the body has none', () => {
    assert.equal(
      whole(multipartByteranges(ranges.slice(0, 1), 10, undefined, 'b')).toString(),
      '--b\r\nContent-Range: bytes 1-2/10\r\n\r\n12\r\n--b--\r\n',
    );
  });

  test('says the length of everything, framing included, in bytes rather than characters', () => {
    for (const contentType of [undefined, 'text/plain', 'text/plain; title="ü"']) {
      const framing = multipartByteranges(ranges, 10, contentType, 'b');
      assert.equal(framing.length, whole(framing).length);
    }
    const framing = multipartByteranges(ranges, 10, 'x/ü', 'b');
    assert.ok(framing.parts[0]?.preamble.includes(0xfc), 'ü went out as one byte, as Node sends headers');
  });
});

describe('parseContentRange', () => {
  const good: [value: string, range: ReturnType<typeof parseContentRange>][] = [
    ['bytes 0-0/1', { start: 0, end: 1, total: 1 }],
    ['bytes 2-5/10', { start: 2, end: 6, total: 10 }],
    ['bytes 5-9/10', { start: 5, end: 10, total: 10 }],
    ['BYTES 5-9/10', { start: 5, end: 10, total: 10 }],
    [' bytes 5-9/* ', { start: 5, end: 10 }],
    ['bytes 0-9007199254740990/9007199254740991', { start: 0, end: 2 ** 53 - 1, total: 2 ** 53 - 1 }],
  ];
  for (const [value, range] of good) {
    test(`${JSON.stringify(value)} is a part`, () => assert.deepEqual(parseContentRange(value), range));
  }

  const bad = [
    undefined,
    '',
    'bytes */10',
    'bytes 5-4/10',
    'bytes 5-10/10',
    'bytes 0-9/9007199254740992',
    'bytes 0-9007199254740991/*',
    'bytes 0-9007199254740992/9007199254740993',
    'bytes=0-9/10',
    'bytes 0-9',
    'bytes 0-/10',
    'bytes -9/10',
    'bytes 0 - 9/10',
    'bytes  0-9/10',
    'items 0-9/10',
    'bytes 0-9/10, bytes 0-9/10',
    'bytes +0-9/10',
    'bytes 0x0-9/10',
    `bytes 0-${HUGE}/${HUGE}`,
  ];
  for (const value of bad) {
    test(`${JSON.stringify(value)} is none`, () => assert.equal(parseContentRange(value), undefined));
  }
});

describe('firstRange', () => {
  const cases: [header: string | undefined, range: ReturnType<typeof firstRange>][] = [
    [undefined, undefined],
    ['items=0-1', undefined],
    ['bytes=0-9', { start: 0, end: 10 }],
    ['bytes=5-', { start: 5, end: undefined }],
    ['bytes=-5', { start: undefined, end: undefined }],
    ['bytes=7-8, 0-1', { start: 7, end: 9 }],
  ];
  for (const [header, range] of cases)
    test(`of ${header}`, () => assert.deepEqual(firstRange(header), range));
});
