import type { AnyRequest } from '../http/message.ts';
import type { HookContext, ResponseContext } from '../policy/hooks.ts';
import type { Route } from '../routes/route.ts';

export interface OriginPlace {
  url: string | URL;
  headers?: Readonly<Record<string, string>>;
}

export interface OriginAnswer {
  status: number;
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
}

export type OriginContext<Req extends AnyRequest> = HookContext<Req> & {
  method: string;
  path: string;
  headers: Readonly<Record<string, string>>;
};

export type OriginFetch = (
  path: string,
  options?: { headers?: Readonly<Record<string, string>>; maxBytes?: number },
) => Promise<{ status: number; headers: Readonly<Record<string, string>>; body: Buffer }>;

export type FetchingContext = ResponseContext<AnyRequest> & { fetch?: OriginFetch };

export type RewritingRoute = Route & {
  store?: boolean;
  rewrite?: (
    context: HookContext<AnyRequest>,
    body: Buffer,
  ) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
};

/** Options of `cacheFilter`, to be spread among others. */
export interface Preset {
  origin: (context: OriginContext<AnyRequest>) => OriginPlace | OriginAnswer | undefined;
  routes: RewritingRoute[];
  /** The path of what has an id, for `filter.prefetch(id)`. */
  urlFor: (id: string) => string;
  forwardHeaders: string[];
  dropHeaders: string[];
  digest?: (context: FetchingContext) => Promise<string | undefined>;
  shouldStore?: (context: ResponseContext<AnyRequest>) => boolean;
}
