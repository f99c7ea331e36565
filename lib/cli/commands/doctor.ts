// docs/guides/command-line.md

import { styleText } from 'node:util';
import type { Status } from '../doctor/check.ts';
import { CHECKS, type DiagnoseOptions, type Diagnosis, diagnose, type Result } from '../doctor/diagnose.ts';
import { count } from '../doctor/size.ts';

export interface DoctorOptions
  extends Pick<DiagnoseOptions, 'directory' | 'maxBytes' | 'minFreeBytes' | 'signal'> {
  /** One JSON object instead of lines for people. */
  json: boolean;
  colour: boolean;
  print: (line: string) => void;
}

/** Prints what it finds out about a directory; whether it is fit. */
export async function doctor({ json, colour, print, ...options }: DoctorOptions): Promise<boolean> {
  if (json) {
    const diagnosis = await diagnose(options);
    print(JSON.stringify(diagnosis, null, 2));
    return diagnosis.verdict === 'fit';
  }
  const paint = colour ? painted : plain;
  const onResult = (result: Result) => {
    for (const line of linesOf(result, paint)) print(line);
  };
  const diagnosis = await diagnose({ ...options, onResult });
  print('');
  print(conclusionOf(diagnosis, paint));
  return diagnosis.verdict === 'fit';
}

type Paint = (status: Status, text: string) => string;

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;
const painted: Paint = (status, text) => styleText(COLOURS[status], text, { validateStream: false });
const plain: Paint = (_, text) => text;

const NAME_WIDTH = Math.max(...CHECKS.map((name) => name.length));

/** A line for the fact; where it is not ok, one more for what it means and what to do. */
export function linesOf({ name, status, fact, meaning, advice }: Result, paint: Paint = plain): string[] {
  const line = `${paint(status, status.padEnd(4))}  ${name.padEnd(NAME_WIDTH)}  ${fact}`;
  if (status === 'ok') return [line];
  return [line, `${' '.repeat(4 + 2 + NAME_WIDTH + 2)}${meaning}. ${advice}`];
}

export function conclusionOf(
  { directory, user, verdict, checks, skipped }: Diagnosis,
  paint: Paint = plain,
): string {
  const number = (wanted: Status) => checks.filter(({ status }) => status === wanted).length;
  const warnings = count(number('warn'), 'warning');
  const notMade = skipped.length === 0 ? '' : `; ${count(skipped.length, 'check')} could not be made`;
  switch (verdict) {
    case 'fit':
      return `${paint(number('warn') > 0 ? 'warn' : 'ok', 'fit')}: ${directory} can hold a cache of user ${user}, ${warnings}`;
    case 'unfit':
      return `${paint('fail', 'unfit')}: ${directory} can not hold a cache of user ${user}, ${count(number('fail'), 'failure')}, ${warnings}${notMade}`;
    case 'interrupted':
      return `${paint('warn', 'interrupted')}: ${count(skipped.length, 'check')} were not made`;
  }
}
