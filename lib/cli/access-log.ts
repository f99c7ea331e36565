// docs/guides/command-line.md

import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * Writes one line when the response is over: method, target, status, bytes sent (the head included), milliseconds, Cache-Status.
 * A response that did not get to its end is marked `broken`.
 */
export function logAccess(req: IncomingMessage, res: ServerResponse, log: (line: string) => void): void {
  // Taken now: later in the chain `res` may be given another socket for a while.
  const { socket } = req;
  const { method, url } = req;
  const bytesBefore = socket.bytesWritten;
  const began = performance.now();
  res.once('close', () => {
    const parts = [
      method,
      url,
      res.headersSent ? res.statusCode : '-',
      socket.bytesWritten - bytesBefore,
      `${Math.round(performance.now() - began)}ms`,
      JSON.stringify(String(res.getHeader('cache-status') ?? '-')),
      ...(res.writableFinished ? [] : ['broken']),
    ];
    log(parts.join(' '));
  });
}
