import { permit } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { reply } from './reply.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';

/** GET (end points 12a and 12b). A subject that is not there may have referrers all the same, and none are an empty list. */
export async function listReferrers(
  exchange: Exchange,
  { repository, digest }: { repository: string; digest: string },
): Promise<void> {
  const { config, namespace, target } = exchange;
  await permit(exchange, { action: 'pull', repository, digest });
  const artifactType = target.query.get('artifactType');
  const manifests = await config.storage.referrers(
    namespace,
    repository,
    digest,
    artifactType === null ? {} : { artifactType },
  );
  reply(
    exchange,
    200,
    {
      'Content-Type': INDEX,
      ...(artifactType === null ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
    },
    { schemaVersion: 2, mediaType: INDEX, manifests },
  );
}
