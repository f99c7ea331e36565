import type { Case, Group } from './case.ts';
import { GROUPS, SHARED } from './groups.ts';

/** Where the page is, and what writes it. */
export const PAGE = 'docs/evidence/never-stored.md';
export const COMMAND = 'node --import tsx scripts/never-stored.mjs';

const FATES: Record<NonNullable<Case['fate']>, string> = {
  never: 'not stored',
  without: 'stored without it',
  guarded: 'stored; refused to B',
  apart: 'stored for A’s request only',
  shared: 'shared',
};

/** The page about what is never stored or shared, from the cases themselves. */
export function page(): string {
  const count = GROUPS.reduce((sum, { cases }) => sum + cases.length, 0);
  const more = GROUPS.flatMap(({ cases }) => cases).filter(({ inTurn }) => !inTurn).length;
  return `# What is never stored, and never shared

${count} cases, 0 leaks. Each is a test (\`test/never-stored.test.ts\`, the cases are in \`test/never-stored/\`), and this table is written from
the tests:

\`\`\`sh
npm test -- test/never-stored.test.ts
${COMMAND}
\`\`\`

A test compares it with them.

## How a case is tried

A real server with the filter in it, and clients on sockets of their own, which write the bytes of the request as they are. Every call of the
handler makes a new secret. A asks first, and gets its secret in the body, in a field, in the trailer or in an informational response. Then B asks, with other credentials
or with the same request, and then C, without any. Of every byte that comes back:

- A has what the handler would have given it without the filter: status, fields, body, trailer, and whether it came to its end. Where it can't, the
  case says why (\`differs\`).
- B and C see nothing that was made for A.
- The handler was asked by B and C, too. Where the rest of the response may be kept, B was answered without it.
- The cache lists no entry, and no file below its directory has a secret in it. (With \`maxInvalidBytes: 0\`: otherwise bodies that were cut
  off or differ from their digest stay in \`invalid/\` for a day, for the operator, and are never served.)
- The filter gives the reason of the table.

${more} of the cases are tried a second time with B asking before A's handler has answered. It goes on only when B waits for what
it will say, has reached the handler by itself, or has its answer.

What "expected" says:

| | |
| --- | --- |
| ${FATES.never} | the cache holds nothing, and each request goes to the handler |
| ${FATES.without} | B is answered from the cache, and the secret is not in the entry |
| ${FATES.guarded} | a hook keeps the entry from B, who gets an error |
| ${FATES.apart} | B's request has another key, or goes past the cache, and is answered by the handler |

\`no route\`: the filter does not look at such a request, or the server refuses it before. A reason is given for what is not stored; where there is none, there
is a dash. See [reasons](../reference/reasons.md).

${GROUPS.map(section).join('\n')}
## What the filter can't know

The other side, tested in the same way, so that this page does not promise too much. In each of these cases B gets what was made for A, because
nothing in request or response says that it should not. Name in \`Vary\` what the handler looks at, in \`credentialHeaders\` what says who asks, and in
\`dropHeaders\` the fields that are for one user; mark with \`private\` or \`no-store\` what is for one user as a whole.

${table(SHARED)}`;
}

function section(group: Group): string {
  return `## ${group.title}\n\n${table(group)}`;
}

function table({ cases }: Group): string {
  const rows = cases.map(({ name, rule, fate = 'never', reason }) =>
    row([
      name,
      rule,
      FATES[fate],
      reason === undefined ? '–' : reason === 'no route' ? reason : `\`${reason}\``,
    ]),
  );
  return [row(['case', 'rule', 'expected', 'reason']), '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
