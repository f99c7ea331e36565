import { onDisk } from '../fs/files.ts';
import { blocksFileBytes } from './blocks.ts';
import { STATE_BYTES } from './state.ts';

/** What an entry, or a fill that is to become one, costs of the budget: bytes on disk, its state and checksums included. */
export function charge(size: number, recordBytes: number): number {
  return onDisk(size) + onDisk(blocksFileBytes(size)) + onDisk(recordBytes) + onDisk(STATE_BYTES);
}
