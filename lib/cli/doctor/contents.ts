import { hostname } from 'node:os';
import { type Look, ok, warn } from './check.ts';
import { count, inUnits } from './size.ts';

/** What a cache that starts here finds. */
export const contents: Look = {
  name: 'contents',
  async look({ contents, maxBytes, missing }) {
    const found = await contents;
    const { entries, bytes, damaged, newer, incomplete, invalid, dead, strangers, leftovers } = found;
    const fact = [
      entries + incomplete + invalid === 0 && bytes === 0
        ? 'empty'
        : `${count(entries, 'entry', 'entries')}, ${inUnits(bytes)}`,
      incomplete > 0 && `${incomplete} incomplete`,
      invalid > 0 && `${invalid} invalid`,
      damaged > 0 && `${damaged} damaged`,
      dead > 0 && `${count(dead, 'claim')} of processes that have gone`,
    ]
      .filter((part) => part !== false)
      .join(', ');
    const measured = { entries, bytes, incomplete, invalid, damaged, deadClaims: dead };
    if (missing) return ok('nothing: there is no directory yet', measured);
    if (newer.length > 0) {
      return warn(
        `${fact}; of a newer format: ${newer.join(', ')}`,
        'this version can not read that; it counts for no budget of its own',
        'Run the newer version here, or delete what it left.',
        measured,
      );
    }
    if (strangers.length > 0) {
      return warn(
        `${fact}; not ours: ${strangers.join(', ')}`,
        'the cache leaves it alone, and does not count it',
        'Give the cache a directory of its own.',
        measured,
      );
    }
    if (leftovers.length > 0) {
      return warn(
        `${fact}; left behind by a doctor that was killed: ${leftovers.join(', ')}`,
        'the cache does not count it',
        'Delete it, unless another doctor is at work.',
        measured,
      );
    }
    if (damaged > 0) {
      return warn(
        fact,
        'damaged entries are misses, and are removed',
        'Nothing needs to be done; if it happens again, look after the disk.',
        measured,
      );
    }
    if (maxBytes !== undefined && bytes > maxBytes) {
      return warn(
        `${fact}, more than --max-bytes ${inUnits(maxBytes)}`,
        'a cache that starts here evicts the rest, the least recently used first',
        'Raise --max-bytes if that is to be kept.',
        measured,
      );
    }
    return ok(fact, measured);
  },
};

/** Whether somebody fills something at this moment. A cache that only answers can't be seen. */
export const inUse: Look = {
  name: 'in-use',
  async look({ contents }) {
    const { owners } = await contents;
    const here = hostname();
    const names = [
      ...new Set(
        owners.map((owner) => (owner ? `process ${owner.pid} on ${owner.host}` : 'an unknown process')),
      ),
    ];
    const hosts = [...new Set(owners.flatMap((owner) => (owner && owner.host !== here ? [owner.host] : [])))];
    const measured = { fills: owners.length, owners: names.join(', ') };
    if (owners.length === 0) return ok('no fill is running', measured);
    const fact = `in use: ${count(owners.length, 'running fill')}, by ${names.join(', ')}`;
    if (hosts.length === 0) return ok(fact, measured);
    return warn(
      fact,
      `${hosts.join(', ')} is not this host (${here}): several containers of one machine may share a directory, several machines may not`,
      'If it is another machine, give each its own directory.',
      measured,
    );
  },
};
