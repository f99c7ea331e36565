/**
 * What a client is told when the command itself can't go on with a request. It never leaves the process: no error of the package, and
 * without a code.
 */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  /** @param message may be shown to the client */
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
