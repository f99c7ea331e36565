import { Refusal } from './answers.ts';
import { permit } from './authorize.ts';
import type { Exchange } from './exchange.ts';
import { isAfter, linkTo, pageOf } from './paging.ts';
import { reply } from './reply.ts';
import { location } from './request.ts';

/** GET (end points 8a and 8b). */
export async function listTags(exchange: Exchange, { repository }: { repository: string }): Promise<void> {
  const { config, namespace, target } = exchange;
  await permit(exchange, { action: 'pull', repository });
  const { n, last } = pageOf(target.query);
  const all = await config.storage.listTags(namespace, repository);
  if (all === undefined) throw new Refusal(404, 'NAME_UNKNOWN', 'there is no such repository');
  const rest = all.filter((tag) => isAfter(tag, last));
  const tags = n === undefined ? rest : rest.slice(0, n);
  const end = tags.at(-1);
  const link =
    n !== undefined && end !== undefined && tags.length < rest.length
      ? { Link: linkTo(location(target, repository, 'tags', 'list'), n, end) }
      : {};
  reply(exchange, 200, link, { name: repository, tags });
}
