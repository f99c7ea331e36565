import { fileURLToPath } from 'node:url';

const isBuilt = process.env['CACHE_FILTER_TEST_COMMAND'] === 'dist';
const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/**
 * `cache-filter` as a program and its first arguments. Where `dist/` is what `lib/` is, as run.mjs has found, it is what users have
 * installed, which is there in a fourth of the time.
 */
export const COMMAND: readonly [program: string, ...first: string[]] = isBuilt
  ? [process.execPath, path('dist/cli/main.js')]
  : [process.execPath, '--import', 'tsx', path('lib/cli/main.ts')];

/** The environment it needs: that of the tests, without what they load. */
export const COMMAND_ENV: NodeJS.ProcessEnv = isBuilt ? { ...process.env, NODE_OPTIONS: '' } : process.env;
