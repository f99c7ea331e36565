/** What a command could not do, in a line for whoever called it. It never leaves the process: no error of the package, and without a code. */
export class Failure extends Error {
  override readonly name = 'Failure';
}
