import { type NamedThing, NameError } from '../errors.ts';

type Grammar = Exclude<NamedThing, 'path' | 'media type'>;

/** The grammars of OCI distribution-spec 1.1, "Pulling manifests", and those of a namespace and of an upload's id, which are ours. */
const GRAMMARS: Record<Grammar, RegExp> = {
  namespace: /^[a-z0-9]+(?:[._-]+[a-z0-9]+)*$/,
  repository: /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/,
  tag: /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/,
  digest: /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/,
  upload: /^[0-9a-f]{32}$/,
};

const RIGHT: Record<Grammar, string> = {
  namespace: 'lower-case letters and digits, with . _ - between them, at most 128 characters',
  repository:
    'lower-case letters and digits, with . _ __ - between them and / between components, at most 255 characters',
  tag: 'letters, digits, . _ and -, not beginning with . or -, at most 128 characters',
  digest: 'sha256: and 64, or sha512: and 128 lower-case hex digits',
  upload: '32 lower-case hex digits',
};

const MOST_CHARACTERS: Partial<Record<Grammar, number>> = { namespace: 128, repository: 255 };

export type DigestName = 'sha256' | 'sha512';

/** Whether a text is the name of such a thing. */
export function isName(what: Grammar, text: unknown): text is string {
  return (
    typeof text === 'string' && text.length <= (MOST_CHARACTERS[what] ?? 255) && GRAMMARS[what].test(text)
  );
}

/** Nothing becomes part of a path before it has passed here. @throws NameError */
export function requireName(what: Grammar, text: unknown): asserts text is string {
  if (isName(what, text)) return;
  const came = JSON.stringify(typeof text === 'string' ? text.slice(0, 80) : String(text));
  throw new NameError(what, `${came} is no ${what}: it consists of ${RIGHT[what]}`);
}

/** A reference is a digest where it has a colon, else a tag. @throws NameError */
export function requireReference(text: unknown): asserts text is string {
  requireName(typeof text === 'string' && text.includes(':') ? 'digest' : 'tag', text);
}

export function isDigest(reference: string): boolean {
  return reference.includes(':');
}

/** Of a digest that is one. */
export function algorithmOf(digest: string): DigestName {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}
