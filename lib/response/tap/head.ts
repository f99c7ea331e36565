import type { HeaderPairs, ResponseHead } from '../../http/body.ts';

/** What the handler has said before its body. */
export interface TappedHead extends ResponseHead {
  /** Every field, those of earlier middleware included: what the handler believes it sends. */
  all: HeaderPairs;
  /** Bytes of the body, where the handler declared them or gave it in one piece. */
  length?: number;
}
