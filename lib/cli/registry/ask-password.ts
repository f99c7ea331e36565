// docs/guides/registry-command.md

import { StringDecoder } from 'node:string_decoder';
import type { ReadStream } from 'node:tty';
import { OptionError } from '../../errors.ts';

/** From a terminal, without showing it. @throws OptionError where the second time it is another one */
export async function askTwice(
  input: ReadStream,
  terminal: NodeJS.WritableStream,
  user: string,
): Promise<string> {
  const password = await hidden(input, terminal, `Password of ${user}: `);
  const again = await hidden(input, terminal, 'Once more: ');
  if (password !== again) throw new OptionError('password', 'the two passwords are not the same');
  return password;
}

/** What is typed up to the end of the line. Raw, the terminal shows nothing, and its keys are ours to mind. */
function hidden(input: ReadStream, terminal: NodeJS.WritableStream, question: string): Promise<string> {
  terminal.write(question);
  input.setRawMode(true);
  const decoder = new StringDecoder('utf8');
  let typed: string[] = [];
  return new Promise((resolve, reject) => {
    const end = (after: () => void): void => {
      input.off('data', onData);
      input.setRawMode(false);
      input.pause();
      terminal.write('\n');
      after();
    };
    const onData = (bytes: Buffer): void => {
      for (const key of decoder.write(bytes)) {
        if (key === '\r' || key === '\n') return end(() => resolve(typed.join('')));
        // Control-C and Control-D.
        if (key === '\x03' || key === '\x04')
          return end(() => reject(new OptionError('password', 'no password was given')));
        // Backspace, and Control-U for all of it.
        if (key === '\x7f' || key === '\b') typed.pop();
        else if (key === '\x15') typed = [];
        else typed.push(key);
      }
    };
    input.on('data', onData);
    input.resume();
  });
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
