import type { Socket } from 'node:net';
import { type AnyRequest, type AnyResponse, isHttp2 } from '../http/message.ts';
import { isGone } from './flow.ts';

/** Whom to tell when a connection closes. It gets one listener, however many requests wait for their turn on it. */
const waiting = new WeakMap<Socket, Set<() => void>>();

/** Calls `left` when the client leaves, now if it has already, and when its answer is over. */
export function onDeparture(req: AnyRequest, res: AnyResponse, left: () => void): void {
  if (isGone(res)) {
    left();
    return;
  }
  res.once('close', left);
  // An answer that still waits for its turn on the connection gets no `close` of its own, nor, once it was read, does the request.
  if (isHttp2(res) || res.socket !== null || !req.socket) return;
  const socket = req.socket as Socket;
  if (socket.destroyed) left();
  let told = waiting.get(socket);
  if (told === undefined) {
    told = new Set();
    const all = told;
    waiting.set(socket, all);
    socket.once('close', () => {
      for (const tell of all) tell();
    });
  }
  told.add(left);
  res.once('close', () => told.delete(left));
}
