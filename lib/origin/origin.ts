import type { Agent } from 'node:http';
import { OriginError } from '../errors.ts';
import type { HeaderPairs } from '../http/body.ts';
import { parseHttpDate } from '../http/date.ts';
import { fieldValue } from '../http/headers.ts';
import { keepingAgent } from './agents.ts';
import { type Ask, attempt, type Failure, type Outcome } from './attempt.ts';
import { backOffMs, isGatewayFailure, pause, retryAfterMs } from './back-off.ts';
import { Breakers } from './breaker.ts';
import { discard } from './discard.ts';
import { overlaid, withoutCredentials } from './fields.ts';
import type { ResolvedUpstream } from './options.ts';
import { redirectOf } from './redirect.ts';
import type { OriginRequest, OriginResponse, OriginTarget } from './request.ts';
import { Slots } from './slots.ts';

/** A Retry-After that is waited for; with a longer one the next target is asked at once. */
const MAX_RETRY_AFTER_MS = 5000;

type Result = { answer: OriginResponse; failed?: never } | { failed: Failure };

/** Where what is not here is had: over connections that are kept, so many requests at a time, each as often as makes sense. */
export class Origin {
  readonly config: ResolvedUpstream;
  readonly #slots: Slots;
  readonly #breakers: Breakers;
  readonly #agents: { http: Agent; https: Agent };
  readonly #running = new Set<AbortController>();

  constructor(config: ResolvedUpstream) {
    this.config = config;
    this.#slots = new Slots(config);
    this.#breakers = new Breakers(config.breaker);
    const { http, https } = config.agents;
    this.#agents = { http: http ?? keepingAgent('http:'), https: https ?? keepingAgent('https:') };
  }

  /** How many requests run, and how many wait for their turn. */
  get load(): { running: number; queued: number } {
    return { running: this.#slots.taken, queued: this.#slots.queued };
  }

  /**
   * Resolves with the head of an answer, whatever its status. Its turn lasts until the body has ended or is destroyed.
   *
   * @throws OriginError where there is none; what the signal was aborted with; TypeError for a request that can't be sent
   */
  async fetch(request: OriginRequest): Promise<OriginResponse> {
    requireSendable(request);
    return this.#run(request, await this.#slots.take(request.signal));
  }

  /** Until the body is closed, it ends when the origin is closed. */
  async #run(request: OriginRequest, release: () => void): Promise<OriginResponse> {
    const ending = new AbortController();
    const leave = () => ending.abort(request.signal.reason);
    const done = () => {
      release();
      this.#running.delete(ending);
      request.signal.removeEventListener('abort', leave);
    };
    this.#running.add(ending);
    request.signal.addEventListener('abort', leave, { once: true });
    try {
      const answer = await this.#ask({ ...request, signal: ending.signal });
      // Nobody needs to read that nothing comes.
      if (answer.body.closed || hasNoBody(request.method, answer)) done();
      else answer.body.once('close', done);
      return answer;
    } catch (error) {
      done();
      throw error;
    }
  }

