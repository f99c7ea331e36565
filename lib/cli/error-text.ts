import { CacheFilterError } from '../errors.ts';

/** What an error says to whoever reads the terminal: without the code, which is for programs. */
export function errorText(error: unknown): string {
  if (error instanceof CacheFilterError) return error.message.replace(`${error.code}: `, '');
  return error instanceof Error ? error.message : String(error);
}
