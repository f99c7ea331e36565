import { EventEmitter } from 'node:events';
import type { Member, Overlay, Scope } from './view.ts';

/**
 * Listeners of one object, split: those registered before the tap (or from the real side) hear what happens to the client, those
 * registered by the handler hear what happens to its virtual response. An emitter keeps its listeners in `_events`, so that is what
 * has two faces; `on`, `once`, `off`, pipes and `pipeline` then work unchanged.
 */
export class SplitEvents {
  readonly #target: EventEmitter;
  readonly #scope: Scope;
  #events: unknown = Object.create(null);
  #count: unknown = 0;
  /** The event that is on its way to the handler, so that it is not taken for one of Node's. */
  #dispatching: string | symbol | undefined;

  constructor(target: EventEmitter, scope: Scope) {
    this.#target = target;
    this.#scope = scope;
  }

  /** @param route decides where an event goes that Node or the handler emits on the tapped object */
  members(route: (type: string | symbol, args: unknown[]) => boolean): Record<string, Member> {
    const members: Record<string, Member> = {
      _events: { get: () => this.#events, set: (value) => (this.#events = value) },
      _eventsCount: { get: () => this.#count, set: (value) => (this.#count = value) },
      emit: { get: () => emit },
    };
    const emit = (type: string | symbol, ...args: unknown[]): boolean => {
      if (type !== this.#dispatching) return route(type, args);
      this.#dispatching = undefined;
      return this.#scope.asVirtual(() => EventEmitter.prototype.emit.call(this.#target, type, ...args));
    };
    // Middleware outside may have replaced these (compression does); the handler's listeners are not for it.
    for (const name of REGISTRATION) {
      if (!Object.hasOwn(this.#target, name)) continue;
      const original = Reflect.get(Object.getPrototypeOf(this.#target), name) as unknown;
      members[name] = { get: () => original };
    }
    return members;
  }

  /** To the handler's listeners. An `error` that nobody listens to is dropped. */
  emitVirtual(type: string | symbol, ...args: unknown[]): boolean {
    return this.#scope.asVirtual(() => {
      if (type === 'error' && this.#target.listenerCount('error') === 0) return false;
      this.#dispatching = type;
      // By its name: a second filter behind us has to decide whose it is.
      return this.#target.emit(type, ...args);
    });
  }

  /** To everybody else's. An `error` that nobody listens to is dropped. */
  emitReal(overlay: Overlay<EventEmitter>, type: string | symbol, args: unknown[]): boolean {
    return this.#scope.asReal(() => {
      if (type === 'error' && this.#target.listenerCount('error') === 0) return false;
      return (overlay.real('emit') as typeof EventEmitter.prototype.emit).call(this.#target, type, ...args);
    });
  }

  /** Takes the handler's listeners, in order, to give them to the object once it has a single face again. */
  take(): [type: string | symbol, listener: (...args: unknown[]) => void][] {
    const taken: [string | symbol, (...args: unknown[]) => void][] = [];
    const events = this.#events as Record<string | symbol, unknown>;
    for (const type of Reflect.ownKeys(events)) {
      const registered = events[type];
      for (const listener of Array.isArray(registered) ? registered : [registered]) {
        if (typeof listener === 'function') taken.push([type, listener as (...args: unknown[]) => void]);
      }
    }
    this.#events = Object.create(null);
    this.#count = 0;
    return taken;
  }
}

const REGISTRATION = [
  'on',
  'once',
  'addListener',
  'prependListener',
  'prependOnceListener',
  'off',
  'removeListener',
] as const;
