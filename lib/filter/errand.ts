import type { Key } from '../cache/cache.ts';
import type { AnyRequest } from '../http/message.ts';
import type { HookContext } from '../policy/hooks.ts';
import type { Asked } from '../response/plan.ts';
import type { RouteMatch } from '../routes/route.ts';
import type { CacheInfo } from './exchange.ts';

/** Something that is to be fetched, whether somebody waits for it or not. */
export interface Errand {
  /** Absent where nobody asked. */
  readonly req?: AnyRequest | undefined;
  readonly match: RouteMatch;
  readonly key: Key;
  /** By which it can be purged with others. */
  readonly tag: string;
  /** Path and query below the mount point. */
  readonly target: string;
  /** What the client asked, or would have. */
  readonly asked: Asked;
  /** The request carries credentials, and nothing but the response can say that others may have its answer. */
  readonly credentials: boolean;
  /** Which version of the resource a response will be of. */
  readonly version: string | undefined;
  readonly context: HookContext<AnyRequest>;
  readonly info: CacheInfo;
}
