import { createHash } from 'node:crypto';

/** One JSON object, whose last member is a checksum of all that stands before it. */
export function sealed(content: object): string {
  const text = JSON.stringify(content);
  const checksum = createHash('sha256').update(text).digest('hex');
  return `${text.slice(0, -1)},"checksum":"${checksum}"}`;
}

/** What was sealed; undefined where a letter of it has changed. */
export function unsealed(text: string): Record<string, unknown> | undefined {
  try {
    const { checksum: _, ...content } = JSON.parse(text) as Record<string, unknown>;
    return text === sealed(content) ? content : undefined;
  } catch {
    return undefined;
  }
}
