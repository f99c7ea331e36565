import type { AnyResponse } from '../../http/message.ts';
import type { Scope } from './view.ts';

/** What each wire leads to. */
const behind = new WeakMap<object, (name: keyof AnyResponse) => unknown>();

/** The client's response, to be used by us while the handler has the other. */
export function wireTo(res: AnyResponse, scope: Scope): AnyResponse {
  const wire = new Proxy(res, {
    get: (target, name) => {
      const value: unknown = scope.asReal(() => Reflect.get(target, name, target));
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => scope.asReal(() => value.apply(target, args));
    },
    set: (target, name, value) => scope.asReal(() => Reflect.set(target, name, value, target)),
  });
  behind.set(wire, (name) => scope.asReal(() => Reflect.get(res, name, res)));
  return wire;
}

/** The member itself, where a wire has a function of its own in its place: to be compared, not to be called. */
export function memberOf(res: AnyResponse, name: keyof AnyResponse): unknown {
  const member = behind.get(res);
  return member === undefined ? Reflect.get(res, name) : member(name);
}
