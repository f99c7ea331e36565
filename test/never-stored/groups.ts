import * as bodies from './bodies.ts';
import * as cacheControl from './cache-control.ts';
import type { Group } from './case.ts';
import * as cookies from './cookies.ts';
import * as credentials from './credentials.ts';
import * as failing from './failing.ts';
import * as fields from './fields.ts';
import * as framing from './framing.ts';
import * as policy from './policy.ts';
import * as statuses from './statuses.ts';
import * as targets from './targets.ts';
import * as unkeyed from './unkeyed.ts';
import * as vary from './vary.ts';

export { SHARED } from './unkeyed.ts';

/** Every case in which something must stay with A, in the order of the page. */
export const GROUPS: readonly Group[] = [
  ...cacheControl.groups,
  ...vary.groups,
  ...cookies.groups,
  ...fields.groups,
  ...credentials.groups,
  ...policy.groups,
  ...statuses.groups,
  ...bodies.groups,
  ...failing.groups,
  ...framing.groups,
  ...targets.groups,
  ...unkeyed.groups,
];
