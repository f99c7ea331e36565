/**
 * The segments of a path, each decoded once; undefined where one is empty (but for a path of none), a dot segment, malformed, or has in it
 * what a server may take for something else: a slash, a backslash, a control character, an escape.
 */
export function segmentsOf(path: string): string[] | undefined {
  if (!path.startsWith('/')) return undefined;
  const segments: string[] = [];
  for (const raw of path.slice(1).split('/')) {
    const segment = decoded(raw);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (segment === undefined || /^\.{0,2}$/.test(segment) || /[/\\%\x00-\x1f\x7f]/.test(segment))
      return undefined;
    segments.push(segment);
  }
  return segments;
}

/** The one spelling that we ask the upstream for. */
export function pathOf(segments: readonly string[]): string {
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join('');
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
