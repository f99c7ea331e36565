// docs/reference/disk-format.md

import { closeSync, fstatSync } from 'node:fs';
import createDebug from 'debug';
import { CacheFilterError, IncompleteError, StoreError } from '../../errors.ts';
import type { Layout } from '../../fs/layout.ts';
import { Watches } from '../../fs/watches.ts';
import type { BodyEnd, ResponseHead } from '../../http/body.ts';
import type { FillReader, Key } from '../cache.ts';
import type { Begun } from './claim-text.ts';
import type { FileFill } from './file-fill.ts';
import { fillInfo, GrowingReader } from './fill-reader.ts';
import { Growing } from './growing.ts';
import type { ClaimState, OthersClaim } from './others.ts';
import { openBody, PIECE_BYTES, readPiece, sameBeginning } from './others-body.ts';
import { ReaderMark } from './reader-mark.ts';
import { type Heir, Succession } from './succession.ts';

const debug = createDebug('cache-filter:fill');

/** How often it is looked at, should the file system tell nothing; in milliseconds. */
const POLL_MS = 50;

/** How long readers wait for somebody to go on with what lost its writer, in milliseconds. */
const ORPHAN_WAIT_MS = 5_000;

/** What a foreign fill asks of those who know the other fills. */
export interface ForeignOwner {
  layout: Layout;
  modes: { file: number };
  /** Who fetches the key now, other than this process, or has stored it since that time; undefined: nobody. */
  next(since: number): Promise<OthersClaim | undefined>;
  /** Somebody here would go on with it: resolves to undefined where another process does. */
  succeed(fill: ForeignFill, heir: Heir): Promise<'succeeded' | 'declined' | 'beaten'>;
  /** The process that owned the claim of this fill is dead. */
  died(fill: string): void;
  /** It went before it began. */
  vanished(): void;
  /** Nobody may join any more. */
  ended(): void;
}

/**
 * The fill of another process, or one that somebody else in this process has begun anew, read from its growing file. Where its writer is
 * lost, one of those who read goes on with it.
 */
export class ForeignFill {
  readonly key: Key;
  /** Resolves when the head is there; to false where there will be none. */
  readonly begun: Promise<boolean>;
  readonly succession: Succession = new Succession();
  readonly #owner: ForeignOwner;
  #claim: OthersClaim;
  #mark: ReaderMark;
  #begin!: (begun: boolean) => void;
  #from: Begun | undefined;
  #growing: Growing | undefined;
  /** Of the body. */
  #fd: number | undefined;
  /** Of those whose writers were lost: reads of them may still run. */
  readonly #former: number[] = [];
  #opening = false;
  #lost = false;
  /** Goes on with it in this process. */
  #successor: FileFill | undefined;
  #letGo: (() => void) | undefined;
  readonly #watches: Watches = new Watches(() => this.#look());
  readonly #timer: NodeJS.Timeout;
  #marked: Promise<void> = Promise.resolve();
  #users = 0;
  #over = false;

