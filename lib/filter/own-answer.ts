// docs/reference/response-during-a-fill.md

import type { Fill } from '../cache/cache.ts';
import type { ResponseHead } from '../http/body.ts';
import { fieldValue } from '../http/headers.ts';
import type { Reason } from '../reasons.ts';
import { cutRange } from '../response/cut.ts';
import { failVisibly } from '../response/flow.ts';
import { isCutOff, type Sent, send } from '../response/send.ts';
import type { TappedHead } from '../response/tap/head.ts';
import type { Tap, TapOptions } from '../response/tap/tap.ts';
import type { Exchange } from './exchange.ts';
import { fromFill, UNVERIFIED } from './from-fill.ts';
import type { Journal } from './journal.ts';

/** What the client of a request that leads is given. */
export interface LeadAnswer {
  readonly tap: TapOptions;
  /** What became of it, once it is on its way. */
  readonly sent: Promise<Sent> | undefined;
  /** The fill has begun. */
  begin(fill: Fill, head: ResponseHead, tap: Tap): void;
  /** Nothing is kept of what the handler writes. Throws what Node refuses to send. */
  decline(head: TappedHead, reason: Reason, tap: Tap): void;
  /** There will be nothing to read, or what has been declined has failed before. */
  fail(tap: Tap): void;
}

/** Of the request that led from the beginning: it reads from the fill like everybody else, but for the parts of the head that are never stored. */
export class OwnAnswer implements LeadAnswer {
  readonly tap: TapOptions;
  sent: Promise<Sent> | undefined;
  readonly #exchange: Exchange;
  readonly #journal: Journal;
  readonly #signal: AbortSignal;
  readonly #ranged: boolean;

  constructor(exchange: Exchange, journal: Journal) {
    this.#exchange = exchange;
    this.#journal = journal;
    // Before the tap: afterwards the client's leaving is hard to hear.
    this.#signal = exchange.signal;
    this.#ranged = exchange.asked.headers.range !== undefined;
    // The whole is fetched, whatever part of it this client wants.
    this.tap = this.#ranged ? { hide: ['range', 'if-range'] } : {};
  }

  begin(fill: Fill, head: ResponseHead, tap: Tap): void {
    this.sent = this.#send(fill, head, tap);
  }

  decline(head: TappedHead, reason: Reason, tap: Tap): void {
    const status = { ...this.#exchange.forwarded, detail: reason };
    const field = this.#exchange.statusField(status, fieldValue(head.all, 'cache-status'));
    const ranged = this.#ranged ? cutRange(this.#exchange.asked, head) : {};
    tap.pass({ ...ranged, headers: { ...Object.fromEntries(field), ...ranged.headers } });
  }

  /** The client sees what it would see without us. */
  fail(tap: Tap): void {
    failVisibly(tap.wire);
  }

  async #send(fill: Fill, head: ResponseHead, tap: Tap): Promise<Sent> {
    const exchange = this.#exchange;
    const reader = fill.reader();
    const existing = fieldValue(head.headers, 'cache-status');
    const sent = await send(exchange.asked, tap.wire, reader, {
      head: { ...head, headers: head.headers.filter(([name]) => !FRAMING.has(name.toLowerCase())) },
      headers: (unverified) =>
        exchange.statusField(
          { ...exchange.forwarded, stored: true, ...(unverified ? UNVERIFIED : {}) },
          existing,
        ),
      ...fromFill(exchange, reader),
      // Of a handler that did not come to its end they say nothing about the body.
      trailers: () => (tap.failed ? [] : tap.trailers),
      signal: this.#signal,
    });
    if (isCutOff(sent)) exchange.left();
    this.#journal.served(exchange, 'fill', reader.size, sent);
    return sent;
  }
}

/** Said by whoever sends the message, not by what is sent. */
const FRAMING: ReadonlySet<string> = new Set(['cache-status', 'content-length', 'transfer-encoding']);
