/** A process that ends between any two steps; on disk in the campaigns. */
import { describe } from 'node:test';
import { APPENDING, IN_PARTS, onEach } from './backends.ts';
import { interrupted } from './interrupted.ts';

describe('a process that pushes and is ended after some of its steps', () => {
  const { 'in memory': growing, 'in memory, in parts': parts } = { ...APPENDING, ...IN_PARTS };
  if (growing === undefined || parts === undefined) throw new Error('the backends have other names');
  onEach({ growing, parts }, interrupted);
});
