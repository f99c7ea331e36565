import type { HeaderPairs, ResponseHead } from '../../http/body.ts';
import { formatHttpDate } from '../../http/date.ts';
import { fieldValues } from '../../http/headers.ts';

/** What the handler has said before its body. */
export interface TappedHead extends ResponseHead {
  /** Every field, those of earlier middleware included: what the handler believes it sends. */
  all: HeaderPairs;
  /** Bytes of the body, where the handler declared them or gave it in one piece. */
  length?: number;
}

/** With the time at which the answer was made, which later hits repeat (RFC 9110, 6.6.1). */
export function withDate(head: TappedHead, sendDate: boolean): HeaderPairs {
  if (!sendDate || fieldValues(head.all, 'date').length > 0) return head.headers;
  return [...head.headers, ['Date', formatHttpDate(Date.now())]];
}
