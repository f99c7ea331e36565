// docs/guides/command-line.md

import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { cacheFilter } from '../../cache-filter.ts';
import { OptionError } from '../../errors.ts';
import type { CacheFilter, PrefetchInfo } from '../../index.ts';
import type { Freshness } from '../../policy/freshness.ts';
import { errorText } from '../error-text.ts';
import type { Routes } from '../flags.ts';
import { routesOf } from '../policy.ts';

export interface WarmOptions {
  /** In order of preference. */
  origin: URL[];
  directory: string;
  maxBytes: number;
  minFreeBytes?: number | undefined;
  routes: Routes;
  freshness?: Freshness | undefined;
  /** How many at a time. */
  concurrency: number;
  /** How often each is tried again. */
  retries: number;
  maxBytesPerSecond?: number | undefined;
  maxRedirects: number;
  originTimeoutMs: number;
  /** Of the list of paths; '-': `input`. */
  file: string;
  input: Readable;
  /** Ends it; what is not there by then stays in the queue. */
  signal: AbortSignal;
  report: WarmReport;
}

/** What has become of a line of the list. `queued`: it was interrupted, and is fetched by the next process on the directory. */
export type Warmed =
  | { path: string; outcome: 'fetched' | 'stored'; bytes: number }
  | { path: string; outcome: 'queued' }
  | { path: string; outcome: 'failed'; error: string };

/** Who is told how it goes. */
export interface WarmReport {
  progress(info: PrefetchInfo): void;
  done(warmed: Warmed): void;
  end(tally: Record<Warmed['outcome'], number>): void;
}

/**
 * Fetches the paths of a list into the directory; whether all went well.
 *
 * @throws OptionError where the flags don't go together; DirectoryError for a directory that can't be used; the error of the file system
 *   for a list that can't be read
 */
export async function warm(options: WarmOptions): Promise<boolean> {
  const { file, input, origin, report, signal } = options;
  if (options.routes === 'glance')
    throw new OptionError(
      'routes',
      '--routes glance is not for warm: Glance gives its images to callers only',
    );
  const listed = linesOf(file === '-' ? await listIn(input, signal) : await readFile(file, 'utf8'));
  const filter = filterOf(options);
  const tally = { fetched: 0, stored: 0, queued: 0, failed: 0 };
  const done = (warmed: Warmed) => {
    tally[warmed.outcome]++;
    report.done(warmed);
  };
  // Between two attempts nothing else would keep the process.
  const alive = setInterval(() => undefined, 60_000);
  try {
    const all: Promise<void>[] = [];
    for (const line of listed) {
      // One after the other, so that a long list does not open thousands of files at once.
      await new Promise<void>((queued) => {
        all.push(fetchOne(filter, line, { origin, signal, report, queued }).then(done).finally(queued));
      });
    }
    const leave = () => void filter.close();
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    await Promise.all(all);
  } finally {
    clearInterval(alive);
    await filter.close();
  }
  report.end(tally);
  return tally.failed + tally.queued === 0;
}

function filterOf(options: WarmOptions): CacheFilter {
  const { origin, directory, maxBytes, minFreeBytes, routes, freshness, concurrency, retries } = options;
  const { maxBytesPerSecond, maxRedirects, originTimeoutMs } = options;
  return cacheFilter({
    directory,
    maxBytes,
    ...(minFreeBytes === undefined ? {} : { minFreeBytes }),
    ...routesOf(routes),
    ...(freshness === undefined ? {} : { freshness }),
    origin,
    upstream: {
      maxRedirects,
      headTimeoutMs: originTimeoutMs,
      stallTimeoutMs: originTimeoutMs,
      maxRequests: Math.max(64, concurrency),
    },
    prefetch: { concurrency, retries },
    background: {
      maxFills: concurrency,
      ...(maxBytesPerSecond === undefined ? {} : { maxBytesPerSecond }),
    },
    closeTimeoutMs: 1000,
  });
}

/** Never rejects. */
async function fetchOne(
  filter: CacheFilter,
  line: string,
  {
    origin,
    signal,
    report,
    queued,
  }: Pick<WarmOptions, 'origin' | 'signal' | 'report'> & { queued: () => void },
): Promise<Warmed> {
  const path = pathOf(line, origin);
  if (path === undefined)
    return { path: line, outcome: 'failed', error: 'it is no path, and no URL below the origin' };
  const onProgress = (info: PrefetchInfo) => {
    queued();
    report.progress(info);
  };
  try {
    const { size, fetched } = await filter.prefetch({ path }, { onProgress });
    return { path, outcome: fetched ? 'fetched' : 'stored', bytes: size };
  } catch (error) {
    if (signal.aborted) return { path, outcome: 'queued' };
    return { path, outcome: 'failed', error: errorText(error) };
  }
}

/** What an interrupted list had to say is not known to be whole lines. */
async function listIn(input: Readable, signal: AbortSignal): Promise<string> {
  try {
    return await text(input);
  } catch (error) {
    if (signal.aborted) return '';
    throw error;
  }
}

/** What is listed, each once: lines that are not empty and no comments. */
export function linesOf(list: string): Set<string> {
  const lines = list.split('\n').map((line) => line.trim());
  return new Set(lines.filter((line) => line !== '' && !line.startsWith('#')));
}

/** The path, with its query, below one of the origins; undefined: there is none. */
export function pathOf(line: string, origins: readonly URL[]): string | undefined {
  if (line.startsWith('/')) return line;
  if (!/^https?:/i.test(line) || !URL.canParse(line)) return undefined;
  const url = new URL(line);
  url.hash = '';
  const bases = origins.map(({ href }) => href.replace(/\/$/, ''));
  const base = bases.find((each) => url.href.startsWith(`${each}/`));
  return base === undefined ? undefined : url.href.slice(base.length);
}
