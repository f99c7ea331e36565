import { isName } from './names.ts';

/** What a tag, or a manifest by its digest, leads to: media types and digests. */
export type TagDocument = Readonly<Record<string, string>>;

/** RFC 6838, 4.2: names of types and subtypes. */
const MEDIA_TYPE = /^[a-zA-Z0-9][\w!#$&^.+-]{0,126}\/[a-zA-Z0-9][\w!#$&^.+-]{0,126}$/;

export function isMediaType(text: string): boolean {
  return MEDIA_TYPE.test(text);
}

/** Undefined where the bytes are no such document. */
export function readTag(bytes: Uint8Array): TagDocument | undefined {
  try {
    const document: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof document !== 'object' || document === null || Array.isArray(document)) return undefined;
    const entries = Object.entries(document);
    const valid =
      entries.length > 0 && entries.every(([type, digest]) => isMediaType(type) && isName('digest', digest));
    return valid ? Object.fromEntries(entries) : undefined;
  } catch {
    return undefined;
  }
}
