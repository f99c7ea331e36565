import { request } from 'node:http';
import type { Random } from './random.ts';

/** What a client may ask for. */
export interface Question {
  method: 'GET' | 'HEAD';
  /** Half-open. */
  ranges: [start: number, end: number][];
}

/** What came. */
interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
  /** The protocol says that this is all of it. */
  complete: boolean;
}

/** How an answer compares with what it should be. */
export type Judgement =
  | { is: 'right'; hit: boolean }
  /** Visibly not all of it; what came was right. */
  | { is: 'broken' }
  | { is: 'wrong'; why: string };

/** The whole, a range, several, or the head. */
export function question(size: number, random: Random): Question {
  const range = (): [number, number] => {
    const start = random.below(size);
    return [start, start + 1 + random.below(Math.min(size - start, random.pick([100, 70_000, size])))];
  };
  const kind = random.pick(['whole', 'whole', 'range', 'range', 'several', 'head']);
  if (kind === 'head') return { method: 'HEAD', ranges: [] };
  if (kind === 'whole' || size === 0) return { method: 'GET', ranges: [] };
  return { method: 'GET', ranges: kind === 'range' ? [range()] : [range(), range(), range()] };
}

/** @param meanwhile called once the first bytes of the body have come; the others are read afterwards */
export async function asked(
  port: number,
  path: string,
  { method, ranges }: Question,
  body: Buffer,
  meanwhile?: () => void,
): Promise<Judgement> {
  const headers: Record<string, string> = {};
  if (ranges.length > 0)
    headers['range'] = `bytes=${ranges.map(([start, end]) => `${start}-${end - 1}`).join(',')}`;
  const answer = await new Promise<Answer>((resolve, reject) => {
    const req = request({ port, host: '127.0.0.1', path, method, headers, agent: false });
    req.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') reject(error);
      else resolve({ status: 0, headers: {}, body: Buffer.alloc(0), complete: false });
    });
    req.on('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (chunks.length > 1 || meanwhile === undefined) return;
        res.pause();
        meanwhile();
        res.resume();
      });
      res.on('error', () => undefined);
      res.on('close', () => {
        const { statusCode: status = 0, complete, headers } = res;
        resolve({ status, headers, body: Buffer.concat(chunks), complete });
      });
    });
    req.end();
  });
  const why = flaw(answer, { method, ranges }, body);
  if (why !== undefined) return { is: 'wrong', why };
  if (!answer.complete) return { is: 'broken' };
  return { is: 'right', hit: /; hit/.test(String(answer.headers['cache-status'])) };
}

/** What is wrong with an answer, as far as it has come; undefined: nothing. */
function flaw(answer: Answer, { method, ranges }: Question, body: Buffer): string | undefined {
  const { status, headers, complete } = answer;
  if (status === 0) return undefined;
  if (method === 'HEAD') {
    const length = Number(headers['content-length']);
    return status === 200 && length === body.length ? undefined : `HEAD: ${status}, ${length} bytes`;
  }
  // Also where ranges overlap, which may be refused by sending all of it (RFC 9110, 14.2).
  if (status === 200) return differs(answer.body, body, complete);
  if (status !== 206 || ranges.length === 0) return `status ${status}`;
  if (ranges.length === 1) {
    const [[start, end]] = ranges as [[number, number]];
    const expected = `bytes ${start}-${end - 1}/${body.length}`;
    if (headers['content-range'] !== expected)
      return `${headers['content-range']} where ${expected} was asked for`;
    return differs(answer.body, body.subarray(start, end), complete);
  }
  return flawOfParts(answer, body);
}

/** Several ranges: each part says what it is of. Parts may have been put together, so that they are not those that were asked for. */
function flawOfParts({ headers, body: came, complete }: Answer, body: Buffer): string | undefined {
  const boundary = /boundary="?([^";]+)/.exec(String(headers['content-type']))?.[1];
  if (boundary === undefined) {
    const [, start, end] = /^bytes (\d+)-(\d+)\//.exec(String(headers['content-range'])) ?? [];
    if (start === undefined) return `neither parts nor a range: ${headers['content-type']}`;
    return differs(came, body.subarray(Number(start), Number(end) + 1), complete);
  }
  let at = 0;
  for (;;) {
    const head = came.indexOf('\r\n\r\n', at);
    const text = came.toString('latin1', at, head < 0 ? came.length : head);
    if (text.includes(`--${boundary}--`)) return undefined;
    if (head < 0) return complete ? `no end of the parts after ${at} bytes` : undefined;
    const [, start, end] = /content-range: bytes (\d+)-(\d+)\//i.exec(text) ?? [];
    if (start === undefined) return `a part without a range: ${text}`;
    const part = body.subarray(Number(start), Number(end) + 1);
    const bytes = came.subarray(head + 4, head + 4 + part.length);
    const why = differs(bytes, part, complete);
    if (why !== undefined) return `part ${start}-${end}: ${why}`;
    at = head + 4 + part.length;
  }
}

/** @param complete false: the beginning will do */
function differs(came: Buffer, expected: Buffer, complete: boolean): string | undefined {
  if (complete && came.length !== expected.length) return `${came.length} of ${expected.length} bytes`;
  if (came.equals(expected.subarray(0, came.length))) return undefined;
  const at = came.findIndex((byte, i) => byte !== expected[i]);
  return `byte ${at} of ${expected.length} is not as it was${complete ? '' : ', in an answer that broke off later'}`;
}
