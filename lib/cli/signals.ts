// docs/guides/command-line.md

import type { Serving } from './serving.ts';

/** Exit codes of a command that a second signal ends. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/** The first signal of either kind asks for an orderly end, the second one for an end. */
export function stopOnSignals(serving: Serving, timeoutMs: number): void {
  let stopping = false;
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (stopping) process.exit(code);
      stopping = true;
      stop(serving, signal, timeoutMs);
    });
  }
}

function stop(serving: Serving, signal: string, timeoutMs: number): void {
  const running = serving.running();
  const closing = serving.close();
  console.log(`cache-filter: ${signal}, finishing ${running} requests within ${timeoutMs / 1000} s`);
  closing.then(
    (cut) => {
      if (cut > 0) console.error(`cache-filter: ${cut} requests were cut off`);
      process.exit(0);
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
}

/** For work that can be left: the first signal aborts `signal`, the second one ends the process. */
export function abortOnSignals(): { signal: AbortSignal; code: () => number | undefined } {
  const interrupted = new AbortController();
  let code: number | undefined;
  for (const [signal, exitCode] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (interrupted.signal.aborted) process.exit(exitCode);
      code = exitCode;
      interrupted.abort();
    });
  }
  return { signal: interrupted.signal, code: () => code };
}
