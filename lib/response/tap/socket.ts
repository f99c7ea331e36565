import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';

/** What a virtual socket tells its owner. */
export interface SocketOwner {
  /** The handler destroyed it: that is how Express's final handler gives up a response it can no longer change. */
  destroyed(error: Error | undefined): void;
  /** The handler answers by the stream itself, past the response. Throws where it can't. */
  taken(): void;
}

export interface VirtualSocket {
  /** What the handler is given for `res.socket`, `req.socket`, or `stream` on HTTP/2. */
  proxy: Duplex;
  /** The handler's response is over: its listeners hear of it, and it looks closed. */
  close(hadError: boolean): void;
  /** From now on it is the real one. */
  unveil(): void;
}

/**
 * The client's connection as the handler sees it: the same addresses, certificates and settings, but it does not close when the client
 * leaves, and destroying it ends the handler's response only.
 */
export function virtualSocket(real: Duplex, owner: SocketOwner): VirtualSocket {
  const events = new EventEmitter();
  let state: 'open' | 'closed' | 'real' = 'open';
  // Once the peer is gone they can't be asked for any more.
  const addresses = new Map<string | symbol, unknown>(
    ADDRESSES.map((name) => [name, Reflect.get(real, name, real)]),
  );

  const destroy = (error?: Error): Duplex => {
    owner.destroyed(error);
    return proxy;
  };
  const overrides: Record<string, () => unknown> = {
    destroyed: () => state === 'closed',
    closed: () => state === 'closed',
    aborted: () => false,
    errored: () => null,
    readable: () => state === 'open',
    writable: () => state === 'open',
    readyState: () => (state === 'open' ? 'open' : 'closed'),
    destroy: () => destroy,
    destroySoon: () => destroy,
    resetAndDestroy: () => destroy,
    end: () => () => destroy(),
    // On HTTP/2: stream.close(code).
    close: () => () => destroy(),
  };
  for (const name of EVENT_METHODS) {
    const original = EventEmitter.prototype[name] as (...args: unknown[]) => unknown;
    const bound = (...args: unknown[]): unknown => {
      const result = original.apply(events, args);
      return result === events ? proxy : result;
    };
    overrides[name] = () => bound;
  }

  const proxy = new Proxy(real, {
    get(target, name) {
      if (state === 'open' && RESPONDING.has(name)) owner.taken();
      if (state !== 'real' && typeof name === 'string' && Object.hasOwn(overrides, name))
        return overrides[name]?.();
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value === 'function') return value.bind(target);
      return value === undefined ? addresses.get(name) : value;
    },
    set(target, name, value) {
      return Reflect.set(target, name, value, target);
    },
  });

  return {
    proxy,
    close(hadError) {
      if (state !== 'open') return;
      state = 'closed';
      events.emit('close', hadError);
    },
    unveil() {
      if (state !== 'open') return;
      state = 'real';
      for (const type of events.eventNames()) {
        for (const listener of events.rawListeners(type))
          real.on(type, listener as (...args: unknown[]) => void);
      }
      if (real.destroyed) events.emit('close', false);
      events.removeAllListeners();
    },
  };
}

/** Of a stream of HTTP/2. */
const RESPONDING: ReadonlySet<string | symbol> = new Set(['respond', 'respondWithFile', 'respondWithFD']);

const ADDRESSES = ['remoteAddress', 'remotePort', 'remoteFamily', 'localAddress', 'localPort', 'encrypted'];

const EVENT_METHODS = [
  'on',
  'once',
  'addListener',
  'prependListener',
  'prependOnceListener',
  'off',
  'removeListener',
  'removeAllListeners',
  'emit',
  'listeners',
  'rawListeners',
  'listenerCount',
  'eventNames',
  'setMaxListeners',
  'getMaxListeners',
] as const;
