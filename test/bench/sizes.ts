export const KIB = 2 ** 10;
export const MIB = 2 ** 20;
const UNITS = [
  { name: 'GiB', bytes: 2 ** 30 },
  { name: 'MiB', bytes: MIB },
  { name: 'KiB', bytes: KIB },
];

/** `64k`, `64KiB`, `1m`, `1000`: bytes, in powers of 1024; undefined if it is none of these. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+) *(?:([kmg])(?:i?b)?)?$/i.exec(text);
  const power = ' kmg'.indexOf((match?.[2] ?? ' ').toLowerCase());
  const bytes = Number(match?.[1]) * 1024 ** power;
  return bytes >= 1 ? bytes : undefined;
}

/** `1 KiB`, `256 MiB`. */
export function formatSize(bytes: number): string {
  const unit = UNITS.find((each) => bytes % each.bytes === 0);
  return unit === undefined ? `${bytes} bytes` : `${bytes / unit.bytes} ${unit.name}`;
}
