// docs/reference/disk-format.md

import type { HeaderPairs, ResponseHead } from '../http/body.ts';
import type { Digest } from '../http/digest.ts';
import type { EntryInfo, Key } from './cache.ts';
import { sealed } from './seal.ts';

const FORMAT = 1;

/** What is kept of an entry beside its body. Immutable: a new body comes with a new record. */
export interface EntryRecord extends EntryInfo {
  head: ResponseHead;
  /** Which fill wrote the body; part of its file name. */
  fill: string;
}

/** One JSON object, whose last member is a checksum of all that stands before it. */
export function encodeRecord(record: EntryRecord): Buffer {
  return Buffer.from(sealed({ format: FORMAT, ...record }));
}

/** What a record takes at most, in bytes, before its digests are known. */
export function recordBytes(key: Key, head: ResponseHead, tags: readonly string[]): number {
  const longest = Number.MAX_SAFE_INTEGER;
  const record = { key, head, tags: [...tags], size: longest, storedAt: longest, digests: [], fill: '' };
  return encodeRecord(record).byteLength + 1024;
}

/** The record, or undefined where the bytes are damaged, cut short, or of a format that this version does not know. */
export function decodeRecord(bytes: Uint8Array): EntryRecord | undefined {
  const text = Buffer.from(bytes).toString();
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(content)) return undefined;
  const { checksum: _, ...rest } = content;
  // Letter by letter: what JSON does not mind (a space at the end, \u001F for \u001f) is damage all the same.
  if (rest['format'] !== FORMAT || text !== sealed(rest)) return undefined;
  const { key, head, size, digests, storedAt, tags, fill } = rest;
  if (!isKey(key) || !isHead(head) || !isDigests(digests) || !isStrings(tags)) return undefined;
  if (
    !Number.isSafeInteger(size) ||
    (size as number) < 0 ||
    typeof storedAt !== 'number' ||
    typeof fill !== 'string'
  )
    return undefined;
  return { key, head, size: size as number, digests, storedAt, tags, fill };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isKey(value: unknown): value is Key {
  return (
    isObject(value) &&
    typeof value['primary'] === 'string' &&
    ['string', 'undefined'].includes(typeof value['variant'])
  );
}

function isHead(value: unknown): value is ResponseHead {
  if (!isObject(value) || typeof value['status'] !== 'number') return false;
  const { headers, removed = [], merged = [], statusMessage = '' } = value;
  return isPairs(headers) && isStrings(removed) && isStrings(merged) && typeof statusMessage === 'string';
}

function isPairs(value: unknown): value is HeaderPairs {
  return Array.isArray(value) && value.every((pair) => isStrings(pair) && pair.length === 2);
}

function isDigests(value: unknown): value is Digest[] {
  return (
    Array.isArray(value) &&
    value.every(
      (each) => isObject(each) && typeof each['algorithm'] === 'string' && typeof each['hex'] === 'string',
    )
  );
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
