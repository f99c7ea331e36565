// docs/guides/registry-command.md

import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { ReadStream } from 'node:tty';
import { Failure } from '../failure.ts';

/** From a terminal, without showing it. @throws Failure where the second time it is another one */
export async function askTwice(
  input: ReadStream,
  terminal: NodeJS.WritableStream,
  user: string,
): Promise<string> {
  const password = await hidden(input, terminal, `Password of ${user}: `);
  const again = await hidden(input, terminal, 'Once more: ');
  if (password !== again) throw new Failure('the two passwords are not the same');
  return password;
}

/** What is typed up to the end of the line, shown nowhere. */
async function hidden(input: ReadStream, terminal: NodeJS.WritableStream, question: string): Promise<string> {
  terminal.write(question);
  const output = new Writable({ write: (_piece, _encoding, done) => done() });
  const lines = createInterface({ input, output, terminal: true, historySize: 0 });
  const given = new AbortController();
  // Control-C and Control-D.
  lines.once('SIGINT', () => given.abort());
  lines.once('close', () => given.abort());
  try {
    return await lines.question('', { signal: given.signal });
  } catch {
    throw new Failure('no password was given');
  } finally {
    lines.close();
    terminal.write('\n');
  }
}

const MOST_CHARACTERS = 64 * 1024;

/** Of what another program says. */
export async function firstLine(input: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  const decoder = new StringDecoder('utf8');
  for await (const bytes of input) {
    text += decoder.write(bytes as Buffer);
    if (text.includes('\n') || text.length > MOST_CHARACTERS) break;
  }
  return text.split(/\r?\n/)[0] ?? '';
}
