/**
 * Answers every import of `lib/**.ts` with its build in `dist/`: `node --import ./test/support/dist-hook.mjs`.
 * Loading a file of `lib/` is an error then, so that no test can pass on the source by accident.
 */
import * as nodeModule from 'node:module';

const lib = new URL('../../lib/', import.meta.url).href;
const dist = new URL('../../dist/', import.meta.url).href;

/** @param {string} url */
function built(url) {
  return url.startsWith(lib) ? dist + url.slice(lib.length).replace(/\.ts(?=$|[?#])/, '.js') : url;
}

/** @param {string} url */
function refuseSource(url) {
  if (url.startsWith(lib)) throw new Error(`${url} was loaded from lib/ in a run against dist/`);
}

// The form that later versions of Node want; Node 20 has only `register`, which runs this file a second
// time in the thread that resolves modules.
if (nodeModule.registerHooks !== undefined) {
  nodeModule.registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      const url = built(found.url);
      return url === found.url ? found : { ...found, url, format: 'module' };
    },
    load(url, context, next) {
      refuseSource(url);
      return next(url, context);
    },
  });
} else if (!new URL(import.meta.url).searchParams.has('hooks')) {
  nodeModule.register(`${import.meta.url}?hooks`);
}

/** @type {import('node:module').ResolveHook} */
export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  const url = built(found.url);
  return url === found.url ? found : { ...found, url, format: 'module' };
}

/** @type {import('node:module').LoadHook} */
export async function load(url, context, next) {
  refuseSource(url);
  return next(url, context);
}
