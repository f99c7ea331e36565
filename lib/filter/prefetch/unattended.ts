import type { Key } from '../../cache/cache.ts';
import type { AnyRequest } from '../../http/message.ts';
import type { Config } from '../../options.ts';
import type { HookContext } from '../../policy/hooks.ts';
import type { Asked } from '../../response/plan.ts';
import type { RouteMatch } from '../../routes/route.ts';
import type { Errand } from '../errand.ts';
import type { CacheInfo } from '../exchange.ts';
import { keyOf, tagOf } from '../keys.ts';

/** What a prefetch is told to fetch: path and query below the mount point, and headers by which a route may tell variants apart. */
export interface Wanted {
  path: string;
  headers?: Readonly<Record<string, string>>;
}

/** Something that is fetched though nobody asked. */
export class Unattended implements Errand {
  readonly match: RouteMatch;
  readonly key: Key;
  readonly tag: string;
  readonly target: string;
  readonly asked: Asked;
  readonly credentials = false;
  readonly context: HookContext<AnyRequest>;
  readonly info: CacheInfo;
  version: string | undefined;

  constructor(config: Config, match: RouteMatch, { path, headers = {} }: Wanted, signal: AbortSignal) {
    const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
    this.match = match;
    this.asked = { method: 'GET', headers: Object.fromEntries(named) as Asked['headers'] };
    this.key = keyOf(config, match, config.mountPath, this.asked.headers);
    this.tag = tagOf(config, match.route.name, match.id);
    this.target = path;
    const { id, params, digest, route } = match;
    const { primary } = this.key;
    // Hooks that look at the request are told that there may be none.
    const context: Omit<HookContext<AnyRequest>, 'req'> = {
      id,
      key: primary,
      route: route.name,
      params,
      signal,
      ...(digest === undefined ? {} : { digest }),
    };
    this.context = context as HookContext<AnyRequest>;
    this.info = { status: 'miss', route: route.name, id, key: primary };
  }
}
