import type { AnyRequest, AnyResponse } from '../http/message.ts';
import type { RegistryConfig } from './options.ts';
import type { Target } from './request.ts';
import type { RequestBody } from './request-body.ts';

/** One request to the registry, once it is known who asks. */
export interface Exchange {
  req: AnyRequest;
  res: AnyResponse;
  config: RegistryConfig;
  target: Target;
  body: RequestBody;
  user: unknown;
  /** Of the storage. */
  namespace: string;
}
