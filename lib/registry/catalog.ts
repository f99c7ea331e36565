import { mayDo, permit } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { isAfter, linkTo, pageOf } from './paging.ts';
import { reply } from './reply.ts';

const MOST = 1_000;

/** GET /v2/_catalog, which the specification reserves and many clients know: the repositories that the caller may pull from. */
export async function listRepositories(exchange: Exchange): Promise<void> {
  const { config, namespace, target } = exchange;
  await permit(exchange, { action: 'catalog', repository: '' });
  const { n = MOST, last } = pageOf(target.query);
  const most = Math.min(n, MOST);
  const names: string[] = [];
  for await (const name of config.storage.repositories(namespace)) if (isAfter(name, last)) names.push(name);
  const repositories: string[] = [];
  let hasMore = false;
  for (const repository of names.sort()) {
    if (most === 0) break;
    if (!(await mayDo(exchange, { action: 'pull', repository }))) continue;
    hasMore = repositories.length === most;
    if (hasMore) break;
    repositories.push(repository);
  }
  const end = repositories.at(-1);
  const link =
    hasMore && end !== undefined ? { Link: linkTo(`${target.prefix}/v2/_catalog`, most, end) } : {};
  reply(exchange, 200, link, { repositories });
}
