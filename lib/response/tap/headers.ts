import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { HeaderPairs } from '../../http/body.ts';
import { type OutgoingValue, type WrittenHead, without } from '../../http/headers.ts';
import type { AnyResponse } from '../../http/message.ts';
import { chained, type Member, method } from './view.ts';

type Field = { name: string; value: OutgoingValue };

/** A response as it was before anybody answered by it. */
export interface Unanswered {
  status: number;
  fields: readonly Field[];
}

/** What a response is like now. */
export function unanswered(res: AnyResponse): Unanswered {
  const fields = rawHeaderNames(res).map((name) => ({
    name,
    value: copied(res.getHeader(name) as OutgoingValue),
  }));
  return { status: res.statusCode, fields };
}

/** What the handler did to the header, told apart from what was there before. */
export interface HeaderChanges {
  headers: HeaderPairs;
  removed: string[];
  merged: string[];
}

/**
 * The header fields as the handler sees and sets them. They start as what earlier middleware has set; only what the handler then
 * sets, changes or removes is the handler's own.
 */
export class VirtualHeaders {
  readonly #http2: boolean;
  readonly #base: ReadonlyMap<string, Field>;
  readonly #fields: Map<string, Field>;
  readonly #touched = new Set<string>();
  #sent = false;

  constructor({ fields }: Unanswered, http2: boolean) {
    this.#http2 = http2;
    this.#base = new Map(fields.map((field) => [field.name.toLowerCase(), field]));
    this.#fields = new Map(
      [...this.#base].map(([key, { name, value }]) => [key, { name, value: copied(value) }]),
    );
  }

  /** The methods of a response that deal with headers. @param res what they return for chaining */
  members(res: AnyResponse): Record<string, Member> {
    return {
      setHeader: chained(res, (name: string, value: OutgoingValue) => this.set(name, value)),
      appendHeader: chained(res, (name: string, value: OutgoingValue) => this.append(name, value)),
      setHeaders: chained(res, (headers: Iterable<[string, OutgoingValue]>) => this.#setAll(headers)),
      removeHeader: method((name: string) => this.remove(name)),
      getHeader: method((name: string) => this.get(name)),
      hasHeader: method((name: string) => this.#fields.has(key(name))),
      getHeaderNames: method(() => [...this.#fields.keys()]),
      getRawHeaderNames: method(() => [...this.#fields.values()].map((field) => field.name)),
      getHeaders: method(() => {
        const all: Record<string, OutgoingValue> = Object.create(null);
        for (const [name, field] of this.#fields) all[name] = field.value;
        return all;
      }),
    };
  }

  /** From now on changes are refused, as Node does once the head has gone out. */
  freeze(): void {
    this.#sent = true;
  }

  get(name: string): OutgoingValue | undefined {
    return this.#fields.get(key(name))?.value;
  }

  set(name: string, value: OutgoingValue): void {
    this.#refuseIfSent('set');
    this.#validate(name, value);
    if (this.#ignored(name)) return;
    this.#touched.add(key(name));
    this.#fields.set(key(name), { name: this.#http2 ? key(name) : name, value: copied(value) });
  }

  append(name: string, value: OutgoingValue): void {
    this.#refuseIfSent('append');
    const existing = this.#fields.get(key(name));
    if (existing === undefined) {
      this.set(name, value);
      return;
    }
    this.#validate(name, value);
    this.#touched.add(key(name));
    existing.value = [...lines(existing.value), ...lines(value)];
  }

  remove(name: string): void {
    this.#refuseIfSent('remove');
    this.#touched.add(key(name));
    this.#fields.delete(key(name));
  }

  /** Takes over the fields of `writeHead(…)`. */
  merge({ headers, appends }: WrittenHead): void {
    if (appends) for (const [name] of headers) this.remove(name);
    for (const [name, value] of headers) {
      if (appends) this.append(name, value);
      else this.set(name, value);
    }
  }

  /** Every field, the earlier middleware's included. */
  all(): HeaderPairs {
    return [...this.#fields.values()].flatMap(pairs);
  }

  /** What of it is the handler's own. */
  changes(): HeaderChanges {
    const changes: HeaderChanges = { headers: [], removed: [], merged: [] };
    for (const name of this.#touched) {
      const before = this.#base.get(name);
      const now = this.#fields.get(name);
      if (now === undefined) {
        if (before !== undefined) changes.removed.push(name);
        continue;
      }
      // Said again: it is still the earlier middleware's, and each response has its own. Vary is no matter of whose: it says what the
      // handler has looked at.
      const again = before !== undefined && String(lines(before.value)) === String(lines(now.value));
      if (again && name !== 'vary') continue;
      const added = before === undefined ? undefined : additions(name, before.value, now.value);
      if (added === undefined) {
        changes.headers.push(...pairs(now));
      } else {
        changes.headers.push(...pairs({ name: now.name, value: added }));
        changes.merged.push(name);
      }
    }
    return changes;
  }

  /** Does to the real response what the handler did to this one. */
  applyTo(res: AnyResponse): void {
    for (const name of this.#touched) {
      const field = this.#fields.get(name);
      if (field === undefined) res.removeHeader(name);
      else res.setHeader(field.name, field.value);
    }
  }

  #setAll(headers: Iterable<[string, OutgoingValue]>): void {
    const cookies: string[] = [];
    for (const [name, value] of headers) {
      if (name === 'set-cookie') cookies.push(...lines(value));
      else this.set(name, value);
    }
    if (cookies.length > 0) this.set('set-cookie', cookies);
  }

  #refuseIfSent(what: string): void {
    if (!this.#sent) return;
    if (this.#http2) {
      throw coded(new Error('Response has already been initiated.'), 'ERR_HTTP2_HEADERS_SENT');
    }
    throw coded(
      new Error(`Cannot ${what} headers after they are sent to the client`),
      'ERR_HTTP_HEADERS_SENT',
    );
  }

  #validate(name: string, value: OutgoingValue): void {
    validateHeaderName(name.trim());
    for (const line of Array.isArray(value) ? value : [value]) validateHeaderValue(name, line as string);
  }

  // As Node's own HTTP/2 response, which warns and goes on.
  #ignored(name: string): boolean {
    return this.#http2 && key(name) === 'connection';
  }
}

function rawHeaderNames(res: AnyResponse): string[] {
  // On HTTP/2 names have no letter case, and no such method.
  return (res as { getRawHeaderNames?(): string[] }).getRawHeaderNames?.() ?? res.getHeaderNames();
}

export function coded<E extends Error>(error: E, code: string): E {
  return Object.assign(error, { code });
}

function key(name: string): string {
  return name.trim().toLowerCase();
}

function copied(value: OutgoingValue): OutgoingValue {
  return Array.isArray(value) ? value.map(String) : value;
}

function lines(value: OutgoingValue): string[] {
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

function pairs({ name, value }: Field): HeaderPairs {
  return lines(value).map((line) => [name, line] as const);
}

/** What `now` adds to `before`, where it adds to it; undefined where it takes its place. */
function additions(name: string, before: OutgoingValue, now: OutgoingValue): OutgoingValue | undefined {
  const old = lines(before);
  const all = lines(now);
  if (name === 'vary') {
    const added = without(all.join(', '), old.join(', '));
    return added === '' || without(old.join(', '), all.join(', ')) !== '' ? undefined : added;
  }
  return all.length > old.length && old.every((line, i) => line === all[i])
    ? all.slice(old.length)
    : undefined;
}
