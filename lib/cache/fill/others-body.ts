import { closeSync, fstatSync, open as openFile, read as readFile } from 'node:fs';
import { promisify } from 'node:util';
import { IntegrityError, StoreError } from '../../errors.ts';
import { isMissing } from '../../fs/files.ts';
import type { Layout } from '../../fs/layout.ts';
import type { ResponseHead } from '../../http/body.ts';
import { isSameRepresentation } from '../../http/representation.ts';
import type { OthersClaim } from './others.ts';
import type { ReadStored } from './reader.ts';

const openFd = promisify(openFile);
const pread = promisify(readFile);

/** So much is read at a time where a body is copied or compared. */
export const PIECE_BYTES: number = 1024 * 1024;

/** From one look at a body that is being compared to the next, in milliseconds. */
const LOOK_MS = 20;

/** What was handed out of a body whose writer was lost. */
export interface Beginning {
  head: ResponseHead;
  size: number | undefined;
  /** How much there is of it. */
  bytes: number;
  read: ReadStored;
  /** Nobody wants to know any more. */
  isOver(): boolean;
}

/**
 * The body that another claim is for, once all of the beginning is in it, open; undefined where that claim came to nothing.
 * @throws IntegrityError where it is another body
 */
export async function sameBeginning(
  layout: Layout,
  claim: OthersClaim,
  { head, size, bytes, read, isOver }: Beginning,
): Promise<number | undefined> {
  let fd: number | undefined;
  try {
    for (let equal = 0; !isOver(); ) {
      const { text, record, ended, alive, named } = claim.look();
      const begun = text?.begun ?? record;
      if (begun !== undefined && !isSameRepresentation({ head, size: size ?? begun.size }, begun))
        throw new IntegrityError('what another process fetches now is another representation');
      if (begun !== undefined) fd ??= await openBody(layout, claim);
      if (fd !== undefined) equal = await compare({ from: equal, to: bytes, read }, fd);
      if (fd !== undefined && equal === bytes) return fd;
      // Without a name before it began: it gave way to another.
      const isVain = begun === undefined && !named;
      if (isVain || record !== undefined || ended !== undefined || !alive) break;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    throw error;
  }
  if (fd !== undefined) closeSync(fd);
  return undefined;
}

/** The body that belongs to a claim, wherever it lies by now; undefined where it has gone. */
export async function openBody(
  layout: Layout,
  { name, fill }: Pick<OthersClaim, 'name' | 'fill'>,
): Promise<number | undefined> {
  return (await openIfThere(layout.incompleteBody(name, fill))) ?? openIfThere(layout.body(name, fill));
}

/** At least one byte at the position. @throws StoreError where there is none */
export async function readPiece(
  fd: number,
  position: number,
  length: number,
  into: Buffer = Buffer.allocUnsafeSlow(length),
): Promise<Uint8Array> {
  const { bytesRead, buffer } = await pread(fd, into, 0, length, position);
  if (bytesRead === 0) throw new StoreError(`the file of a fill ends at ${position} bytes`);
  return buffer.subarray(0, bytesRead);
}

/** Up to which position the file is the same, as far as it goes. @throws IntegrityError */
async function compare(
  { from, to, read }: { from: number; to: number; read: ReadStored },
  fd: number,
): Promise<number> {
  let at = from;
  for (const there = Math.min(to, fstatSync(fd).size); at < there; ) {
    const length = Math.min(PIECE_BYTES, there - at);
    const [ours, theirs] = await Promise.all([read(at, length), readPiece(fd, at, length)]);
    const count = Math.min(ours.byteLength, theirs.byteLength);
    if (Buffer.compare(ours.subarray(0, count), theirs.subarray(0, count)) !== 0)
      throw new IntegrityError('what another process fetches now is not what came before');
    at += count;
  }
  return at;
}

async function openIfThere(path: string): Promise<number | undefined> {
  return openFd(path, 'r').catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
}
