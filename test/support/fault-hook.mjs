/**
 * Loaded with `--import`: file operations fail as the operating system would have them fail, while `globalThis.storeFault` says so.
 * What fails is `{ code, writes, reads }`; it counts how often in `fired`.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';

/** @typedef {{ code: 'EIO', below: string, writes: boolean, reads: boolean, fired: number }} StoreFault */

/** @param {'reads' | 'writes'} kind @param {unknown} path @param {string} syscall @returns {NodeJS.ErrnoException | undefined} */
function fault(kind, path, syscall) {
  const set = /** @type {{ storeFault?: StoreFault }} */ (globalThis).storeFault;
  if (set === undefined || !set[kind]) return undefined;
  // Operations on descriptors have no path; in a process that has this hook they are the cache's.
  if (typeof path === 'string' && !path.startsWith(set.below)) return undefined;
  set.fired++;
  return Object.assign(new Error(`${set.code}: i/o error, ${syscall}`), {
    code: set.code,
    errno: -constants.errno[set.code],
    syscall,
  });
}

/** @param {Record<string, any>} of @param {string} name @param {(original: Function) => Function} make */
function patch(of, name, make) {
  const original = of[name];
  const patched = make(original);
  // What `promisify` goes by, for one.
  for (const key of Object.getOwnPropertySymbols(original))
    Object.defineProperty(
      patched,
      key,
      /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(original, key)),
    );
  of[name] = patched;
}

for (const [name, kind] of /** @type {const} */ ([
  ['read', 'reads'],
  ['writev', 'writes'],
])) {
  patch(fs, name, (original) => (/** @type {any[]} */ ...args) => {
    const error = fault(kind, undefined, name);
    if (error === undefined) return original(...args);
    process.nextTick(args.at(-1), error);
  });
}

const { O_CREAT } = fs.constants;

/** @param {unknown} flags @returns {'reads' | 'writes'} */
const kindOfOpening = (flags) =>
  (typeof flags === 'number' ? flags & O_CREAT : flags !== 'r') ? 'writes' : 'reads';

patch(
  fs.promises,
  'open',
  (original) =>
    async (/** @type {string} */ path, /** @type {unknown} */ flags = 'r', /** @type {any[]} */ ...more) => {
      const error = fault(kindOfOpening(flags), path, 'open');
      if (error !== undefined) throw error;
      return original(path, flags, ...more);
    },
);

const OPERATIONS = /** @type {const} */ ({
  reads: ['readFile', 'readdir'],
  writes: ['mkdir', 'rename', 'unlink', 'utimes'],
});
for (const kind of /** @type {const} */ (['reads', 'writes']))
  for (const name of OPERATIONS[kind])
    patch(/** @type {any} */ (fs.promises), name, (original) => async (/** @type {any[]} */ ...args) => {
      const error = fault(kind, args[0], name);
      if (error !== undefined) throw error;
      return original(...args);
    });

const handle = await fs.promises.open(process.execPath, 'r');
const prototype = Object.getPrototypeOf(handle);
await handle.close();
const METHODS = /** @type {const} */ ({
  reads: ['read', 'readFile'],
  writes: ['write', 'writeFile', 'truncate', 'sync', 'utimes'],
});
for (const kind of /** @type {const} */ (['reads', 'writes']))
  for (const name of METHODS[kind])
    patch(
      prototype,
      name,
      (original) =>
        /** @this {any} */ async function (/** @type {any[]} */ ...args) {
          const error = fault(kind, undefined, name);
          if (error !== undefined) throw error;
          return original.apply(this, args);
        },
    );

syncBuiltinESMExports();
