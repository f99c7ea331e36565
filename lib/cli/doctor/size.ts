const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** '512 bytes', '38.2 GiB' */
export function inUnits(bytes: number): string {
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** The largest `--max-bytes` that is not more than this: '38GiB', '512MiB' */
export function asFlag(bytes: number): string {
  for (const [unit, size] of [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    // Rounded down to a whole unit, it should not lose much.
    if (bytes >= 10 * size) return `${Math.floor(bytes / size)}${unit}`;
  }
  return String(Math.max(0, Math.floor(bytes)));
}

/** 'no entries', '1 entry', '12 entries' */
export function count(number: number, one: string, several = `${one}s`): string {
  return `${number === 0 ? 'no' : number} ${number === 1 ? one : several}`;
}

/** '0600' */
export function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8).padStart(3, '0')}`;
}
