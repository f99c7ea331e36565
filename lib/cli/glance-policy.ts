// docs/guides/glance.md

import type { AuthorizeContext, AuthorizeOutcome, HookContext } from '../policy/hooks.ts';
import { rememberChallenge } from './challenge.ts';
import { questionHeaders } from './forwarding.ts';
import { HttpError } from './http-error.ts';
import type { Upstream } from './upstream.ts';

/** What Glance says of an image to one caller. */
export interface GlanceImage {
  /** `active`, `deactivated`, `deleted`, …; `refused` is ours: the caller may not see the image. */
  status: string;
  /** Bytes; only of an active image, and where they are known. */
  size?: number;
  /** `sha512:<hex>`, `md5:<hex>`; only of an active image. */
  digests?: string[];
  /** What Glance answered in place of a description. */
  refusal?: 401 | 403;
}

export interface GlancePolicyOptions {
  /** Whether Glance is also asked for the download itself: seeing an image and downloading it are two policies. */
  download: boolean;
  /** A further question, which has to be answered with yes as well. */
  also?: ((context: Pick<AuthorizeContext, 'req' | 'signal'>) => Promise<AuthorizeOutcome>) | undefined;
}

export interface GlancePolicy {
  metadata(context: HookContext): Promise<GlanceImage | undefined>;
  authorize(context: AuthorizeContext<HookContext['req'], GlanceImage>): Promise<AuthorizeOutcome>;
}

/** An image's description is a few KiB; its owner can lengthen it by properties, 128 of them by default. */
const DESCRIPTION_BYTES = 2 ** 20;

/** Enough to end the answers without an image cleanly, which keeps the connection. */
const SKIMMED_BYTES = 64 * 1024;

/**
 * Hooks that ask Glance itself, before every answer from the cache, with the caller's own headers. Both throw HttpError when
 * Glance does not answer, or not in a way that decides the question: then nothing is served.
 */
export function glancePolicy(glance: Upstream, { download, also }: GlancePolicyOptions): GlancePolicy {
  return { metadata, authorize };

  async function metadata({ req, id, signal }: HookContext): Promise<GlanceImage | undefined> {
    const question = { method: 'GET', headers: questionHeaders(req), signal };
    const { status, headers, text } = await glance.ask(imagePath(id), question, DESCRIPTION_BYTES);
    if (status === 200) return described(text);
    if (status === 404) return undefined;
    if (status === 401) rememberChallenge(req, headers);
    if (status === 401 || status === 403) return { status: 'refused', refusal: status };
    throw new HttpError(502, `Glance answered ${status} when asked about the image`);
  }

  async function authorize(
    context: AuthorizeContext<HookContext['req'], GlanceImage>,
  ): Promise<AuthorizeOutcome> {
    const { resource } = context;
    if (resource.refusal !== undefined) return { status: resource.refusal };
    // Queued, saving, importing, …: Glance knows what that means for whom.
    if (resource.status !== 'active') return 'bypass';
    if (download) {
      const outcome = await mayDownload(context);
      if (outcome !== true) return outcome;
    }
    return also === undefined ? true : also(context);
  }

  /**
   * Asks for the bytes after the last one. Glance looks at its policy first, and then at the range, before it opens its store:
   * so 416 is a yes that costs no read there, and works with stores that know no ranges.
   */
  async function mayDownload({
    req,
    id,
    signal,
    resource,
  }: AuthorizeContext<HookContext['req'], GlanceImage>): Promise<AuthorizeOutcome> {
    const headers = questionHeaders(req);
    headers.push(['range', `bytes=${resource.size ?? 0}-`]);
    const question = { method: 'GET', headers, signal };
    const { status, headers: answered } = await glance.ask(`${imagePath(id)}/file`, question, SKIMMED_BYTES);
    if (status === 416 || status === 206 || status === 200) return true;
    if (status === 401) rememberChallenge(req, answered);
    if (status === 401 || status === 403 || status === 404) return { status };
    // No data in Glance's store, or a store out of order: what that means to a client is for Glance to say.
    if (status < 500) return 'bypass';
    throw new HttpError(502, `Glance answered ${status} when asked for the download`);
  }
}

function imagePath(id: string): string {
  return `/v2/images/${encodeURIComponent(id)}`;
}

function described(text: string): GlanceImage {
  let image: Record<string, unknown>;
  try {
    image = Object(JSON.parse(text));
  } catch (error) {
    throw new HttpError(502, 'Glance described the image in something other than JSON', { cause: error });
  }
  const { status, size, checksum, os_hash_algo: algorithm, os_hash_value: hash } = image;
  if (typeof status !== 'string') throw new HttpError(502, 'Glance described the image without a status');
  // Nothing to compare with until it is active; and of a deactivated image the entry has to stay.
  if (status !== 'active') return { status };
  return {
    status,
    // Glance has recorded a size of 0 for images whose size it never learned; what their bytes are, the hashes say.
    ...(typeof size === 'number' && size > 0 ? { size } : {}),
    digests: [...digest(algorithm, hash), ...digest('md5', checksum)],
  };
}

/** Hex digits of the algorithms that a body can be compared by. */
const HEX_DIGITS = new Map([
  ['md5', 32],
  ['sha1', 40],
  ['sha256', 64],
  ['sha384', 96],
  ['sha512', 128],
]);

function digest(algorithm: unknown, hex: unknown): string[] {
  if (typeof algorithm !== 'string' || typeof hex !== 'string') return [];
  const known = HEX_DIGITS.get(algorithm) === hex.length && /^[0-9a-f]+$/i.test(hex);
  return known ? [`${algorithm}:${hex}`] : [];
}
