/**
 * One response object with two faces. Middleware mounted outside the filter, and Node itself, hold the same `res` as the handler
 * behind it; yet while a fill runs they must see the client's response, and the handler a virtual one. So each member that
 * differs becomes an accessor that asks which face is meant.
 */

/** The innermost tap of a response, where several filters stand one behind the other. */
const innermost = new WeakMap<object, Scope>();

/** Which face is shown. Shared by `req` and `res` of one exchange. */
export class Scope {
  /** The handler runs asynchronously and can't be bracketed, so its face is the default; everything of ours is bracketed. */
  #real = false;
  /** Of the tap in front of this one: what is real for it lies deeper than what is real for us. */
  readonly #outer: Scope | undefined;

  constructor(res: object) {
    this.#outer = innermost.get(res);
    innermost.set(res, this);
  }

  get real(): boolean {
    return this.#real || this.#outer?.real === true;
  }

  asReal<T>(run: () => T): T {
    return this.#as(true, run);
  }

  asVirtual<T>(run: () => T): T {
    return this.#as(false, run);
  }

  #as<T>(real: boolean, run: () => T): T {
    const before = this.#real;
    this.#real = real;
    try {
      return run();
    } finally {
      this.#real = before;
    }
  }
}

/** A member as the handler sees it. What is assigned to it shadows it, unless `set` says otherwise. */
export interface Member {
  get(): unknown;
  set?(value: unknown): void;
}

/** A member whose value is a function of ours, until the handler's side puts another in its place. */
export function method(value: (...args: never[]) => unknown): Member {
  return { get: () => value };
}

/** A method that returns what it was called on, as many of a response do. */
export function chained(target: object, run: (...args: never[]) => void): Member {
  return method((...args: never[]) => {
    run(...args);
    return target;
  });
}

/** Lays the handler's members over an object, and takes them off again. */
export class Overlay<T extends object> {
  readonly #target: T;
  readonly #scope: Scope;
  readonly #own = new Map<string, PropertyDescriptor | undefined>();
  readonly #assigned = new Map<string, unknown>();
  readonly #getters = new Map<string, () => unknown>();
  #removed = false;
  #staying: readonly string[] = [];

  constructor(target: T, scope: Scope, members: Record<string, Member>) {
    this.#target = target;
    this.#scope = scope;
    for (const [name, member] of Object.entries(members)) this.#lay(name, member);
  }

  /** The member as everybody else sees it. */
  real(name: string): unknown {
    const own = this.#own.get(name);
    if (own === undefined) return Reflect.get(Object.getPrototypeOf(this.#target), name, this.#target);
    return own.get === undefined ? own.value : own.get.call(this.#target);
  }

  /**
   * Takes the overlay off. `keep`: what the handler's side has assigned (wrapped methods, say) stays in place.
   * @param staying members that are left on, until it is taken off again
   */
  remove(keep: boolean, staying: readonly string[] = []): void {
    this.#removed = true;
    this.#staying = staying;
    for (const [name, own] of this.#own) {
      if (staying.includes(name)) continue;
      // Another overlay lies on top, of a second filter behind us: ours stays in place, and shows the one face that is left.
      if (Object.getOwnPropertyDescriptor(this.#target, name)?.get !== this.#getters.get(name)) continue;
      Reflect.deleteProperty(this.#target, name);
      if (own !== undefined) Object.defineProperty(this.#target, name, own);
      if (keep && this.#assigned.has(name)) Reflect.set(this.#target, name, this.#assigned.get(name));
    }
  }

  #lay(name: string, member: Member): void {
    const own = Object.getOwnPropertyDescriptor(this.#target, name);
    this.#own.set(name, own);
    const get = (): unknown => {
      if (this.#isReal(name)) return this.real(name);
      return this.#assigned.has(name) ? this.#assigned.get(name) : member.get();
    };
    this.#getters.set(name, get);
    Object.defineProperty(this.#target, name, {
      configurable: true,
      enumerable: own?.enumerable ?? false,
      get,
      set: (value: unknown) => {
        if (this.#isReal(name)) this.setReal(name, value);
        else if (member.set !== undefined) member.set(value);
        else this.#assigned.set(name, value);
      },
    });
  }

  #isReal(name: string): boolean {
    return this.#scope.real || (this.#removed && !this.#staying.includes(name));
  }

  setReal(name: string, value: unknown): void {
    const own = this.#own.get(name);
    if (own === undefined) {
      const inherited = inheritedDescriptor(this.#target, name);
      if (inherited?.set !== undefined) inherited.set.call(this.#target, value);
      else this.#own.set(name, { value, writable: true, enumerable: true, configurable: true });
    } else if (own.set !== undefined) {
      own.set.call(this.#target, value);
    } else {
      own.value = value;
    }
  }
}

function inheritedDescriptor(target: object, name: string): PropertyDescriptor | undefined {
  for (let proto = Object.getPrototypeOf(target); proto !== null; proto = Object.getPrototypeOf(proto)) {
    const found = Object.getOwnPropertyDescriptor(proto, name);
    if (found !== undefined) return found;
  }
  return undefined;
}
