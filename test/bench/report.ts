import type { Ratio, Spread } from './ratio.ts';
import { formatSize } from './sizes.ts';

/** The lines of a table. */
export function formatRatios(ratios: readonly Ratio[]): string[] {
  const rows = ratios.map(({ what, size, throughput, byCpu, byCpuAtBest, wanted, heldUpByClient }) => [
    what,
    formatSize(size),
    formatSpread(throughput),
    byCpu === undefined ? 'unknown' : formatSpread(byCpu),
    byCpuAtBest?.toFixed(2) ?? '',
    wanted === undefined ? '' : `>= ${wanted.toFixed(2)}`,
    wanted === undefined ? '' : throughput.median >= wanted ? 'yes' : 'no',
    heldUpByClient.length === 0 ? '' : `client-bound: ${heldUpByClient.join(', ')}`,
  ]);
  const head = ['', 'size', 'throughput', 'by CPU time', 'at best', 'wanted', '', ''];
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)));
  return [head, ...rows].map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function formatSpread({ median, least, most }: Spread): string {
  return `${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`;
}
