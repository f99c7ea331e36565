import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { certificate } from '../support/certificate.ts';
import type { Say } from './case.ts';

/** One response, as it stood on the wire. */
export interface Message {
  status: number;
  line: string;
  headers: string[];
  body: string;
  trailers: string[];
  /** It came to its end, as far as the protocol can tell. */
  complete: boolean;
}

/** All that came back for a request: every byte, and what it means. */
export interface Heard {
  text: string;
  messages: Message[];
}

export const SECRET: RegExp = /secret-\d+-end/g;

/** The secret that one call of a handler is given. */
export function secretOf(call: number): string {
  return `secret-${call}-end`;
}

export function secretsIn(text: string): string[] {
  return [...new Set(text.match(SECRET) ?? [])];
}

/** The bytes of a request of HTTP/1. */
function bytesOf(say: Say): string {
  if (say.raw !== undefined) return say.raw;
  const { method = 'GET', target = '/a', version = '1.1', body = '' } = say;
  const fields = { Host: 'localhost', Connection: 'close', ...say.headers };
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((line) => `${name}: ${line}`),
  );
  return [`${method} ${target} HTTP/${version}`, ...lines, '', body].join('\r\n');
}

/** Says it on a connection of its own, byte by byte as given, and hears the answer until the connection ends. */
export async function say(port: number, request: Say, tls: boolean): Promise<Heard> {
  const socket = await open(port, request, tls);
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (request.leaves && secretsIn(text).length > 0) socket.destroy();
  });
  socket.write(bytesOf(request), 'latin1');
  if (!socket.destroyed) await once(socket, 'close');
  return { text, messages: messagesOf(text, request.method === 'HEAD') };
}

async function open(port: number, { certificate: client }: Say, tls: boolean): Promise<Socket> {
  const socket = tls
    ? connectTls({
        port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        ...(client === undefined ? {} : certificate(client)),
      })
    : connect(port, '127.0.0.1');
  // What is cut off is an answer, too.
  socket.on('error', () => undefined);
  await Promise.race([once(socket, tls ? 'secureConnect' : 'connect'), once(socket, 'close')]);
  return socket;
}

/** The responses that stand in the bytes of a connection. */
function messagesOf(text: string, bodyless = false): Message[] {
  const messages: Message[] = [];
  let rest = text;
  while (rest.startsWith('HTTP/')) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [line = '', ...headers] = rest.slice(0, end).split('\r\n');
    rest = rest.slice(end + 4);
    const status = Number(line.split(' ')[1]);
    const length = fieldIn(headers, 'content-length');
    const message: Message = { status, line, headers, body: '', trailers: [], complete: true };
    if (status < 200 || bodyless || status === 204 || status === 304) {
      // A head is all there is.
    } else if (fieldIn(headers, 'transfer-encoding') === 'chunked') {
      rest = readChunks(rest, message);
    } else if (length !== undefined) {
      message.body = rest.slice(0, Number(length));
      message.complete = message.body.length === Number(length);
      rest = rest.slice(Number(length));
    } else {
      message.body = rest;
      rest = '';
    }
    messages.push(message);
  }
  return messages;
}

function readChunks(text: string, message: Message): string {
  let rest = text;
  message.complete = false;
  while (rest !== '') {
    const at = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, at), 16);
    if (at < 0 || Number.isNaN(size)) break;
    rest = rest.slice(at + 2);
    if (size > 0) {
      message.body += rest.slice(0, size);
      rest = rest.slice(size + 2);
      continue;
    }
    const end = rest.startsWith('\r\n') ? 0 : rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    if (end > 0) message.trailers = rest.slice(0, end).split('\r\n');
    message.complete = true;
    return rest.slice(end + (end > 0 ? 4 : 2));
  }
  return rest;
}

function fieldIn(headers: readonly string[], name: string): string | undefined {
  const line = headers.find((each) => each.toLowerCase().startsWith(`${name}:`));
  return line?.slice(name.length + 1).trim();
}

/** The same over HTTP/2: everything that the stream says, informational responses and trailers included. */
export async function sayHttp2(port: number, request: Say): Promise<Heard> {
  const { method = 'GET', target = '/a', headers = {}, body } = request;
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  const stream = session.request(
    { ':method': method, ':path': target, ...(headers as Record<string, string>) },
    { endStream: body === undefined },
  );
  const heads: string[] = [];
  const message: Message = { status: 0, line: '', headers: [], body: '', trailers: [], complete: false };
  const lines = (fields: object): string[] =>
    Object.entries(fields).flatMap(([name, value]) => [value].flat().map((each) => `${name}: ${each}`));
  session.on('stream', (pushed, fields) => {
    heads.push(...lines(fields));
    pushed.setEncoding('latin1').on('data', (chunk: string) => heads.push(chunk));
  });
  stream.on('headers', (fields) => heads.push(...lines(fields)));
  stream.on('response', (fields) => {
    message.status = Number(fields[':status']);
    message.headers = lines(fields);
  });
  stream.on('trailers', (fields) => {
    message.trailers = lines(fields);
  });
  stream.on('error', () => undefined);
  stream.setEncoding('latin1');
  stream.on('data', (chunk: string) => {
    message.body += chunk;
    if (request.leaves && secretsIn(message.body).length > 0) stream.close();
  });
  stream.on('end', () => {
    message.complete = true;
  });
  if (body !== undefined) stream.end(body);
  await once(stream, 'close');
  message.complete &&= stream.rstCode === 0;
  session.close();
  const text = [...heads, ...message.headers, message.body, ...message.trailers].join('\n');
  return { text, messages: message.status === 0 ? [] : [message] };
}
