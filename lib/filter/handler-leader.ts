import type { LeaderClaim } from '../cache/cache.ts';
import type { Config } from '../options.ts';
import type { Reason } from '../reasons.ts';
import type { Exchange } from './exchange.ts';
import type { Gate } from './gate.ts';
import type { AnswerUnderWay } from './inherit.ts';
import type { Journal } from './journal.ts';
import { lead } from './lead.ts';
import type { Leads } from './leads.ts';
import type { Leader } from './misses.ts';
import { type LeadAnswer, OwnAnswer } from './own-answer.ts';

/** Has the handlers behind the filter answer, into a fill that everybody reads. */
export class HandlerLeader implements Leader {
  readonly #config: Config;
  readonly #journal: Journal;
  readonly #gate: Gate;
  readonly #leads: Leads;
  readonly #remember: (exchange: Exchange, reason: Reason) => void;

  constructor(
    config: Config,
    { journal, gate, leads }: { journal: Journal; gate: Gate; leads: Leads },
    remember: (exchange: Exchange, reason: Reason) => void,
  ) {
    this.#config = config;
    this.#journal = journal;
    this.#gate = gate;
    this.#leads = leads;
    this.#remember = remember;
  }

  async lead(exchange: Exchange, claim: LeaderClaim): Promise<void> {
    await this.#gate.findVersion(exchange);
    this.#journal.miss(exchange);
    await this.#fetch(exchange, claim, new OwnAnswer(exchange, this.#journal));
  }

  inherit(exchange: Exchange, claim: LeaderClaim, answer: AnswerUnderWay): Promise<void> {
    return this.#fetch(exchange, claim, answer);
  }

  #fetch(exchange: Exchange, claim: LeaderClaim, answer: LeadAnswer): Promise<void> {
    return lead(this.#config, exchange, claim, answer, {
      journal: this.#journal,
      remember: (reason) => this.#remember(exchange, reason),
      ended: () => this.#leads.ended(),
      awaited: (deserted) => this.#leads.isAwaited(exchange.key, deserted),
    });
  }
}
