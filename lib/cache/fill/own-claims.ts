import { randomBytes } from 'node:crypto';
import createDebug from 'debug';
import { unlink } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import type { Key } from '../cache.ts';
import type { Doing } from '../fault.ts';
import { ClaimFile } from './claim.ts';

const debug = createDebug('cache-filter:store');

/** What a claim takes on disk, in bytes. */
const CLAIM_BYTES = 4096;

interface ClaimsOwner {
  layout: Layout;
  modes: { file: number };
  attempt<T>(act: () => Promise<T>, bytes: number): Promise<T>;
  failed(error: unknown, doing: Doing): void;
}

/** The claims of this process, those of purged fills included, and what could not be removed of them and of their bodies. */
export class OwnClaims {
  readonly #owner: ClaimsOwner;
  readonly #claims = new Map<string, ClaimFile>();
  /** Fill ids of claims whose files are being created: they are not to be taken for somebody else's. */
  readonly #coming = new Set<string>();
  /** Purged, though the store would not let go of them: they are not to be published when it does. */
  readonly #revoked = new Set<string>();
  /** Paths of what could not be removed. */
  readonly #remains = new Set<string>();

  constructor(owner: ClaimsOwner) {
    this.#owner = owner;
  }

  get size(): number {
    return this.#claims.size;
  }

  /** Their fill ids. */
  get ids(): Set<string> {
    return new Set([...this.#coming, ...this.#claims.keys()]);
  }

  /** Whether a fill is one of theirs. */
  has(fill: string): boolean {
    return this.#claims.has(fill) || this.#coming.has(fill);
  }

  /** The fill ids of those that are not to be published. */
  get revoked(): ReadonlySet<string> {
    return this.#revoked;
  }

  [Symbol.iterator](): Iterator<ClaimFile> {
    return this.#claims.values();
  }

  /** @throws where the store can't */
  async create(key: Key): Promise<ClaimFile> {
    const { layout, modes, attempt } = this.#owner;
    const place = {
      name: layout.name(key.primary, key.variant),
      fill: randomBytes(8).toString('hex'),
    };
    this.#coming.add(place.fill);
    try {
      const claim = await attempt(() => ClaimFile.create(layout, place, key, modes.file), CLAIM_BYTES);
      this.#claims.set(claim.fill, claim);
      return claim;
    } finally {
      this.#coming.delete(place.fill);
    }
  }

  /** It has become a record. */
  published(claim: ClaimFile): void {
    this.#forget(claim);
  }

  async giveUp(claim: ClaimFile | undefined): Promise<void> {
    if (claim === undefined) return;
    await claim.close().catch(() => undefined);
    await this.remove(claim.path);
    // Until then it is not to be taken for that of somebody else.
    this.#forget(claim);
  }

  /** Takes it away, so that what it is for can't be published; it is still one of ours. */
  async revoke(claim: ClaimFile): Promise<void> {
    // One that was given up can't be published anyway, and nobody would forget it.
    if (this.#claims.has(claim.fill)) this.#revoked.add(claim.fill);
    await this.remove(claim.path);
  }

  /** Removes a file, now or when that is possible. Never rejects. */
  async remove(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      debug('%s stays behind: %o', path, error);
      this.#remains.add(path);
      this.#owner.failed(error, 'change');
    }
  }

  /** Removes what could not be removed before. */
  async removeRemains(): Promise<void> {
    for (const path of [...this.#remains]) {
      this.#remains.delete(path);
      await this.remove(path);
    }
  }

  /** Says that this process lives. */
  beat(): void {
    for (const claim of this.#claims.values()) claim.beat().catch(() => undefined);
  }

  #forget({ fill }: ClaimFile): void {
    this.#claims.delete(fill);
    this.#revoked.delete(fill);
  }
}
