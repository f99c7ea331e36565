/**
 * A procedure that waits only where there is something to wait for: written like an async function, with `yield* wait(…)` for `await`,
 * and over before `run` returns where nothing it met was a promise. A hit from memory is answered that way.
 */
export type Steps<T> = Generator<PromiseLike<unknown>, T, unknown>;

/** The value, or what the promise for it resolves to. */
export function* wait<T>(value: T | PromiseLike<T>): Steps<T> {
  return isPromise(value) ? ((yield value) as T) : value;
}

/** Runs the steps, at once as far as that goes. Throws, or rejects, with what they throw. */
export function run<T>(steps: Steps<T>): T | Promise<T> {
  const step = steps.next();
  return step.done ? step.value : resume(steps, step.value);
}

async function resume<T>(steps: Steps<T>, awaited: PromiseLike<unknown>): Promise<T> {
  for (let waiting = awaited; ; ) {
    let step: IteratorResult<PromiseLike<unknown>, T>;
    try {
      const value = await waiting;
      step = steps.next(value);
    } catch (error) {
      step = steps.throw(error);
    }
    if (step.done) return step.value;
    waiting = step.value;
  }
}

/** Whether it has to be waited for. */
export function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
