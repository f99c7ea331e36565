/**
 * A preload that ends the process at a chosen step of what it does to the files of a cache, without a word in `lib/`:
 * `CRASH_AT='before rename entries/json 3'` is just before the third time that something is renamed to a record. A step is
 * `<when> <operation> <folder>/<extension>`, when is `before`, `within` (half of the bytes are written) or `after`. All steps are
 * counted, for whoever wants to know which there are. `CRASH_SIGNAL=SIGSTOP` only stops it there.
 */
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

/** @type {Record<string, number>} */
const counts = {};

const [, target = '', nth = '0'] = /^(.*) (\d+)$/.exec(process.env.CRASH_AT ?? '') ?? [];

/** Of open files, by their number. @type {Map<number, string>} */
const opened = new Map();

/** @param {unknown} path @returns {string | undefined} */
function kindOf(path) {
  const [, folder, shard, file] =
    /\/v\d+\/(entries|incomplete|invalid|queue)(\/[0-9a-f]{2})?(?:\/([^/]+))?$/.exec(String(path)) ?? [];
  if (folder === undefined) return undefined;
  if (file === undefined) return shard === undefined ? folder : `${folder}/`;
  return `${folder}/${file.slice(file.lastIndexOf('.') + 1)}`;
}

/** @param {string} when @param {string} operation @param {string} kind @returns {boolean} whether it is now */
function isNow(when, operation, kind) {
  const step = `${when} ${operation} ${kind}`;
  counts[step] = (counts[step] ?? 0) + 1;
  return step === target && counts[step] === Number(nth);
}

/** @param {string} when @param {string} operation @param {string} kind */
function pass(when, operation, kind) {
  if (isNow(when, operation, kind)) end();
}

function end() {
  process.kill(process.pid, process.env.CRASH_SIGNAL ?? 'SIGKILL');
}

/** @param {number} fd @param {any} bytes @param {unknown} position */
function tear(fd, bytes, position) {
  const whole = Array.isArray(bytes) ? Buffer.concat(bytes) : Buffer.from(bytes);
  fs.writeSync(fd, whole, 0, Math.floor(whole.length / 2), typeof position === 'number' ? position : null);
  end();
}

/** Operations on paths: what they change is the last path that they are given. */
const ON_PATHS = { rename: 1, link: 1, unlink: 0, mkdir: 0, rm: 0, truncate: 0, writeFile: 0, copyFile: 1 };

/** @param {any} flags */
function creates(flags) {
  return typeof flags === 'number'
    ? (flags & fs.constants.O_CREAT) !== 0
    : /^[wax]/.test(String(flags ?? 'r'));
}

if (isMainThread) {
  for (const [name, at] of Object.entries(ON_PATHS)) {
    const operations = /** @type {any} */ (promises);
    const original = operations[name];
    operations[name] = async (/** @type {any[]} */ ...args) => {
      const kind = kindOf(args[at]);
      if (kind === undefined) return original(...args);
      pass('before', name, kind);
      const result = await original(...args);
      pass('after', name, kind);
      return result;
    };
  }

  const { open } = promises;
  promises.open = async (path, flags, mode) => {
    const kind = kindOf(path);
    if (kind === undefined) return open(path, flags, mode);
    const isNew = creates(flags);
    if (isNew) pass('before', 'create', kind);
    const handle = await open(path, flags, mode);
    opened.set(handle.fd, kind);
    if (isNew) pass('after', 'create', kind);
    return handle;
  };

  const some = await open('/dev/null');
  const handles = Object.getPrototypeOf(some);
  await some.close();
  for (const name of ['write', 'writev', 'truncate', 'sync', 'datasync']) {
    const original = handles[name];
    handles[name] = async function (/** @type {any[]} */ ...args) {
      const kind = opened.get(this.fd);
      if (kind === undefined) return original.apply(this, args);
      pass('before', name, kind);
      if (name === 'write' && isNow('within', name, kind)) {
        const [bytes, from = 0, length = bytes.length - from, position] = args;
        tear(this.fd, bytes.subarray(from, from + length), position);
      }
      const result = await original.apply(this, args);
      pass('after', name, kind);
      return result;
    };
  }

  for (const name of /** @type {const} */ (['write', 'writev', 'ftruncate', 'fsync', 'fdatasync'])) {
    const operations = /** @type {any} */ (fs);
    const original = operations[name];
    operations[name] = (/** @type {any[]} */ fd, /** @type {any[]} */ ...args) => {
      const kind = opened.get(Number(fd));
      const done = args.at(-1);
      if (kind === undefined || typeof done !== 'function') return original(fd, ...args);
      pass('before', name, kind);
      if (name === 'writev' && isNow('within', name, kind)) tear(Number(fd), args[0], args[1]);
      return original(fd, ...args.slice(0, -1), (/** @type {any[]} */ ...results) => {
        if (results[0] === null) pass('after', name, kind);
        done(...results);
      });
    };
  }
  syncBuiltinESMExports();
}

/** @type {any} */ (globalThis)[Symbol.for('cache-filter.crash-points')] = counts;
