import http from 'node:http';
import https from 'node:https';

/** What an agent is given to find a connection for. Node documents no more of it than that agents may be subclassed. */
interface AddsRequests {
  addRequest(request: http.ClientRequest, ...rest: unknown[]): void;
}

/**
 * An agent that keeps connections.
 *
 * It also leaves it to Node to say whether a chunked response came to its end. node-fetch looks for itself when the connection closes:
 * for the last five bytes of what arrived, which trailers, or the borders of packets, make look different. It then ends a
 * response that is whole, if its reader is slow. It only looks where `headers` says chunked; everything else it takes from `rawHeaders`.
 */
export function keepingAgent(protocol: string): http.Agent {
  const agent =
    protocol === 'https:' ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true });
  const connecting = agent as unknown as AddsRequests;
  const addRequest = connecting.addRequest.bind(agent);
  connecting.addRequest = (request, ...rest) => {
    // Called before node-fetch has the request, so that this listener is the first one.
    request.once('response', ({ headers }) => {
      delete headers['transfer-encoding'];
    });
    addRequest(request, ...rest);
  };
  return agent;
}
