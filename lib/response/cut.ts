import { ifRangeHolds, validatorsOf } from '../http/conditional.ts';
import { fieldValue } from '../http/headers.ts';
import { contentRange, parseRange } from '../http/ranges.ts';
import type { Asked } from './plan.ts';
import type { PassOptions } from './tap/body.ts';
import type { TappedHead } from './tap/head.ts';

/** How to cut the range that was asked for out of an answer that was fetched whole and is not kept. */
export function cutRange(asked: Asked, head: TappedHead): PassOptions {
  const { length } = head;
  if (head.status !== 200 || length === undefined || fieldValue(head.all, 'content-encoding') !== undefined)
    return {};
  if (!ifRangeHolds(asked.headers, validatorsOf(head.all))) return {};
  const request = parseRange(asked.headers.range, length);
  const [range, ...more] = request.kind === 'ranges' ? request.ranges : [];
  if (range === undefined || more.length > 0) return {};
  return {
    status: 206,
    range,
    headers: {
      // Of the whole, and said of what is sent.
      'Content-Digest': undefined,
      'Content-MD5': undefined,
      'Content-Range': contentRange(range, length),
      'Content-Length': String(range.end - range.start),
    },
  };
}
