import { type Finding, isMet, type Wanted } from './findings.ts';
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
  return table(['', 'size', 'throughput', 'by CPU time', 'at best', 'wanted', '', ''], rows);
}

export function formatFindings(findings: readonly Finding[]): string[] {
  const rows = findings.map((finding) => {
    const { what, of, unit, found, wanted } = finding;
    const met = isMet(finding);
    return [
      what,
      of,
      `${formatSpread(found)}${unit === '' ? '' : ` ${unit}`}`,
      wanted === undefined ? '' : formatWanted(wanted),
      met === undefined ? '' : met ? 'yes' : 'no',
    ];
  });
  return table(['', 'server', 'found', 'wanted', ''], rows);
}

function formatWanted(wanted: Wanted): string {
  if ('exactly' in wanted) return String(wanted.exactly);
  return 'atMost' in wanted ? `<= ${wanted.atMost}` : `>= ${wanted.atLeast}`;
}

function table(head: readonly string[], rows: readonly string[][]): string[] {
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
