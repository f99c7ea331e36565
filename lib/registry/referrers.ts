import { requireName } from '../storage/names.ts';
import type { Descriptor } from '../storage/storage.ts';
import { permit } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { reply } from './reply.ts';
import { location } from './request.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';

/** The descriptors of one answer, in bytes: what every client takes of a manifest, and this is one. */
const MOST_BYTES = 4 * 1024 * 1024;

interface ReferrersPoint {
  repository: string;
  digest: string;
}

/** GET (end points 12a and 12b). A subject that is not there may have referrers all the same, and none are an empty list. */
export async function listReferrers(exchange: Exchange, point: ReferrersPoint): Promise<void> {
  const { config, namespace, target } = exchange;
  const { repository, digest } = point;
  const artifactType = target.query.get('artifactType');
  const last = target.query.get('last');
  if (last !== null) requireName('digest', last);
  await permit(exchange, { action: 'pull', repository, digest });
  const all = config.storage.referrers(namespace, repository, digest, {
    ...(artifactType === null ? {} : { artifactType }),
    ...(last === null ? {} : { last }),
  });
  const { manifests, hasMore } = await page(all);
  const query = new URLSearchParams({
    ...(artifactType === null ? {} : { artifactType }),
    last: manifests.at(-1)?.digest ?? '',
  });
  reply(
    exchange,
    200,
    {
      'Content-Type': INDEX,
      ...(artifactType === null ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
      ...(hasMore
        ? { Link: `<${location(target, repository, 'referrers', digest)}?${query}>; rel="next"` }
        : {}),
    },
    { schemaVersion: 2, mediaType: INDEX, manifests },
  );
}

/** As many as have room, and one in any case. */
async function page(all: AsyncIterable<Descriptor>): Promise<{ manifests: Descriptor[]; hasMore: boolean }> {
  const manifests: Descriptor[] = [];
  let bytes = 0;
  for await (const each of all) {
    bytes += Buffer.byteLength(JSON.stringify(each)) + 1;
    if (manifests.length > 0 && bytes > MOST_BYTES) return { manifests, hasMore: true };
    manifests.push(each);
  }
  return { manifests, hasMore: false };
}
