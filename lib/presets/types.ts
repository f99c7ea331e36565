import type { AnyRequest } from '../http/message.ts';
import type { OriginAnswer, OriginPlace } from '../origin/places.ts';
import type { OriginContext, ResponseContext } from '../policy/hooks.ts';
import type { Route } from '../routes/route.ts';

/** Options of `cacheFilter`, to be spread among others. */
export interface Preset {
  origin: (context: OriginContext<AnyRequest>) => OriginPlace | OriginAnswer | undefined;
  routes: Route[];
  /** The path of what has an id, for `filter.prefetch(id)`. */
  urlFor: (id: string) => string;
  forwardHeaders: string[];
  dropHeaders: string[];
  digest?: (context: ResponseContext<AnyRequest>) => Promise<string | undefined>;
  shouldStore?: (context: ResponseContext<AnyRequest>) => boolean;
}
