/**
 * What is wrong with a request's target, for one whose client library takes apart and rebuilds URLs; undefined when nothing is. A path with
 * dot segments, a backslash or a fragment would reach the other side as another path than the one that was matched and authorised here.
 */
export function targetProblem(target: string): string | undefined {
  if (!target.startsWith('/')) return 'the request target must be a path';
  const path = target.replace(/\?.*$/s, '');
  if (/[\\#]/.test(target)) return "the request target may hold neither '\\' nor '#'";
  const dots = path.split('/').some((segment) => /^(\.|%2e){1,2}$/i.test(segment));
  return dots ? "the path may not have segments '.' and '..'" : undefined;
}
