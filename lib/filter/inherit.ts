// docs/reference/response-during-a-fill.md

import type { Fill, FillReader } from '../cache/cache.ts';
import { IncompleteError, IntegrityError } from '../errors.ts';
import type { ResponseHead } from '../http/body.ts';
import { parseCacheControl } from '../http/cache-control.ts';
import { CONDITIONS } from '../http/conditional.ts';
import type { AnyResponse } from '../http/message.ts';
import type { Config } from '../options.ts';
import type { Reason } from '../reasons.ts';
import type { Sent } from '../response/send.ts';
import type { TappedHead } from '../response/tap/head.ts';
import { unanswered } from '../response/tap/headers.ts';
import type { Tap, TapOptions } from '../response/tap/tap.ts';
import { Scope } from '../response/tap/view.ts';
import { wireTo } from '../response/tap/wire.ts';
import type { Exchange } from './exchange.ts';
import type { LeadAnswer } from './own-answer.ts';

/**
 * The answer to a client that reads what somebody else fetches, and whose own handler may have to go on with that: it is on its way, and
 * nothing that the handler then does can change it.
 */
export class AnswerUnderWay implements LeadAnswer {
  readonly tap: TapOptions;
  /** The client's response, also when the handler has another. */
  readonly wire: AnyResponse;
  sent: Promise<Sent> | undefined;
  readonly #exchange: Exchange;
  readonly #reader: FillReader;

  /** To be made before anything is sent. */
  constructor(exchange: Exchange, reader: FillReader) {
    const { res } = exchange;
    const scope = new Scope(res);
    this.#exchange = exchange;
    this.#reader = reader;
    this.wire = wireTo(res, scope);
    // It has to answer with the whole, whatever this client wanted.
    this.tap = { hide: ['range', 'if-range', ...CONDITIONS], underWay: { scope, before: unanswered(res) } };
  }

  /** There is nobody left whose handler could be asked. */
  get isOver(): boolean {
    return this.#exchange.signal.aborted;
  }

  begin(_fill: Fill, _head: ResponseHead, tap: Tap): void {
    void this.#reader.ended.then((end) => {
      if (end === 'failed') tap.fail(new IntegrityError('the body is not what came of it before'));
    });
  }

  decline(_head: TappedHead, reason: Reason, tap: Tap): void {
    tap.fail(new IncompleteError(`the response can't go on with what others were sent (${reason})`));
  }

  /** The client reads on what somebody else may write. */
  fail(): void {}
}

/** Whether the handler of a request may go on with what another's began. Its answer must have a body, and may be kept. */
export function mayInherit({ coldRange }: Pick<Config, 'coldRange'>, { asked }: Exchange): boolean {
  if (asked.method !== 'GET' || parseCacheControl(asked.headers['cache-control']).has('no-store'))
    return false;
  return coldRange === 'fill' || asked.headers.range === undefined;
}
