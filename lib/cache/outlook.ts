/** What others have done to the same files. */
export interface Outlook {
  /** Brings the accounts up to date with what others are storing, have stored and have removed. */
  look(): Promise<void>;
  /** When somebody else has used an entry after this time, both in milliseconds since the epoch; undefined: nobody has. */
  usedSince(name: string, usedAt: number): number | undefined;
}
