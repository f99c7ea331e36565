import assert from 'node:assert/strict';
import type { Preset } from '../../lib/index.ts';
import type { RouteAnswer } from '../../lib/routes/route.ts';

type Context = Parameters<Preset['origin']>[0];

/** What a request for a target means to the routes of a preset. */
export function meant(
  { routes }: Pick<Preset, 'routes'>,
  target: string,
): (RouteAnswer & { route: string; key: string | undefined }) | undefined {
  const [path = '', query = ''] = target.split('?', 2);
  for (const { name = '', path: match, key } of routes) {
    assert.ok(typeof match === 'function');
    const answer = match({ method: 'GET', path, query });
    if (answer === undefined) continue;
    return { ...answer, route: name, key: key?.({ id: answer.id, params: answer.params ?? {} }) };
  }
  return undefined;
}

/** What the preset's origin says of a target. */
export function origin(
  preset: Preset,
  path: string,
  headers: Record<string, string> = {},
): { url?: string; headers?: Record<string, string>; status?: number; body?: string } | undefined {
  const answer = preset.origin({ method: 'GET', path, headers } as unknown as Context);
  return answer && ({ ...answer } as ReturnType<typeof origin>);
}

/** Spellings of what is to be none of anybody's paths. */
export const TRAVERSALS: readonly string[] = [
  '..',
  '.',
  '%2e%2e',
  '%2E.',
  '..%2f',
  '%2f..',
  '..%5c',
  '\\',
  '%00',
  '%0a',
  '%',
  '%zz',
  '%252e%252e',
  '%c0%ae',
  '',
];
