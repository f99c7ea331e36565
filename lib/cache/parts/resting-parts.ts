// docs/reference/disk-format.md

import { existsSync } from 'node:fs';
import { onDisk, unlink } from '../../fs/files.ts';
import { type Layout, primaryName, shardName } from '../../fs/layout.ts';
import type { Invalidation } from '../cache.ts';
import type { Begun } from '../fill/claim-text.ts';
import { concerns } from '../invalidation.ts';
import type { Ledger } from '../ledger.ts';
import { remove } from '../leftovers.ts';
import {
  chargeOfNone,
  findParts,
  listParts,
  type PartsFiles,
  type PartsId,
  readMap,
  removeParts,
} from './parts-files.ts';

/** How often it is looked what other processes have, in milliseconds. */
const LOOK_MS = 1_000;

interface RestingOwner {
  layout: Layout;
  ledger(): Ledger;
  /** Fill ids of those that this process has. */
  own: ReadonlySet<string>;
}

/** Parts that nobody has, in the account of every process that knows of them; and what those take that other processes have. */
export class RestingParts {
  readonly #owner: RestingOwner;
  /** By their fill. */
  readonly #known = new Map<string, PartsFiles>();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(owner: RestingOwner) {
    this.#owner = owner;
  }

  /** Somebody in this process is done with them; they have an account already. */
  add({ name, fill }: PartsId): void {
    this.#known.set(fill, { name, fill, hasClaim: true });
  }

  /** Brings the budget up to date. */
  look(): Promise<void> {
    if (performance.now() - this.#lookedAt < LOOK_MS) return Promise.resolve();
    return this.scan(false);
  }

  /** @param sweeping what is of no use to anybody is removed */
  scan(sweeping: boolean): Promise<void> {
    this.#looking ??= this.#look(sweeping).finally(() => {
      this.#looking = undefined;
      this.#lookedAt = performance.now();
    });
    return this.#looking;
  }

  /** For want of room, or because nobody has used them; undefined where the account is none of ours. */
  evict(account: string): Promise<void> | undefined {
    const files = parseAccount(account);
    if (files === undefined) return undefined;
    const { layout } = this.#owner;
    return unlink(layout.part(files.name, files.fill, 'claim')).then(async (isOurs) => {
      this.#known.delete(files.fill);
      // Otherwise somebody has taken them over, or away.
      if (isOurs) await removeParts(layout, files);
    });
  }

  /** Their claim has been taken away. */
  async forget(files: PartsId): Promise<void> {
    this.drop(files);
    await removeParts(this.#owner.layout, files);
  }

  /** Closes their account. */
  drop(files: PartsId): void {
    this.#known.delete(files.fill);
    this.#owner.ledger().drop(accountOf(files));
  }

  /** The directory is another one. */
  clear(): void {
    this.#known.clear();
  }

  /** Takes away the claims of what is to be invalidated, whosever they are. */
  async doom(what: Invalidation, since: number): Promise<void> {
    const { layout, own } = this.#owner;
    const name = 'key' in what ? layout.name(what.key, undefined) : undefined;
    // Somebody may take them over meanwhile, under another claim: until none has gone when it is to be removed.
    for (let again = true; again; ) {
      again = false;
      for (const files of await listParts(layout, name)) {
        if (!files.hasClaim || !(await this.#isMeant(files, what, since, name))) continue;
        if (!(await unlink(layout.part(files.name, files.fill, 'claim')))) again = true;
        else if (!own.has(files.fill)) await this.forget(files);
      }
    }
  }

  async #isMeant(
    files: PartsFiles,
    what: Invalidation,
    since: number,
    name: string | undefined,
  ): Promise<boolean> {
    if (name !== undefined && primaryName(files.name) !== name) return false;
    if (name !== undefined && since === Number.POSITIVE_INFINITY) return true;
    const { key, begun } = (await findParts(this.#owner.layout, files)).text ?? {};
    if (begun !== undefined && begun.storedAt > since) return false;
    // In doubt it is: that costs a fetch, not a wrong answer.
    return key === undefined || concerns(what, key, begun?.tags ?? ('tag' in what ? [what.tag] : []));
  }

  async #look(sweeping: boolean): Promise<void> {
    const { layout, own } = this.#owner;
    const seen = new Set<string>();
    let others = 0;
    for (const files of await listParts(layout)) {
      seen.add(files.fill);
      if (!own.has(files.fill) && !this.#known.has(files.fill))
        others += await this.#inspect(files, sweeping);
    }
    for (const files of [...this.#known.values()]) {
      const isThere = seen.has(files.fill) && existsSync(layout.part(files.name, files.fill, 'claim'));
      if (!isThere && !own.has(files.fill)) this.drop(files);
    }
    this.#owner.ledger().charge('parts', others);
  }

  /** Opens an account for what is at rest; what somebody else has takes so many bytes. */
  async #inspect(files: PartsFiles, sweeping: boolean): Promise<number> {
    const { layout, ledger, own } = this.#owner;
    const { name, fill } = files;
    const claim = layout.part(name, fill, 'claim');
    const { state, text } = await findParts(layout, files);
    if (state === 'living') return text?.reserved ?? 0;
    const begun = state === 'resting' ? (text?.begun as Begun & { size: number }) : undefined;
    const map = begun && (await readMap(layout, files, begun.size));
    if (own.has(fill)) return 0;
    if (text === undefined || begun === undefined || map === undefined) {
      if (sweeping) await remove(claim);
      if (sweeping) await removeParts(layout, files);
      return 0;
    }
    // It may have been taken over since.
    if (!existsSync(claim)) return 0;
    this.#known.set(fill, files);
    const bytes = chargeOfNone(text.key, begun) + onDisk(map.bytes);
    ledger().add(accountOf(files), bytes, fill, { usedAt: begun.storedAt });
    return 0;
  }
}

const PREFIX = 'parts:';

/** What the account of parts is called in the ledger; no entry has such a name. */
export function accountOf({ name, fill }: PartsId): string {
  return `${PREFIX}${name}.${fill}`;
}

/** How many of the ledger's accounts are of parts. */
export function countOf({ accounts }: Ledger): number {
  return [...accounts.inShard(shardName(PREFIX))].length;
}

function parseAccount(account: string): PartsFiles | undefined {
  if (!account.startsWith(PREFIX)) return undefined;
  const [name = '', fill = ''] = account.slice(PREFIX.length).split('.');
  return { name, fill, hasClaim: true };
}
