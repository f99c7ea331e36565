import type { ServerResponse } from 'node:http';
import type { Body, BodyEnd, HeaderPairs, ResponseHead } from '../http/body.ts';
import { type AnyResponse, isHttp2 } from '../http/message.ts';
import { watchRest } from './deaf.ts';
import { ClientDeaf, ClientGone, Flow, failVisibly, isGone } from './flow.ts';
import { grouped, writeHead } from './head.ts';
import { type Asked, decide, framing, type Plan } from './plan.ts';
import { isPlain, replayHead } from './replay.ts';

export interface SendOptions {
  /** In place of the body's own head: for the leader, what its handler said, the parts that are never stored included. */
  head?: ResponseHead;
  /** Fields of this answer only, set last; `unverified`: it is a part of a body that is still being written. */
  headers?: (unverified: boolean) => HeaderPairs;
  /** Fields that a whole answer, or the range of a verified body, may carry in addition, where the head has none of that name. */
  supplement?: HeaderPairs;
  /** The body is still being written. */
  provisional?: Provisional;
  /** Ends the answer: quietly with ClientGone as its reason, else so that the client sees it. */
  signal?: AbortSignal;
  /** How long the client may take nothing, in milliseconds; 0 (default): for ever. */
  timeoutMs?: number;
  /** Whether to wait until the connection has taken all of a body that is in memory. Default true. */
  settled?: boolean;
  /** Called when the body has ended. */
  trailers?: () => HeaderPairs;
}

/** A body whose bytes are still to come, and to be verified: a range of it is marked so that it can't be combined with others. */
export interface Provisional {
  /** How many bytes could be sent at once from a position. Where that is none, the head goes out by itself. */
  available(from: number): number;
  /** A range waits for this, the end of the body, and needs no mark. */
  proven?: Promise<BodyEnd> | undefined;
}

/** What became of an answer. */
export interface Sent {
  status: number;
  /** Bytes of the body handed to the connection, framing of parts included. */
  bytes: number;
  /** The connection has taken all of it; where nobody wanted to wait for that, it was handed all of it. */
  complete: boolean;
  /** What stopped the body, where that was not the client. */
  error?: Error;
}

/** Whether it was the client that did not take all of it. */
export function isCutOff({ complete, error }: Sent): boolean {
  return !complete && error === undefined;
}

/**
 * The one way from a body to a client: 200, 206, 304, 412, 416 and HEAD (RFC 9110, 13.2.2 and 14.2). Never throws, nor rejects. Where
 * the body can't be had to its end the answer fails so that the client sees it; it is never ended cleanly.
 */
export function send(
  asked: Asked,
  res: AnyResponse,
  body: Body,
  options: SendOptions = {},
): Promise<Sent> | Sent {
  const head = options.head ?? body.head;
  const plan = decide(asked, head, body.size, options.supplement);
  const answer = { asked, res, body, head, plan, options };
  if (body.bytes !== undefined && options.settled === false) return hand(answer, body.bytes);
  return stream(answer);
}

interface Answer {
  asked: Asked;
  res: AnyResponse;
  body: Body;
  head: ResponseHead;
  plan: Plan;
  options: SendOptions;
}

/** All at once, from memory. */
function hand({ asked, res, body, head, plan, options }: Answer, bytes: Uint8Array): Sent {
  const sent: Sent = { status: plan.status === 200 ? head.status : plan.status, bytes: 0, complete: false };
  try {
    // Somebody else has begun to answer, or there is nobody left.
    if (res.headersSent || isGone(res)) return sent;
    const parts = framing(plan, body, head);
    const { supplement = [], headers } = options;
    if (plan.status === 200 && body.size !== undefined && isPlain(head) && !isHttp2(res)) {
      replayHead(res as ServerResponse, head, body.size, supplement, headers?.(false) ?? []);
    } else {
      writeHead(res, plan, { ...options, head, body, parts });
    }
    const pieces: Uint8Array[] = [];
    if (plan.status < 300 && asked.method !== 'HEAD') {
      for (const { preamble, range } of parts?.parts ?? [])
        pieces.push(preamble, bytes.subarray(range.start, range.end));
      const range = plan.ranges?.[0];
      if (parts !== undefined) pieces.push(parts.closing);
      else pieces.push(range === undefined ? bytes : bytes.subarray(range.start, range.end));
    }
    const last = pieces.pop();
    for (const piece of pieces) (res as ServerResponse).write(piece);
    if (last === undefined) res.end();
    else (res as ServerResponse).end(last);
    for (const piece of pieces) sent.bytes += piece.byteLength;
    sent.bytes += last?.byteLength ?? 0;
    sent.complete = true;
    watchRest(res, options.timeoutMs ?? 0, () => failVisibly(res));
  } catch (error) {
    sent.error = error as Error;
    failVisibly(res);
  } finally {
    body.release();
  }
  return sent;
}

/** At the client's pace. */
async function stream({ asked, res, body, head, plan, options }: Answer): Promise<Sent> {
  const sent: Sent = { status: plan.status === 200 ? head.status : plan.status, bytes: 0, complete: false };
  const flow = new Flow(res, options.signal, options.timeoutMs);
  try {
    if (plan.status === 200 && asked.method !== 'HEAD' && body.size === 0) {
      // Its head alone would be a complete answer: verified first.
      for await (const _ of body.read()) break;
    }
    const { provisional } = options;
    if (plan.status === 206 && provisional?.proven !== undefined) {
      await flow.until(provisional.proven);
      // Where the body has failed, so does this, before its head.
      for await (const _ of body.read(plan.ranges[0])) break;
    }
    flow.check();
    // Somebody else has begun to answer, middleware with a deadline say: what comes of that is theirs.
    if (res.headersSent) throw new ClientGone();
    const parts = framing(plan, body, head);
    const unverified = plan.status === 206 && provisional !== undefined && provisional.proven === undefined;
    writeHead(res, plan, { ...options, unverified, head, body, parts });
    // On HTTP/2 it has gone already.
    if (!isHttp2(res) && provisional?.available(plan.ranges?.[0]?.start ?? 0) === 0)
      (res as ServerResponse).flushHeaders();
    if (plan.status < 300 && asked.method !== 'HEAD') {
      for (const { preamble, range } of parts?.parts ?? []) {
        await flow.write(preamble);
        await flow.pump(body, range);
      }
      if (parts === undefined) await flow.pump(body, plan.ranges?.[0]);
      else await flow.write(parts.closing);
      const trailers = options.trailers?.() ?? [];
      if (trailers.length > 0)
        res.addTrailers(Object.fromEntries(grouped(trailers)) as Record<string, string & string[]>);
    }
    await flow.finish();
    sent.complete = true;
  } catch (error) {
    if (!(error instanceof ClientGone)) sent.error = error as Error;
    if (!(error instanceof ClientGone) || error instanceof ClientDeaf) failVisibly(res);
  } finally {
    flow.release();
    body.release();
  }
  sent.bytes = flow.bytes;
  return sent;
}
