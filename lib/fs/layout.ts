// docs/reference/disk-format.md

import { createHash } from 'node:crypto';
import { join } from 'node:path';

/** The format that this version writes; it is part of the path, so that formats can live side by side. */
const FORMAT = 'v1';

/** The files of one finished or unfinished body are told apart by a fill id: two fills never share a file. */
export interface FileName {
  name: string;
  fill: string | undefined;
  kind: 'json' | 'body' | 'blocks' | 'state' | 'claim' | 'gone' | 'reader';
}

/** Where everything lies below a cache directory. Keys are hashed, so nothing that a client sends becomes part of a path. */
export class Layout {
  readonly root: string;
  readonly entries: string;
  readonly incomplete: string;
  readonly invalid: string;
  readonly queue: string;
  /** Bodies of which only parts are there. */
  readonly parts: string;
  readonly tag: string;
  /** Held by who does what one of several processes has to do. */
  readonly upkeepLock: string;

  constructor(directory: string) {
    this.root = join(directory, FORMAT);
    this.entries = join(this.root, 'entries');
    this.incomplete = join(this.root, 'incomplete');
    this.invalid = join(this.root, 'invalid');
    this.queue = join(this.root, 'queue');
    this.parts = join(this.root, 'parts');
    this.tag = join(this.root, 'CACHEDIR.TAG');
    this.upkeepLock = join(this.root, 'upkeep.lock');
  }

  /** What the files of a key are called: variants share the primary key's name as prefix. */
  name(primary: string, variant: string | undefined): string {
    const name = sha256(primary);
    return variant === undefined || variant === '' ? name : `${name}-${sha256(variant).slice(0, 16)}`;
  }

  shard(name: string): string {
    return join(this.entries, shardName(name));
  }

  record(name: string): string {
    return join(this.shard(name), `${name}.json`);
  }

  body(name: string, fill: string): string {
    return join(this.shard(name), `${name}.${fill}.body`);
  }

  /** Checksums of the body's blocks. */
  blocks(name: string, fill: string): string {
    return join(this.shard(name), `${name}.${fill}.blocks`);
  }

  /** What changes about an entry while its body stays the same. */
  state(name: string, fill: string): string {
    return join(this.shard(name), `${name}.${fill}.state`);
  }

  /** What says that a key is to be fetched ahead of time. */
  marker(name: string): string {
    return join(this.queue, `${name}.json`);
  }

  claim(name: string, fill: string): string {
    return join(this.incomplete, `${name}.${fill}.claim`);
  }

  /** Where a record goes that is being removed. */
  gone(name: string, id: string): string {
    return join(this.incomplete, `${name}.${id}.gone`);
  }

  /** What says that other processes read a fill along. */
  reader(name: string, fill: string): string {
    return join(this.incomplete, `${name}.${fill}.reader`);
  }

  incompleteBody(name: string, fill: string): string {
    return join(this.incomplete, `${name}.${fill}.body`);
  }

  /** What belongs to a body of which only parts are there: whose they are, and what they are of; the file; which blocks of it are there. */
  part(name: string, fill: string, kind: PartName['kind']): string {
    return join(this.parts, shardName(name), `${name}.${fill}.${kind}`);
  }

  /** A body that was not what it should have been. */
  invalidBody(name: string, fill: string): string {
    return join(this.invalid, `${name}.${fill}.body`);
  }

  /** What was wrong with it. */
  invalidNote(name: string, fill: string): string {
    return join(this.invalid, `${name}.${fill}.json`);
  }
}

const PATTERN =
  /^([0-9a-f]{64}(?:-[0-9a-f]{16})?)(?:\.([0-9a-f]{16}))?\.(json|body|blocks|state|claim|gone|reader)$/;

/** What a file of ours is; undefined for one that isn't. */
export function parseFileName(file: string): FileName | undefined {
  const [, name, fill, kind] = PATTERN.exec(file) ?? [];
  if (name === undefined || kind === undefined || (kind === 'json') !== (fill === undefined))
    return undefined;
  return { name, fill, kind: kind as FileName['kind'] };
}

const INVALID = /^([0-9a-f]{64}(?:-[0-9a-f]{16})?)\.([0-9a-f]{16})\.(body|json)$/;

/** What a file in `invalid/` is; undefined for one that isn't ours. */
export function parseInvalidName(
  file: string,
): { name: string; fill: string; kind: 'body' | 'json' } | undefined {
  const [, name, fill, kind] = INVALID.exec(file) ?? [];
  if (name === undefined || fill === undefined) return undefined;
  return { name, fill, kind: kind as 'body' | 'json' };
}

const PART = /^([0-9a-f]{64}(?:-[0-9a-f]{16})?)\.([0-9a-f]{16})\.(claim|body|sums)$/;

/** A file in `parts/`. */
export interface PartName {
  name: string;
  fill: string;
  kind: 'claim' | 'body' | 'sums';
}

/** What a file in `parts/` is; undefined for one that isn't ours. */
export function parsePartName(file: string): PartName | undefined {
  const [, name, fill, kind] = PART.exec(file) ?? [];
  if (name === undefined || fill === undefined) return undefined;
  return { name, fill, kind: kind as PartName['kind'] };
}

/** What the directory is called that a name lies in. */
export function shardName(name: string): string {
  return name.slice(0, 2);
}

/** The name without its variant. */
export function primaryName(name: string): string {
  return name.slice(0, 64);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
