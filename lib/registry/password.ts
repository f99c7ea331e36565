import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { OptionError } from '../errors.ts';

const derive = promisify<Buffer, Buffer, number, object, Buffer>(scrypt);

/** A password as it is kept: `$scrypt$N=32768,r=8,p=1$<salt>$<hash>`, the last two in Base64. */
export interface PasswordHash {
  N: number;
  r: number;
  p: number;
  salt: Buffer;
  hash: Buffer;
}

/** 128 * N * r bytes are needed for each password that is looked at: 32 MiB. */
const DEFAULT = { N: 2 ** 15, r: 8, p: 1 } as const;
const MOST_MEMORY = 256 * 2 ** 20;
const HASH_BYTES = 32;

const FORM =
  /^\$scrypt\$N=(\d{1,8}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2})$/;

/**
 * What to keep of a password (scrypt, RFC 7914).
 * @param cost N, a power of two; less is for tests
 * @throws OptionError
 */
export async function hashPassword(password: string, cost: number = DEFAULT.N): Promise<string> {
  if (typeof password !== 'string' || password === '')
    throw new OptionError('password', 'password must be a text of one character or more');
  const { r, p } = DEFAULT;
  const salt = randomBytes(16);
  const hash = await derived(password, { N: cost, r, p, salt }, HASH_BYTES);
  return `$scrypt$N=${cost},r=${r},p=${p}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/** Undefined for what `hashPassword` can't have made. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const [matched, n, rs, ps, salt = '', hash = ''] = FORM.exec(text) ?? [];
  const [N, r, p] = [Number(n), Number(rs), Number(ps)];
  if (matched === undefined || N < 2 || (N & (N - 1)) !== 0 || r < 1 || p < 1 || p > 16) return undefined;
  if (128 * N * r > MOST_MEMORY) return undefined;
  const parsed = { N, r, p, salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
  return parsed.salt.byteLength >= 8 && parsed.hash.byteLength >= 16 ? parsed : undefined;
}

/** One that no password has, which takes as long to look at as another one. */
export function dummyHash({ N, r, p }: Pick<PasswordHash, 'N' | 'r' | 'p'> = DEFAULT): PasswordHash {
  return { N, r, p, salt: randomBytes(16), hash: randomBytes(HASH_BYTES) };
}

/** In a time that says nothing of either. */
export async function isPassword(password: string, known: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derived(password, known, known.hash.byteLength), known.hash);
}

function derived(
  password: string,
  { N, r, p, salt }: Omit<PasswordHash, 'hash'>,
  bytes: number,
): Promise<Buffer> {
  const maxmem = 128 * N * r * 2 + 2 ** 20;
  return derive(Buffer.from(password.normalize('NFC')), salt, bytes, { N, r, p, maxmem });
}
