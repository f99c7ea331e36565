/** A preload that breaks one thing, so that a campaign can show that it would notice: `CRASH_PLANT=<name>`. */
import fs from 'node:fs/promises';
import { OutgoingMessage } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

/** Longer than it takes to commit and to answer, in milliseconds. */
const LATE_MS = 120;

const { rename, unlink } = fs;

/** @param {unknown} path @param {RegExp} what */
const is = (path, what) => what.test(String(path));

/** Each breaks what it is called after. @type {Record<string, () => Promise<void> | void>} */
export const PLANTS = {
  /** A record is there before its body. */
  'late-body': () => {
    fs.rename = async (from, to) => {
      if (!is(from, /\/incomplete\/[^/]*\.body$/) || !is(to, /\/entries\//)) return rename(from, to);
      setTimeout(() => rename(from, to).catch(() => undefined), LATE_MS);
    };
  },
  /** Half of a record is missing. */
  'torn-record': () => {
    fs.rename = async (from, to) => {
      if (is(to, /\/entries\/.*\.json$/) && Math.random() < 0.1) {
        await fs.truncate(from, Math.floor((await fs.stat(from)).size / 2));
      }
      await rename(from, to);
    };
  },
  /** A record that was purged stays. */
  'purged-record': () => {
    fs.rename = async (from, to) => {
      if (!is(to, /\.gone$/)) return rename(from, to);
      await fs.copyFile(from, to);
    };
  },
  /** The body of a purged, evicted or replaced entry stays. */
  'kept-body': () => {
    fs.unlink = async (path) => {
      if (!is(path, /\/entries\/.*\.body$/)) return unlink(path);
    };
  },
  /** What a killed process has left in the middle of a fill stays. */
  'no-sweep': () => {
    fs.unlink = async (path) => {
      if (!is(path, /\/incomplete\/.*\.(claim|body)$/)) return unlink(path);
    };
  },
  /** A byte is wrong now and then. */
  'wrong-byte': () => {
    const { write } = OutgoingMessage.prototype;
    /** @param {any} chunk @param {any[]} rest @this {any} */
    OutgoingMessage.prototype.write = function (chunk, ...rest) {
      if (chunk.length < 100 || Math.random() > 0.02) return Reflect.apply(write, this, [chunk, ...rest]);
      const wrong = Buffer.from(chunk);
      const at = Math.floor(Math.random() * wrong.length);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      return Reflect.apply(write, this, [wrong, ...rest]);
    };
  },
  /** A pin is said to be written down, and is not. */
  'lost-pin': async () => {
    const { open } = fs;
    fs.open = async (path, flags, mode) => {
      if (!is(path, /\.state$/)) return open(path, flags, mode);
      const nowhere = await open('/dev/null', 'r+');
      return Object.assign(nowhere, { sync: async () => undefined });
    };
  },
};

const planted = process.env.CRASH_PLANT ?? '';
if (isMainThread && planted !== '') {
  const plant = PLANTS[planted];
  if (plant === undefined) throw new Error(`CRASH_PLANT is one of ${Object.keys(PLANTS).join(', ')}`);
  await plant();
  syncBuiltinESMExports();
}
