/** What takes room without being an entry, and goes before any of them. */
export interface Expendable {
  /** Charged to the budget. */
  readonly bytes: number;
  /** Takes so many bytes, or all, off its account; `gone` resolves when they have left the disk. Neither throws nor rejects. */
  free(bytes: number): { bytes: number; gone: Promise<unknown> };
}

/** Of a cache that has nothing to spare. */
export const NOTHING: Expendable = { bytes: 0, free: () => ({ bytes: 0, gone: Promise.resolve() }) };
