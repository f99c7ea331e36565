import { createHash } from 'node:crypto';

/** The content as JSON, and a checksum of it as the last member. */
export function seal(content: object): Buffer {
  const text = JSON.stringify(content);
  const checksum = createHash('sha256').update(text).digest('hex');
  return Buffer.from(`${text.slice(0, -1)},"checksum":"${checksum}"}`);
}

/** What was sealed; undefined where a single letter is not as it was. */
export function unseal(bytes: Uint8Array): Record<string, unknown> | undefined {
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
  if (!isObject(content)) return undefined;
  const { checksum: _, ...rest } = content;
  // Letter by letter: what JSON does not mind (a space at the end, \u001F for \u001f) is damage all the same.
  return seal(rest).equals(bytes) ? rest : undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
