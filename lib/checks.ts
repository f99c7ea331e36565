import { OptionError } from './errors.ts';

/** Reads an object of options: each value checked, each default in one place. `undefined` is the same as absent. */
export class OptionReader<Options extends object> {
  readonly #options: Options;
  readonly #within: string;

  /**
   * @param known every name there is
   * @param within which option the object is the value of, if it is: errors name its members `within.name`
   * @throws OptionError for a name that is none of them, with the nearest one that is, and for what is no object
   */
  constructor(options: Options, known: Record<keyof Options & string, true>, within?: string) {
    if (typeof options !== 'object' || options === null) {
      const what = within ?? 'options';
      throw new OptionError(what, `${what} must be an object, got ${show(options)}`);
    }
    this.#options = options;
    this.#within = within === undefined ? '' : `${within}.`;
    for (const name of Object.keys(options)) {
      if (Object.hasOwn(known, name)) continue;
      const near = nearest(name, Object.keys(known));
      throw new OptionError(
        this.#within + name,
        `unknown option ${show(this.#within + name)}${near === undefined ? '' : `; did you mean ${near}?`}`,
      );
    }
  }

  /** @throws OptionError */
  bytes<F extends number | undefined>(name: keyof Options & string, fallback: F): number | F {
    const value: unknown = this.#value(name, fallback);
    if (value !== undefined) requireBytes(this.#within + name, value);
    return value as number | F;
  }

  /** @throws OptionError */
  count(name: keyof Options & string, fallback: number): number {
    const value: unknown = this.#value(name, fallback);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be a whole number from 1 on, got ${show(value)}`,
    );
  }

  /** Like `count`, where none is a number too. @throws OptionError */
  whole(name: keyof Options & string, fallback: number): number {
    const value: unknown = this.#value(name, fallback);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be a whole number from 0 on, got ${show(value)}`,
    );
  }

  /** @throws OptionError */
  milliseconds<F extends number | undefined>(name: keyof Options & string, fallback: F): number | F {
    const value: unknown = this.#value(name, fallback);
    // setTimeout fires at once beyond 2 ** 31 - 1.
    if (value === undefined || (typeof value === 'number' && value >= 0 && value <= 2 ** 31 - 1))
      return value as number | F;
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be a number of milliseconds from 0 to 2147483647, got ${show(value)}`,
    );
  }

  /** A time that no timer waits for: it may be longer than one can. @throws OptionError */
  duration<F extends number | undefined>(name: keyof Options & string, fallback: F): number | F {
    const value: unknown = this.#value(name, fallback);
    if (value === undefined || (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER))
      return value as number | F;
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be a number of milliseconds, 0 or more, got ${show(value)}`,
    );
  }

  /** @throws OptionError */
  flag(name: keyof Options & string, fallback: boolean): boolean {
    const value: unknown = this.#value(name, fallback);
    if (typeof value === 'boolean') return value;
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be true or false, got ${show(value)}`,
    );
  }

  /** @throws OptionError */
  text(name: keyof Options & string, fallback: string): string {
    const value: unknown = this.#value(name, fallback);
    if (typeof value === 'string') return value;
    throw new OptionError(this.#within + name, `${this.#within}${name} must be a string, got ${show(value)}`);
  }

  /** A function, or nothing. `word`: what may stand in its place. @throws OptionError */
  hook(name: keyof Options & string, word?: string): unknown {
    const value: unknown = this.#options[name];
    if (value === undefined || typeof value === 'function' || (word !== undefined && value === word))
      return value;
    const also = word === undefined ? '' : ` or '${word}'`;
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be a function${also}, got ${show(value)}`,
    );
  }

  /** One of these words; the first is the default. @throws OptionError */
  oneOf<T extends string>(name: keyof Options & string, allowed: readonly [T, ...T[]]): T {
    const value: unknown = this.#value(name, allowed[0]);
    const found = allowed.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be one of ${allowed.map((word) => `'${word}'`).join(', ')}, got ${show(value)}`,
    );
  }

  /** Header names, in lower case. @throws OptionError */
  headerNames(name: keyof Options & string, fallback: readonly string[]): string[] {
    const value: unknown = this.#value(name, fallback);
    if (areHeaderNames(value)) return value.map((item) => item.toLowerCase());
    throw new OptionError(
      this.#within + name,
      `${this.#within}${name} must be an array of header names, got ${show(value)}`,
    );
  }

  #value(name: keyof Options & string, fallback: unknown): unknown {
    const value: unknown = this.#options[name];
    return value === undefined ? fallback : value;
  }
}

/** @throws OptionError for what is no whole number of bytes */
export function requireBytes(name: string, value: unknown): asserts value is number {
  if (isBytes(value)) return;
  throw new OptionError(
    name,
    `${name} must be a whole number of bytes, got ${show(value)}; write for example 100 * 2 ** 30`,
  );
}

/**
 * @param least what the owner can't do without
 * @throws OptionError for what are no permission bits, or too few
 */
export function requireMode(name: string, mode: number, least: number): void {
  if (Number.isInteger(mode) && mode >= 0 && mode <= 0o777 && (mode & least) === least) return;
  const got = Number.isInteger(mode) ? `0o${mode.toString(8)}` : String(mode);
  throw new OptionError(
    name,
    `${name} must be permission bits that include 0o${least.toString(8)}, got ${got}; write for example 0o${(least | 0o040).toString(8)}`,
  );
}

/** A whole number of bytes. */
export function isBytes(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** An array of header names (tokens of RFC 9110, 5.6.2). */
export function areHeaderNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && TOKEN.test(item));
}

/** The known name that takes the fewest single-letter edits, if that is few enough to be a slip of the pen. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = edits(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** A value as one would write it, short enough for an error message. */
export function show(value: unknown): string {
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`;
  if (typeof value === 'bigint') return `${value}n`;
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // cyclic, or a toJSON that throws
  }
  text ??= String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
