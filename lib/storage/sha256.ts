/** SHA-256 (FIPS 180-4) whose state can be written down, so that another process goes on with it: node:crypto keeps its own to itself. */

const BLOCK = 64;

/** The state of a hash between two bytes. */
export interface Sha256State {
  algorithm: 'sha256';
  /** How many bytes have been hashed. */
  bytes: number;
  /** What all whole blocks of 64 bytes have come to: 64 hex digits. */
  chaining: string;
  /** The bytes after the last whole block, in Base64. */
  tail: string;
}

/** The first bits of the fractional parts of roots of primes (FIPS 180-4, 4.2.2 and 5.3.3), computed rather than copied. */
function constants(count: number, power: 2n | 3n): Int32Array {
  const words = new Int32Array(count);
  for (let i = 0, candidate = 2; i < count; candidate++) {
    if (!isPrime(candidate)) continue;
    words[i++] = Number(BigInt.asIntN(32, root(BigInt(candidate) << (32n * power), power)));
  }
  return words;
}

function isPrime(candidate: number): boolean {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++)
    if (candidate % divisor === 0) return false;
  return true;
}

/** The integer part of a root, by Newton's method. */
function root(of: bigint, power: 2n | 3n): bigint {
  for (let guess = 1n << (BigInt(of.toString(2).length) / power + 1n); ; ) {
    const better = ((power - 1n) * guess + of / guess ** (power - 1n)) / power;
    if (better >= guess) return guess;
    guess = better;
  }
}

const K = constants(64, 3n);
const INITIAL = constants(8, 2n);

/** The message schedule; one block at a time is compressed. */
const W = new Int32Array(64);

export class Sha256 {
  readonly #chaining: Int32Array;
  readonly #tail = Buffer.alloc(BLOCK);
  #bytes: number;

  constructor() {
    this.#chaining = INITIAL.slice();
    this.#bytes = 0;
  }

  /** Goes on where another one was; undefined where that is no state. */
  static from(state: unknown): Sha256 | undefined {
    const { algorithm, bytes, chaining, tail } = (state ?? {}) as Partial<Sha256State>;
    if (algorithm !== 'sha256' || !Number.isSafeInteger(bytes) || (bytes as number) < 0) return undefined;
    if (typeof chaining !== 'string' || !/^[0-9a-f]{64}$/.test(chaining) || typeof tail !== 'string')
      return undefined;
    const rest = Buffer.from(tail, 'base64');
    if (rest.byteLength !== (bytes as number) % BLOCK || rest.toString('base64') !== tail) return undefined;
    const hash = new Sha256();
    hash.#bytes = bytes as number;
    hash.#chaining.set(words(Buffer.from(chaining, 'hex')));
    rest.copy(hash.#tail);
    return hash;
  }

  /** How many bytes have been hashed. */
  get bytes(): number {
    return this.#bytes;
  }

  get state(): Sha256State {
    return {
      algorithm: 'sha256',
      bytes: this.#bytes,
      chaining: hex(this.#chaining),
      tail: this.#tail.toString('base64', 0, this.#bytes % BLOCK),
    };
  }

  update(bytes: Uint8Array): void {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    const held = this.#bytes % BLOCK;
    this.#bytes += view.byteLength;
    if (held > 0) {
      at = view.copy(this.#tail, held, 0, BLOCK - held);
      if (held + at < BLOCK) return;
      compress(this.#chaining, this.#tail, 0);
    }
    for (; at + BLOCK <= view.byteLength; at += BLOCK) compress(this.#chaining, view, at);
    view.copy(this.#tail, 0, at);
  }

  /** In hex, of what has come so far: it can go on afterwards. */
  digest(): string {
    const held = this.#bytes % BLOCK;
    // A one, zeros, and the length in bits (FIPS 180-4, 5.1.1).
    const end = Buffer.alloc(held + 9 <= BLOCK ? BLOCK : 2 * BLOCK);
    this.#tail.copy(end, 0, 0, held);
    end[held] = 0x80;
    end.writeBigUInt64BE(BigInt(this.#bytes) * 8n, end.byteLength - 8);
    const chaining = this.#chaining.slice();
    for (let at = 0; at < end.byteLength; at += BLOCK) compress(chaining, end, at);
    return hex(chaining);
  }
}

function words(bytes: Buffer): Int32Array {
  return Int32Array.from({ length: bytes.byteLength / 4 }, (_, i) => bytes.readInt32BE(4 * i));
}

function hex(chaining: Int32Array): string {
  const bytes = Buffer.alloc(32);
  for (const [i, word] of chaining.entries()) bytes.writeInt32BE(word, 4 * i);
  return bytes.toString('hex');
}

/** FIPS 180-4, 6.2.2. The order of operations is that of the standard; only the eight variables change places by hand. */
function compress(chaining: Int32Array, block: Buffer, offset: number): void {
  for (let t = 0; t < 16; t++) {
    const at = offset + 4 * t;
    W[t] =
      ((block[at] as number) << 24) |
      ((block[at + 1] as number) << 16) |
      ((block[at + 2] as number) << 8) |
      (block[at + 3] as number);
  }
  for (let t = 16; t < 64; t++) {
    const x = W[t - 15] as number;
    const y = W[t - 2] as number;
    const sigma0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const sigma1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    W[t] = (sigma1 + (W[t - 7] as number) + sigma0 + (W[t - 16] as number)) | 0;
  }
  let a = chaining[0] as number;
  let b = chaining[1] as number;
  let c = chaining[2] as number;
  let d = chaining[3] as number;
  let e = chaining[4] as number;
  let f = chaining[5] as number;
  let g = chaining[6] as number;
  let h = chaining[7] as number;
  for (let t = 0; t < 64; t++) {
    const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + sum1 + ((e & f) ^ (~e & g)) + (K[t] as number) + (W[t] as number)) | 0;
    const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  chaining[0] = (chaining[0] as number) + a;
  chaining[1] = (chaining[1] as number) + b;
  chaining[2] = (chaining[2] as number) + c;
  chaining[3] = (chaining[3] as number) + d;
  chaining[4] = (chaining[4] as number) + e;
  chaining[5] = (chaining[5] as number) + f;
  chaining[6] = (chaining[6] as number) + g;
  chaining[7] = (chaining[7] as number) + h;
}
