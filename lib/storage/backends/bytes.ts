import { show } from '../../checks.ts';
import { OptionError } from '../../errors.ts';
import type { Bytes } from './backend.ts';

const HINT = 'a stream with an encoding gives text: leave the encoding out';

/** @throws OptionError for what can't give bytes */
export function requireBytesOf(bytes: unknown): asserts bytes is Bytes {
  const source = (bytes ?? {}) as Partial<AsyncIterable<unknown>>;
  if (bytes instanceof Uint8Array || typeof source[Symbol.asyncIterator] === 'function') return;
  throw new OptionError(
    'bytes',
    `bytes must be a Uint8Array, or an async iterable of them, got ${show(bytes)}`,
  );
}

/** @throws OptionError for what is no bytes: text would be stored as something else, and other arrays in part */
export function requirePiece(piece: unknown): asserts piece is Uint8Array {
  if (piece instanceof Uint8Array) return;
  const hint = typeof piece === 'string' ? `; ${HINT}` : '';
  throw new OptionError('bytes', `bytes must come as Uint8Arrays, got ${show(piece)}${hint}`);
}
