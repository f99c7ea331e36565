// docs/reference/disk-format.md

import type { HeaderPairs, ResponseHead } from '../http/body.ts';
import type { Digest } from '../http/digest.ts';
import type { EntryInfo, FillOptions, Key } from './cache.ts';
import { isObject, seal, unseal } from './seal.ts';

const FORMAT = 1;

/** What is kept of an entry beside its body. Immutable: a new body comes with a new record. */
export interface EntryRecord extends EntryInfo {
  head: ResponseHead;
  /** Which fill wrote the body; part of its file name. */
  fill: string;
}

/** One JSON object, whose last member is a checksum of all that stands before it. */
export function encodeRecord(record: EntryRecord): Buffer {
  return seal({ format: FORMAT, ...record });
}

/** The record, or undefined where the bytes are damaged, cut short, or of a format that this version does not know. */
export function decodeRecord(bytes: Uint8Array): EntryRecord | undefined {
  const content = unseal(bytes);
  if (content?.['format'] !== FORMAT) return undefined;
  const { key, head, size, digests, storedAt, tags, version, fill } = content;
  if (!isKey(key) || !isHead(head) || !isDigests(digests) || !isStrings(tags)) return undefined;
  if (
    !Number.isSafeInteger(size) ||
    (size as number) < 0 ||
    typeof storedAt !== 'number' ||
    !['string', 'undefined'].includes(typeof version) ||
    typeof fill !== 'string'
  )
    return undefined;
  const common = { key, head, size: size as number, digests, storedAt, tags, fill };
  return typeof version === 'string' ? { ...common, version } : common;
}

/** What a record says of its entry. */
export function infoOf({ head: _, fill: __, ...info }: EntryRecord): EntryInfo {
  return info;
}

/** What a record takes at most, in bytes, before its digests are known. */
export function mostRecordBytes(
  key: Key,
  head: ResponseHead,
  { tags = [], version = '' }: FillOptions,
): number {
  const longest = Number.MAX_SAFE_INTEGER;
  const record = {
    key,
    head,
    tags: [...tags],
    size: longest,
    storedAt: longest,
    version,
    digests: [],
    fill: '',
  };
  return encodeRecord(record).byteLength + 1024;
}

/** As much as can be understood of a record that a newer version of this package has written. */
export interface NewerRecord {
  format: number;
  key?: Key;
  tags?: string[];
}

/** Undefined where the bytes are no record, a damaged one, or one that {@link decodeRecord} is for. */
export function decodeNewerRecord(bytes: Uint8Array): NewerRecord | undefined {
  const { format, key, tags } = unseal(bytes) ?? {};
  if (typeof format !== 'number' || !Number.isSafeInteger(format) || format <= FORMAT) return undefined;
  return { format, ...(isKey(key) ? { key } : {}), ...(isStrings(tags) ? { tags } : {}) };
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
