import type { FileHandle } from 'node:fs/promises';
import createDebug from 'debug';
import { SupersededError } from '../../errors.ts';
import { onDisk, writeAt } from '../../fs/files.ts';
import type { DigestAlgorithm } from '../../http/digest.ts';
import type { EntryInfo, Key } from '../cache.ts';
import type { ClaimFile } from '../fill/claim.ts';
import type { Begun } from '../fill/claim-text.ts';
import { publish } from '../fill/publish.ts';
import { remove } from '../leftovers.ts';
import type { BlockMap } from './block-map.ts';
import { FilePartialBody } from './file-partial-body.ts';
import type { PartsPlace } from './file-parts.ts';
import { chargeOfNone, infoOf, removeParts } from './parts-files.ts';
import { accountOf } from './resting-parts.ts';
import { encodeSum } from './sums-file.ts';

const debug = createDebug('cache-filter:store');

/** So much more than it needs is announced to other processes at a time, in bytes: the claim is not written for each block. */
const ANNOUNCED_BYTES = 16 * 2 ** 20;

interface Of {
  key: Key;
  begun: Begun & { size: number };
  map: BlockMap;
  file: FileHandle;
  /** Says which blocks are there. */
  sums: FileHandle;
  algorithms: readonly DigestAlgorithm[];
}

/** Parts that this process has: their files, their account, and the claim that says so. */
export class OwnParts {
  readonly claim: ClaimFile;
  readonly account: string;
  readonly body: FilePartialBody;
  readonly #place: PartsPlace;
  readonly #of: Of;
  readonly #close: (() => Promise<void>)[];
  #announced = 0;
  #bytes: number;
  #unhold: () => void = () => undefined;
  /** Its files have gone, or are the entry's. */
  #isGone = false;

  /** @param rest nobody uses it any more: does `work`, when it is its turn, which resolves to whether the parts are at rest */
  constructor(
    place: PartsPlace,
    {
      claim,
      of,
      rest,
    }: {
      claim: ClaimFile;
      of: Of;
      rest: (own: OwnParts, work: () => Promise<boolean>) => Promise<void>;
    },
  ) {
    const { key, begun, map, file, sums, algorithms } = of;
    this.claim = claim;
    this.account = accountOf(claim);
    this.#place = place;
    this.#of = of;
    this.#close = [file, sums].map((handle) => place.entries.openFiles.add(handle));
    this.#bytes = chargeOfNone(key, begun) + onDisk(map.bytes);
    this.body = new FilePartialBody({
      head: begun.head,
      info: infoOf(key, begun),
      algorithms,
      file,
      map,
      admit: (bytes) => this.#admit(onDisk(bytes)),
      attempt: place.attempt,
      note: async (block, sum) => {
        const { bytes, position } = encodeSum(block, sum);
        await place.attempt(() => writeAt(sums, bytes, position), bytes.byteLength);
      },
      unreadable: (why, error) => {
        if (error !== undefined) place.failed(error, 'read');
        place.damaged(claim.name, why, key);
      },
      publish: (info, blocks) => this.#publish(info, blocks),
      discard: () => this.#discard(),
      idle: () => {
        rest(this, () => this.#toRest()).catch((error: unknown) => debug('%o', error));
      },
    });
  }

  /** It can't be evicted while somebody has it. */
  hold(): void {
    this.#unhold = this.#place.entries.ledger.hold(this.account);
  }

  /** It was purged: it can't become an entry, and its files go when nobody uses it. */
  doom(): void {
    this.body.retire();
    void remove(this.claim.path);
  }

  /** Sets aside what a block takes, and writes it to the account. */
  async #admit(bytes: number): Promise<boolean> {
    const { ledger } = this.#place.entries;
    const wanted = this.#bytes + bytes;
    if (wanted > this.#announced) {
      this.#announced = Math.min(wanted + ANNOUNCED_BYTES, this.#most);
      // Of one that was purged there is nobody to read it.
      await this.claim.say({ reserved: this.#announced }).catch(() => undefined);
    }
    if (!(await ledger.reserve(bytes))) return false;
    ledger.unreserve(bytes);
    this.#bytes += bytes;
    ledger.accounts.grow(this.account, bytes);
    ledger.settle(0, bytes);
    return true;
  }

  get #most(): number {
    const { key, begun } = this.#of;
    return chargeOfNone(key, begun) + onDisk(begun.size);
  }

  async #publish(info: EntryInfo, blocks: Uint32Array): Promise<void> {
    const { layout, modes, durability, entries, stored } = this.#place;
    const { claim } = this;
    const { name, fill } = claim;
    const there = await entries.record(info.key);
    if (there !== undefined && there.storedAt > info.storedAt)
      throw new SupersededError('the key has been stored anew meanwhile');
    const record = { ...info, head: this.#of.begun.head, fill };
    const from = layout.part(name, fill, 'body');
    await entries.replace(
      { name, fill, size: info.size },
      () =>
        publish(layout, claim, { record, blocks, from }, { modes, durable: durability === 'commit' }).catch(
          (error: unknown) => {
            this.#place.failed(error, 'store');
            throw error;
          },
        ),
      () => this.#closeAccount(),
    );
    this.#isGone = true;
    await remove(layout.part(name, fill, 'sums'));
    await stored(name);
  }

  /** Takes all of it away; who reads it still has the open file. */
  async #discard(): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    await remove(this.claim.path);
    await removeParts(this.#place.layout, this.claim);
    this.#closeAccount();
  }

  #closeAccount(): void {
    this.#unhold();
    this.#place.entries.ledger.drop(this.account);
  }

  /** Whether somebody may take it over from now on. */
  async #toRest(): Promise<boolean> {
    const { body, claim } = this;
    if (body.isOver || body.isEmpty) await this.#discard();
    const said =
      this.#isGone || (await claim.say({ reserved: this.#bytes, ended: 'orphaned' }).catch(() => 'not'));
    if (said === 'not') await this.#discard();
    await claim.close().catch(() => undefined);
    for (const close of this.#close) await close();
    this.#unhold();
    return !this.#isGone;
  }
}
