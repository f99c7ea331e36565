import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** Of an index when it is unpacked, in bytes: several times what the largest archives have. */
const MAX_UNPACKED_BYTES: number = 512 * 2 ** 20;
/** Lines of an index that are longer are none of ours. */
const MAX_LINE_BYTES: number = 64 * 2 ** 10;

const [NEWLINE, RETURN, F, S] = [0x0a, 0x0d, 0x46, 0x53] as const;

/**
 * Each package of a Packages index, plain or gzip, with the SHA-256 of its file: 32 bytes. What is neither has none.
 * Rejects with what zlib says of damaged bytes, after those that were before the damage.
 */
export async function readPackages(
  index: Buffer,
  take: (filename: string, sha256: Buffer) => void,
): Promise<void> {
  const stanza = new Stanza(take);
  let rest: Buffer = Buffer.alloc(0);
  let isTooLong = false;
  let bytes = 0;
  for await (const chunk of unpacked(index)) {
    bytes += chunk.byteLength;
    if (bytes > MAX_UNPACKED_BYTES) break;
    const data = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, start)) {
      if (!isTooLong) stanza.line(data, start, data[end - 1] === RETURN ? end - 1 : end);
      isTooLong = false;
      start = end + 1;
    }
    rest = data.subarray(start);
    if (rest.byteLength > MAX_LINE_BYTES) {
      isTooLong = true;
      rest = Buffer.alloc(0);
    }
  }
  if (!isTooLong) stanza.line(rest, 0, rest.byteLength);
  stanza.end();
}

function unpacked(index: Buffer): AsyncIterable<Buffer> {
  if (index[0] === 0x1f && index[1] === 0x8b)
    return Readable.from([index]).pipe(createGunzip({ chunkSize: 256 * 2 ** 10 }));
  // Anything else that is no text begins otherwise: xz, say.
  const isText = index.subarray(0, 9).toString('latin1') === 'Package: ';
  return Readable.from(isText ? pieces(index) : []);
}

/** So that a large index does not hold everything else up. */
function* pieces(index: Buffer): Generator<Buffer> {
  for (let at = 0; at < index.byteLength; at += 2 ** 18) yield index.subarray(at, at + 2 ** 18);
}

class Stanza {
  readonly #take: (filename: string, sha256: Buffer) => void;
  #filename = '';
  #sha256 = '';

  constructor(take: (filename: string, sha256: Buffer) => void) {
    this.#take = take;
  }

  line(data: Buffer, start: number, end: number): void {
    if (end <= start) {
      this.end();
      return;
    }
    const first = data[start];
    // Of a few dozen lines two are wanted: the others are not even made strings of.
    if (first !== F && first !== S) return;
    const line = data.toString('latin1', start, end);
    if (line.startsWith('Filename: ')) this.#filename = line.slice(10).trim();
    else if (line.startsWith('SHA256: ')) this.#sha256 = line.slice(8).trim();
  }

  end(): void {
    if (this.#filename !== '' && /^[0-9a-f]{64}$/i.test(this.#sha256))
      this.#take(this.#filename.replace(/^\.\//, ''), Buffer.from(this.#sha256, 'hex'));
    this.#filename = '';
    this.#sha256 = '';
  }
}
