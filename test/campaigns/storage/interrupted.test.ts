/** A process that ends between any two steps, with its files on disk. */
import { describe } from 'node:test';
import { APPENDING, IN_PARTS, onEach } from '../../storage/backends.ts';
import { interrupted } from '../../storage/interrupted.ts';

describe('a process that pushes and is ended after some of its steps', () =>
  onEach({ ...APPENDING, ...IN_PARTS }, interrupted));
