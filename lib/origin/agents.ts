import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';

/** What an agent is given to find a connection for. Node documents no more of it than that agents may be subclassed. */
interface AddsRequests {
  addRequest(request: http.ClientRequest, ...rest: unknown[]): void;
  getName(options?: object): string;
}

/** What ends an idle connection on which something comes: nobody asked, so it would be taken for the answer to the next request. */
const UNASKED: (this: Duplex) => void = function () {
  this.destroy();
};

class KeepingHttpAgent extends http.Agent {
  override keepSocketAlive(socket: Duplex): boolean {
    return guarded(socket, super.keepSocketAlive(socket) as unknown as boolean);
  }

  override reuseSocket(socket: Duplex, request: http.ClientRequest): void {
    socket.removeListener('data', UNASKED);
    super.reuseSocket(socket, request);
  }
}

class KeepingHttpsAgent extends https.Agent {
  override keepSocketAlive(socket: Duplex): boolean {
    return guarded(socket, super.keepSocketAlive(socket) as unknown as boolean);
  }

  override reuseSocket(socket: Duplex, request: http.ClientRequest): void {
    socket.removeListener('data', UNASKED);
    super.reuseSocket(socket, request);
  }
}

/** An agent that keeps connections. How many there are is not its business. */
export function keepingAgent(protocol: string): http.Agent {
  return protocol === 'https:'
    ? new KeepingHttpsAgent({ keepAlive: true })
    : new KeepingHttpAgent({ keepAlive: true });
}

/**
 * The same agent, for one request: `tap` gets it before it is sent, and before node-fetch has it.
 *
 * @param fresh it does not go over a connection that was kept; those that there are to its host are ended
 */
export function tapped(
  agent: http.Agent,
  fresh: boolean,
  tap: (request: http.ClientRequest) => void,
): http.Agent {
  const adds = agent as unknown as AddsRequests;
  return Object.create(agent, {
    addRequest: {
      value(request: http.ClientRequest, ...rest: unknown[]): void {
        if (fresh) {
          const name = adds.getName(rest[0] as object | undefined);
          for (const socket of [...(agent.freeSockets[name] ?? [])]) socket.destroy();
        }
        tap(request);
        adds.addRequest(request, ...rest);
      },
    },
  }) as http.Agent;
}

function guarded(socket: Duplex, kept: boolean): boolean {
  if (kept) socket.on('data', UNASKED);
  return kept;
}
