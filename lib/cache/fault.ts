// docs/operating/when-the-disk-fails.md

/** What an error says about the store as a whole. */
export type Fault =
  /** Nothing: it is about one file, or about what was asked. */
  | 'none'
  /** A file, or the directory that it should be in, is not there. */
  | 'missing'
  /** There is no room. */
  | 'full'
  /** The process, or the system, has as many files open as it may. */
  | 'descriptors'
  /** Nothing can be written at all. */
  | 'read-only'
  /** This user may not. */
  | 'forbidden'
  | 'broken';

const FAULTS: Readonly<Record<string, Fault>> = {
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EMFILE: 'descriptors',
  ENFILE: 'descriptors',
  EROFS: 'read-only',
  EIO: 'broken',
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  // The device or the server has gone, or was another one meanwhile.
  ENXIO: 'broken',
  ENODEV: 'broken',
  ESTALE: 'broken',
  ENOTCONN: 'broken',
  ETIMEDOUT: 'broken',
  EHOSTDOWN: 'broken',
  EBADF: 'broken',
  // The file system is damaged.
  EUCLEAN: 'broken',
};

/** An error may be wrapped so many times. */
const DEEPEST = 5;

/** What an error, or what caused it, says about the store. */
export function faultOf(error: unknown): Fault {
  let inner = error;
  for (let depth = 0; depth < DEEPEST && inner instanceof Error; depth++) {
    const { code = '' } = inner as NodeJS.ErrnoException;
    if (Object.hasOwn(FAULTS, code)) return FAULTS[code] as Fault;
    inner = inner.cause;
  }
  return 'none';
}

/** What was being done when the store failed: something new was stored, what is there was changed or removed, or read. */
export type Doing = 'store' | 'change' | 'read';

/** So many in a row are no accident. */
const MANY = 3;

/** Or so many within this time, in milliseconds, where each success may only have taken what the next one fails for. */
const CLOSE_MS = 10_000;

/**
 * What a failure calls for. 'look': whether the directories are still there. 'try': whether what is stored can be read at all.
 * 'no-writes': nothing more can be stored. 'down': it can't be read either.
 */
export type Verdict = 'nothing' | 'look' | 'try' | 'no-writes' | 'down';

/**
 * Judges failures. What is new goes to a place of our own choosing: where that fails, it fails for everybody, at once. One file that
 * can't be read, changed or removed may be damaged, or somebody else's: only several in a row, with no success between them, are the
 * store's.
 */
export class Judge {
  readonly #rows = new Map<Doing, number>();
  /** When there were too many open files, of late. */
  #shortages: number[] = [];

  /** It worked. */
  worked(doing: Doing): void {
    if (this.#rows.size > 0) this.#rows.delete(doing);
  }

  verdict(fault: Fault, doing: Doing): Verdict {
    if (fault === 'none') return 'nothing';
    if (fault === 'missing') return 'look';
    if (fault === 'descriptors') return this.#isScarce() ? 'no-writes' : 'nothing';
    if (fault === 'full' || fault === 'read-only' || doing === 'store') return 'no-writes';
    if (doing === 'read') return this.#inARow('read', fault === 'forbidden' ? 'try' : 'down');
    // Of a file that is somebody else's; where the directory is, nothing can be stored either.
    return fault === 'forbidden' ? 'nothing' : this.#inARow('change', 'no-writes');
  }

  #isScarce(): boolean {
    const now = performance.now();
    this.#shortages = [...this.#shortages.filter((at) => now - at < CLOSE_MS), now];
    if (this.#shortages.length < MANY) return false;
    this.#shortages = [];
    return true;
  }

  #inARow(what: Doing, verdict: Verdict): Verdict {
    const count = (this.#rows.get(what) ?? 0) + 1;
    this.#rows.set(what, count);
    if (count < MANY) return 'nothing';
    this.#rows.delete(what);
    return verdict;
  }
}
