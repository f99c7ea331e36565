/** What WWW-Authenticate asks for (RFC 9110 11.6.1): `scheme` and the names of `params` in lower case. */
export interface AuthChallenge {
  scheme: string;
  params: Map<string, string>;
}

const PARAM =
  /[ \t,]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",=]+))(?=[ \t]*(?:,|$))/y;
const SCHEME =
  /[ \t,]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]+[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$)))?(?=[ \t]|,|$)/y;

/** The challenges of a field's lines; of a line that can't be understood, what comes before that. */
export function parseChallenges(lines: readonly string[]): AuthChallenge[] {
  return lines.flatMap((line) => {
    const found: AuthChallenge[] = [];
    for (let at = 0; at < line.length; ) {
      PARAM.lastIndex = at;
      SCHEME.lastIndex = at;
      const param = PARAM.exec(line);
      const current = found.at(-1);
      if (param !== null && current !== undefined) {
        const [, name = '', quoted, plain = ''] = param;
        current.params.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain);
        at = PARAM.lastIndex;
        continue;
      }
      const [, scheme] = SCHEME.exec(line) ?? [];
      if (scheme === undefined) break;
      found.push({ scheme: scheme.toLowerCase(), params: new Map() });
      at = SCHEME.lastIndex;
    }
    return found;
  });
}
