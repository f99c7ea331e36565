import type { OutgoingValue } from '../../http/headers.ts';
import { coded } from './headers.ts';

export type Callback = (error?: Error | null) => void;

/** `write` and `end` in each of their forms. */
export function writeArguments(
  args: unknown[],
): [chunk: unknown, encoding: BufferEncoding | undefined, callback: Callback | undefined] {
  const callback = args.find((argument) => typeof argument === 'function') as Callback | undefined;
  const [chunk, encoding] = args;
  return [
    typeof chunk === 'function' ? undefined : chunk,
    typeof encoding === 'string' ? (encoding as BufferEncoding) : undefined,
    callback,
  ];
}

/**
 * What a handler writes, as bytes.
 * @param reused whether the handler may use the memory again once its callback has run
 * @throws TypeError with Node's codes
 */
export function toBytes(chunk: unknown, encoding: BufferEncoding | undefined, reused: boolean): Uint8Array {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  if (chunk instanceof Uint8Array) return reused ? Buffer.from(chunk) : chunk;
  if (chunk === null)
    throw coded(new TypeError('May not write null values to stream'), 'ERR_STREAM_NULL_VALUES');
  throw coded(
    new TypeError(
      `The "chunk" argument must be of type string or an instance of Buffer or Uint8Array. Received ${typeof chunk}`,
    ),
    'ERR_INVALID_ARG_TYPE',
  );
}

/** A Content-Length as a number; undefined where it is none. */
export function declaredLength(value: OutgoingValue | undefined): number | undefined {
  const length = value === undefined ? Number.NaN : Number(value);
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined;
}