  constructor(key: Key, claim: OthersClaim, owner: ForeignOwner) {
    this.key = key;
    this.#claim = claim;
    this.#owner = owner;
    this.#mark = new ReaderMark(owner.layout, claim, owner.modes.file);
    this.begun = new Promise((resolve) => {
      this.#begin = resolve;
    });
    this.#timer = setInterval(this.#look, POLL_MS);
    this.#timer.unref();
    this.#watches.add(claim.path);
    // Whoever makes it is to know it first.
    queueMicrotask(this.#look);
  }

  /** Names under which it can be invalidated; once it has begun. */
  get tags(): readonly string[] {
    return this.#from?.tags ?? [];
  }

  /** What it began with; once it has. */
  get head(): ResponseHead {
    return (this.#from as Begun).head;
  }

  get begunWith(): Begun {
    return this.#from as Begun;
  }

  /** What there is of it. */
  get growing(): Growing {
    return this.#growing as Growing;
  }

  /** A reader for somebody who comes along; undefined where it is over. */
  join(): FillReader | undefined {
    if (this.#successor !== undefined) return this.#successor.join();
    if (this.#over || this.#growing === undefined || this.#growing.end !== undefined) return undefined;
    this.#users++;
    this.beat();
    let released = false;
    const { storedAt, tags, version } = this.begunWith;
    return new GrowingReader(this.#growing, (...args) => this.#read(...args), {
      head: this.head,
      info: fillInfo(this.key, { storedAt, tags, ...(version === undefined ? {} : { version }) }),
      succession: this.succession,
      released: () => {
        if (released) return;
        released = true;
        this.#leave();
      },
    });
  }

  /** Tells the process that writes it that somebody reads along. */
  beat(): void {
    if (this.#users === 0 || this.#over || this.#lost) return;
    const mark = this.#mark;
    this.#marked = this.#marked.then(() => mark.set()).catch(() => undefined);
  }

  /** Copies what there is to another file. @throws StoreError */
  async copy(write: (bytes: Uint8Array, position: number) => Promise<void>): Promise<void> {
    const end = this.growing.taken;
    for (let at = 0; at < end; ) {
      const piece = await this.#read(at, Math.min(PIECE_BYTES, end - at));
      await write(piece, at);
      at += piece.byteLength;
    }
  }

  /** From now on it is read from this one, which has all that was there. */
  becomes(successor: FileFill): void {
    this.#successor = successor;
    this.#letGo = successor.hold();
    this.#unmark();
    this.#stop();
    if (this.#users === 0) this.#close();
  }

  fail(error: Error): void {
    this.#finish('failed', error);
  }

  /** Who was to go on does not. */
  again(): void {
    this.#lose(new IncompleteError('nobody goes on with what another process began'));
  }

  readonly #look = (): void => {
    if (this.#over || this.#lost) return;
    try {
      this.#see(this.#claim.look());
    } catch (error) {
      debug('%s can not be followed: %o', this.key.primary, error);
      this.#lose(new StoreError('the fill of another process can not be read', { cause: error }));
    }
  };

  #see({ text, record, pending, alive, ended, named }: ClaimState): void {
    const growing = this.#growing;
    if (!alive) this.#owner.died(this.#claim.fill);
    if (growing === undefined) {
      const begun = text?.begun ?? record;
      if (begun !== undefined) this.#open(begun).catch(() => this.#vanish());
      else if (ended !== undefined) this.#finish('failed');
      else if (!named || !alive) this.#vanish();
      return;
    }
    // The file before its end: what the claim says was true of a file that was at least as long.
    growing.grow(fstatSync(this.#fd as number).size);
    if (record !== undefined && growing.taken !== record.size) {
      this.#finish('failed', new StoreError(`a fill has ${growing.taken} of ${record.size} bytes`));
    } else if (record !== undefined && !pending) {
      // Without a name it was purged meanwhile.
      this.#finish(named ? 'complete' : 'superseded');
    } else if (ended === 'failed') {
      this.#finish('failed', new IncompleteError('the process that fetched the body gave up'));
    } else if (ended === 'orphaned' || !alive) {
      this.#lose(new IncompleteError('the process that fetched the body is gone'));
    }
  }

  /** The head is there, and so is the file of the body. */
  async #open(begun: Begun): Promise<void> {
    if (this.#opening) return;
    this.#opening = true;
    const { name, fill } = this.#claim;
    const { layout } = this.#owner;
    const fd = await openBody(layout, this.#claim);
    if (fd === undefined || this.#over) {
      if (fd !== undefined) closeSync(fd);
      this.#vanish();
      return;
    }
    this.#fd = fd;
    this.#from = begun;
    this.#growing = new Growing(begun.size);
    this.#watches.add(layout.incompleteBody(name, fill));
    this.#begin(true);
    // It may be over already: who has waited for it joins first.
    setImmediate(this.#look);
  }

  /** Before it was known what it is. */
  #vanish(): void {
    if (!this.#over) this.#owner.vanished();
    this.#finish('failed');
  }

  /** Its writer can't go on: somebody here does, or somebody elsewhere, or it fails. */
  #lose(error: Error): void {
    if (this.#growing === undefined) {
      this.#vanish();
      return;
    }
    this.#lost = true;
    this.#unmark();
    this.#goOn(error).catch((failure: unknown) => {
      const known = failure instanceof CacheFilterError ? failure : error;
      this.#finish('failed', known);
    });
  }

  async #goOn(error: Error): Promise<void> {
    let until = Date.now() + ORPHAN_WAIT_MS;
    while (!this.#over && Date.now() < until) {
      const next = await this.#owner.next(this.begunWith.storedAt);
      const heir = next === undefined ? this.succession.next() : undefined;
      if (next !== undefined) {
        if (await this.#follow(next)) return;
        until = Date.now() + ORPHAN_WAIT_MS;
      } else if (heir !== undefined) {
        const outcome = await this.#owner.succeed(this, heir);
        if (outcome === 'succeeded') return;
        if (outcome === 'declined') break;
        this.succession.takeBack(heir);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    this.#finish('orphaned', error);
  }

  /** Another process has gone on, or begun anew: what was handed out must be the beginning of what it has. False: it gave way, or came to nothing. */
  async #follow(claim: OthersClaim): Promise<boolean> {
    const { size, head } = this.begunWith;
    try {
      const fd = await sameBeginning(this.#owner.layout, claim, {
        head,
        size,
        bytes: this.growing.taken,
        read: (position, length) => this.#read(position, length),
        isOver: () => this.#over,
      });
      if (fd !== undefined && !this.#over) {
        this.#adopt(claim, fd);
        return true;
      }
      if (fd !== undefined) closeSync(fd);
      claim.close();
      return this.#over;
    } catch (failure) {
      claim.close();
      throw failure;
    }
  }

  #adopt(claim: OthersClaim, fd: number): void {
    const before = this.#fd;
    this.#claim.close();
    this.#claim = claim;
    this.#mark = new ReaderMark(this.#owner.layout, claim, this.#owner.modes.file);
    this.#fd = fd;
    if (before !== undefined) this.#former.push(before);
    this.#watches.close();
    this.#watches.add(claim.path);
    this.#watches.add(this.#owner.layout.incompleteBody(claim.name, claim.fill));
    this.#lost = false;
    this.beat();
    this.#look();
  }

  async #read(position: number, length: number, into?: Buffer): Promise<Uint8Array> {
    if (this.#successor !== undefined) return this.#successor.read(position, length, into);
    // A descriptor in use must not be closed: its number would soon be somebody else's.
    this.#users++;
    try {
      return await readPiece(this.#fd as number, position, length, into);
    } finally {
      this.#leave();
    }
  }

  #finish(end: BodyEnd, error?: Error): void {
    if (this.#over) return;
    this.#stop();
    if (this.#successor === undefined) this.#growing?.finish(end, error);
    this.#begin(false);
    this.#owner.ended();
    if (this.#users === 0) this.#close();
  }

  /** There is nothing more to be seen of the other process. */
  #stop(): void {
    this.#over = true;
    clearInterval(this.#timer);
    this.#watches.close();
  }

  #leave(): void {
    if (--this.#users > 0) return;
    // Nobody reads: who comes next starts at the beginning.
    if (this.#over) this.#close();
  }

  #close(): void {
    this.#unmark();
    this.#claim.close();
    for (const fd of this.#former.splice(0)) closeSync(fd);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#letGo?.();
    this.#letGo = undefined;
  }

  #unmark(): void {
    const mark = this.#mark;
    this.#marked = this.#marked.then(() => mark.remove()).catch(() => undefined);
  }
}