  /** Ends the connections, and what runs over them. */
  close(): void {
    this.#slots.close();
    for (const each of [...this.#running]) each.abort(new OriginError('busy', 'the origin was closed'));
    if (this.config.agents.http === undefined) this.#agents.http.destroy();
    if (this.config.agents.https === undefined) this.#agents.https.destroy();
  }

  /** One target after the other. */
  async #ask(request: OriginRequest): Promise<OriginResponse> {
    const { targets } = request;
    const repeats = isRepeatable(request);
    let failed: Failure | undefined;
    for (const [index, target] of targets.entries()) {
      const others = targets.slice(index + 1).filter((each) => this.#breakers.waitMs(each.url.origin) === 0);
      // What can't be repeated is asked of one only.
      if (!repeats && others.length > 0 && this.#breakers.waitMs(target.url.origin) > 0) continue;
      const result = await this.#askOne(request, target, repeats && others.length > 0);
      if (result.failed === undefined) return result.answer;
      // That a host is left alone says less than what went wrong at another one.
      if (failed === undefined || result.failed.error.reason !== 'circuit-open') failed = result.failed;
      if (!repeats) break;
    }
    throw failed?.error ?? new TypeError('a request needs a target');
  }

  /** One target, as often as makes sense. Where others are left to be asked, a gateway's failure is none of its answers. */
  async #askOne(request: OriginRequest, target: OriginTarget, more: boolean): Promise<Result> {
    const { retries, retryDelayMs } = this.config;
    const repeats = isRepeatable(request);
    let before: Failure | undefined;
    for (let tried = 0; ; tried++) {
      const result = await this.#follow(request, target);
      let delay = backOffMs(retryDelayMs, tried);
      if (result.failed !== undefined) {
        const { error, again } = result.failed;
        if (error.reason === 'circuit-open' && before !== undefined) return { failed: before };
        if (!repeats || !again || tried >= retries) return result;
        before = result.failed;
      } else {
        const { answer } = result;
        if (!repeats || !isGatewayFailure(answer.status)) return result;
        const after = retryAfterMs(fieldValue(answer.headers, 'retry-after'), parseHttpDate) ?? 0;
        const mayRetry = tried < retries && after <= MAX_RETRY_AFTER_MS;
        const open = this.#breakers.waitMs(new URL(answer.url).origin) > 0;
        if ((!mayRetry || open) && !more) return result;
        discard(answer.body);
        if (!mayRetry || open) return { failed: gatewayFailure(request.method, answer, after) };
        delay = Math.max(delay, after);
      }
      await pause(delay, request.signal);
    }
  }

  /** From a target along its redirects, and past its challenge. */
  async #follow(request: OriginRequest, target: OriginTarget): Promise<Result> {
    const { method, signal } = request;
    const reads = method === 'GET' || method === 'HEAD';
    let url = target.url;
    let known = target.authenticate?.known?.({ method, url });
    let base = overlaid(request.headers, target.headers ?? []);
    let home = true;
    let challenged = false;
    for (let hops = 0; ; ) {
      const headers: HeaderPairs = home && known !== undefined ? overlaid(base, known) : base;
      const outcome = await this.#once({ ...request, url, headers });
      if (outcome.failed !== undefined) return outcome;
      const answer: OriginResponse = { ...outcome.answer, target };
      if (answer.status === 401 && home && !challenged && target.authenticate && isRepeatable(request)) {
        challenged = true;
        const challenge = { status: 401, headers: answer.headers, url, method, sent: known, signal };
        let fields: HeaderPairs | undefined;
        try {
          fields = await target.authenticate(challenge, async (asked) => {
            requireSendable(asked);
            return this.#run(asked, () => {});
          });
        } catch (error) {
          answer.body.destroy();
          if (signal.aborted || !(error instanceof OriginError)) throw error;
          return { failed: { error, stale: false, again: false, blames: false } };
        }
        if (fields === undefined) return { answer };
        known = fields;
        discard(answer.body);
        continue;
      }
      let to: URL | undefined;
      try {
        to = reads && this.config.maxRedirects > 0 ? redirectOf(answer, url, method) : undefined;
        if (to !== undefined && hops++ >= this.config.maxRedirects) {
          const message = `${method} ${target.url.host}: more than ${this.config.maxRedirects} redirects`;
          throw new OriginError('redirect', message);
        }
      } catch (error) {
        discard(answer.body);
        if (!(error instanceof OriginError)) throw error;
        return { failed: { error, stale: false, again: false, blames: true } };
      }
      if (to === undefined) return { answer };
      discard(answer.body);
      if (to.origin !== url.origin) {
        // For good: not even a redirect back gets them again.
        if (home) base = withoutCredentials(request.headers);
        home = false;
      }
      url = to;
    }
  }

  /** One request to one host, unless it is left alone. A connection that was kept too long is no fault of the host. */
  async #once(asked: Pick<Ask, 'url' | 'method' | 'headers' | 'body' | 'signal'>): Promise<Outcome> {
    const { url, method, headers, body, signal } = asked;
    const host = url.origin;
    const pass = this.#breakers.enter(host);
    if (pass === undefined) {
      const retryAfter = Math.max(1, Math.ceil(this.#breakers.waitMs(host) / 1000));
      const message = `${method} ${url.host}: it has failed several times in a row, and is left alone for ${retryAfter} s`;
      const error = new OriginError('circuit-open', message, { retryAfter });
      return { failed: { error, stale: false, again: false, blames: false } };
    }
    const { connectTimeoutMs, headTimeoutMs, stallTimeoutMs } = this.config;
    const agent = url.protocol === 'https:' ? this.#agents.https : this.#agents.http;
    const limits = { connectTimeoutMs, headTimeoutMs, stallTimeoutMs };
    const ask: Ask = { url, method, headers, body, signal, agent, ...limits };
    try {
      let outcome = await attempt(ask);
      if (outcome.failed?.stale === true && isRepeatable(asked)) {
        outcome = await attempt({ ...ask, fresh: true });
      }
      if (outcome.failed === undefined && !isGatewayFailure(outcome.answer.status)) pass.succeeded();
      else if (outcome.failed?.blames === false) pass.dropped();
      else pass.failed();
      return outcome;
    } finally {
      // After a throw: it was ended by us.
      pass.dropped();
    }
  }
}

/** Safe to repeat (RFC 9110 9.2.1), and possible. */
function isRepeatable({ method, body }: Pick<OriginRequest, 'method' | 'body'>): boolean {
  return body === undefined && (method === 'GET' || method === 'HEAD');
}

function hasNoBody(method: string, { status, headers }: OriginResponse): boolean {
  return (
    method === 'HEAD' || status === 204 || status === 304 || fieldValue(headers, 'content-length') === '0'
  );
}

function gatewayFailure(method: string, { status, url }: OriginResponse, afterMs: number): Failure {
  const retryAfter = afterMs > 0 ? Math.ceil(afterMs / 1000) : undefined;
  const message = `${method} ${new URL(url).host}: it answered ${status}`;
  const error = new OriginError('unreachable', message, { retryAfter });
  return { error, stale: false, again: false, blames: true };
}

/** @throws TypeError */
function requireSendable({ method, targets, body }: OriginRequest): void {
  if (targets.length === 0) throw new TypeError('a request needs a target');
  for (const { url } of targets) {
    if (
      (url.protocol !== 'http:' && url.protocol !== 'https:') ||
      url.username !== '' ||
      url.password !== ''
    ) {
      throw new TypeError('the URL of a target must be http: or https:, without user information');
    }
  }
  if (body !== undefined && (method === 'GET' || method === 'HEAD')) {
    throw new TypeError(`a ${method} request can't have a body`);
  }
}
