// docs/reference/events.md

import { type Channel, channel, type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import type { Invalidation, Key, StoreState } from './cache/cache.ts';
import type { AnyRequest } from './http/message.ts';
import type { Reason } from './reasons.ts';

/** Which request an event is about. */
export interface RequestEvent {
  req: AnyRequest;
  /** What the request named on its route. */
  id: string;
  /** Name of the route that matched. */
  route: string;
  /** What the entry is, or would be, stored under. */
  key: Key;
}

/** What an event is about that may happen though nobody has asked. */
export type FetchEvent = Omit<RequestEvent, 'req'> & Partial<Pick<RequestEvent, 'req'>>;

/** What an answer of the filter's came to. */
export interface ServedEvent extends RequestEvent {
  /** From a stored entry; from a fill that this request began; from somebody else's; from the origin, and not kept. */
  source: 'hit' | 'fill' | 'collapsed' | 'origin';
  /** That was sent. */
  status: number;
  /** Bytes of the body that were handed to the connection, and of how many where that is known. */
  bytes: number;
  size?: number;
  /** The client was given all that it asked for. */
  complete: boolean;
}

/** An entry that went without having been asked for. */
export interface EvictEvent {
  directory?: string;
  /** Unknown where the record could not be read any more. */
  key?: Key;
  /** What it was charged with. */
  bytes: number;
}

/** The payload of each channel, by the channel's name; `node:diagnostics_channel` has the `subscribe` for them. */
export interface CacheFilterEvents {
  /** Answered from a stored entry. */
  'cache-filter:hit': RequestEvent;
  /** Nothing to answer from: it leads, follows, or goes on to the application, with the reason then. */
  'cache-filter:miss': RequestEvent & { reason?: Reason };
  /** Left to the application, though an entry may be there. */
  'cache-filter:bypass': RequestEvent & { reason: Reason };
  /** The policy said no. */
  'cache-filter:refuse': RequestEvent & { reason: Reason; status: number };
  /** An answer of the filter's is over. */
  'cache-filter:served': ServedEvent;
  /** The handler of this request goes on with a fill where another's could not, and that has so many bytes. */
  'cache-filter:hand-over': RequestEvent & { bytes: number };
  /** A response has become an entry. */
  'cache-filter:store': FetchEvent & { size: number };
  /** A response was not kept. */
  'cache-filter:reject': FetchEvent & { reason: Reason; error?: unknown };
  /** What was purged, and how many entries went. */
  'cache-filter:purge': { what: Invalidation; entries: number };
  /** For want of room. */
  'cache-filter:evict': EvictEvent;
  /** Unused for longer than `inactiveMs`. */
  'cache-filter:expire': EvictEvent;
  /** What was stored is damaged, and has been dropped. */
  'cache-filter:corrupt': { directory?: string; key?: Key; why: string };
  /** What can be used of the store has changed; `error`: why it is not all. */
  'cache-filter:health': { directory?: string; state: StoreState; error?: unknown };
  /** A hook threw, took too long, or answered what it can't mean, where that fails no request. */
  'cache-filter:hook-error': FetchEvent & { hook: string; error: unknown };
}

/** The context of the tracing channel `cache-filter:fill`: one fill, from the claim to its end. */
export interface FillTrace extends FetchEvent {
  /** Bytes that were there already, where it goes on with what another request began. */
  inherited?: number;
  /** Bytes of the entry; once it is stored. */
  size?: number;
  /** Why nothing was kept. */
  reason?: Reason;
  error?: unknown;
}

const names = {
  'cache-filter:hit': true,
  'cache-filter:miss': true,
  'cache-filter:bypass': true,
  'cache-filter:refuse': true,
  'cache-filter:served': true,
  'cache-filter:hand-over': true,
  'cache-filter:store': true,
  'cache-filter:reject': true,
  'cache-filter:purge': true,
  'cache-filter:evict': true,
  'cache-filter:expire': true,
  'cache-filter:corrupt': true,
  'cache-filter:health': true,
  'cache-filter:hook-error': true,
} satisfies Record<keyof CacheFilterEvents, true>;

const channels = Object.fromEntries(Object.keys(names).map((name) => [name, channel(name)])) as Record<
  keyof CacheFilterEvents,
  Channel
>;

/** Tells whoever has subscribed; costs next to nothing where nobody has. */
export function publish<Name extends keyof CacheFilterEvents>(
  name: Name,
  payload: () => CacheFilterEvents[Name],
): void {
  if (channels[name].hasSubscribers) channels[name].publish(payload());
}

/** Whether anybody listens. */
export function isHeard(name: keyof CacheFilterEvents): boolean {
  return channels[name].hasSubscribers;
}

/** Around each fill that this process leads. */
export const fillTracing: TracingChannel<string, FillTrace> = tracingChannel('cache-filter:fill');
