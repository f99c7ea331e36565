import type { RefusedError } from '../errors.ts';
import type { Reason } from '../reasons.ts';
import type { Exchange } from './exchange.ts';
import { failWith } from './fail-with.ts';
import type { Journal } from './journal.ts';
import type { Relay } from './relay.ts';

/** What is answered by others than the cache. */
export class Around {
  readonly #journal: Journal;
  readonly #relay: Relay | undefined;

  constructor(journal: Journal, relay: Relay | undefined) {
    this.#journal = journal;
    this.#relay = relay;
  }

  /** The application answers, untouched. */
  pass(exchange: Exchange, reason: Reason): void {
    this.#journal.bypass(exchange, reason);
    exchange.mark({ fwd: exchange.staleSince === undefined ? 'bypass' : 'stale', detail: reason });
    // What becomes of it is not ours to wait for.
    exchange.next();
  }

  /** There is nothing to answer from, and nothing is to be kept: whoever has it answers, the origin or the application. */
  forward(exchange: Exchange, reason: Reason): unknown {
    this.#journal.miss(exchange, reason);
    if (this.#relay !== undefined) return this.#relay.forward(exchange, reason);
    exchange.mark({ ...exchange.forwarded, detail: reason });
    return exchange.next();
  }

  /** What it waited for has failed, as it would for everybody. */
  fail(exchange: Exchange, error: Error): unknown {
    this.#journal.miss(exchange, 'origin-failed');
    return this.#relay?.fail(exchange, error, {
      ...exchange.forwarded,
      collapsed: true,
      detail: 'origin-failed',
    });
  }

  /** What is there, or being fetched, is not for this client, whose request has credentials. */
  unshared(exchange: Exchange): unknown {
    if (this.#relay !== undefined) return this.forward(exchange, 'credentials');
    return this.pass(exchange, 'credentials');
  }

  /** The policy has said no; how that is told is up to the application's error handler. */
  refuse(exchange: Exchange, reason: Reason, error: RefusedError): unknown {
    this.#journal.refuse(exchange, reason, error.status);
    return failWith(exchange, error, { detail: reason });
  }
}
