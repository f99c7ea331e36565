/** Pictures of results, as SVG that reads well on a light page and on a dark one. */

interface Point {
  x: number;
  y: number;
}

export interface Line {
  label: string;
  points: readonly Point[];
  /** Drawn below the others, as a filled area. */
  area?: boolean;
  dashed?: boolean;
}

/** Several clients of one server: from when each waits, when its first byte comes, and when its last. */
export interface Lane {
  label: string;
  note?: string;
  lines: readonly { from: number; first: number; to: number }[];
}

const WIDTH = 760;
const MARGIN = { left: 64, right: 24, top: 40 };
const COLOURS = 7;

/** Colours that keep apart for those who see red and green alike (Okabe and Ito), lighter on dark. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .quiet { fill: #57606a }
  .page { fill: #ffffff }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .dashed { stroke-dasharray: 5 4 }
  .area { opacity: 0.18; stroke: none }
  .wait { opacity: 0.3 }
  ${palette(['#0072b2', '#d55e00', '#009e73', '#b65f96', '#a07800', '#5b5fc7', '#57606a'])}
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117 }
    .grid { stroke: #30363d }
    ${palette(['#56b4e9', '#ff9d4d', '#3fcf9f', '#e29bc6', '#f0e442', '#a5a8ff', '#9198a1'])}
  }`;

function palette(colours: readonly string[]): string {
  return colours.map((colour, i) => `.c${i} { stroke: ${colour} } .f${i} { fill: ${colour} }`).join('\n  ');
}

/** Values over x, and a name for each line. */
export function lineChart({
  title,
  xLabel,
  yLabel,
  lines,
}: {
  title: string;
  xLabel: string;
  yLabel: string;
  lines: readonly Line[];
}): string {
  const points = lines.flatMap((line) => line.points);
  const legend = Math.ceil(lines.length / 2) * 18 + 14;
  const box = { top: MARGIN.top + legend, height: 300 };
  const x = scale(0, Math.max(0, ...points.map((point) => point.x)), MARGIN.left, WIDTH - MARGIN.right);
  const y = scale(0, Math.max(0, ...points.map((point) => point.y)), box.top + box.height, box.top);
  const place = ({ x: at, y: value }: Point) => `${fixed(x.at(at))},${fixed(y.at(value))}`;
  const drawn = lines.map(({ points: of, area, dashed }, i) => {
    const path = of.map((point, k) => `${k === 0 ? 'M' : 'L'}${place(point)}`).join('');
    if (!area) return `<path class="line c${i % COLOURS}${dashed ? ' dashed' : ''}" d="${path}"/>`;
    const [first, last] = [of[0] ?? { x: 0, y: 0 }, of.at(-1) ?? { x: 0, y: 0 }];
    const closed = `${path}L${place({ x: last.x, y: 0 })}L${place({ x: first.x, y: 0 })}Z`;
    return `<path class="area f${i % COLOURS}" d="${closed}"/><path class="line c${i % COLOURS}" d="${path}"/>`;
  });
  const names = lines.map(({ label }, i) => {
    const [left, top] = [
      MARGIN.left + (i % 2) * ((WIDTH - MARGIN.left) / 2),
      MARGIN.top + Math.floor(i / 2) * 18,
    ];
    return `<rect class="f${i % COLOURS}" x="${left}" y="${top - 5}" width="14" height="4"/>${text(left + 20, top, label)}`;
  });
  return svg(box.top + box.height + 48, title, [
    ...names,
    ...rows(y),
    ...columns(x, box, xLabel),
    text(8, box.top - 10, yLabel, 'quiet'),
    ...drawn,
  ]);
}

/** A thin line for each client: pale while it waits for its first byte. */
export function laneChart({
  title,
  xLabel,
  lanes,
}: {
  title: string;
  xLabel: string;
  lanes: readonly Lane[];
}): string {
  const thickness = 3;
  const gap = 34;
  const height = lanes.reduce((sum, { lines }) => sum + lines.length * thickness + gap, 0);
  const box = { top: MARGIN.top, height };
  const most = Math.max(0, ...lanes.flatMap(({ lines }) => lines.map(({ to }) => to)));
  const x = scale(0, most, MARGIN.left, WIDTH - MARGIN.right);
  let top = box.top;
  const drawn = lanes.flatMap(({ label, note = '', lines }, i) => {
    const name = text(MARGIN.left, top + 18, note === '' ? label : `${label}: ${note}`);
    top += gap - 8;
    const bars = lines.map(({ from, first, to }, k) => {
      const bar = (start: number, end: number, more: string) =>
        `<rect class="f${i % COLOURS}${more}" x="${fixed(x.at(start))}" y="${top + k * thickness}" width="${fixed(Math.max(0.5, x.at(end) - x.at(start)))}" height="${thickness - 1}"/>`;
      return bar(from, first, ' wait') + bar(first, to, '');
    });
    top += lines.length * thickness + 8;
    return [name, ...bars];
  });
  return svg(box.top + box.height + 48, title, [...columns(x, box, xLabel), ...drawn]);
}

interface Scale {
  at(value: number): number;
  ticks: number[];
}

/** From 0 or `least` to a round number, in about five steps of 1, 2 or 5 times a power of ten. */
function scale(least: number, most: number, from: number, to: number): Scale {
  const rough = Math.max((most - least) / 5, Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10) * power;
  const steps = Math.max(1, Math.ceil((most - least) / step));
  const end = least + steps * step;
  return {
    at: (value) => from + ((value - least) / (end - least)) * (to - from),
    ticks: Array.from({ length: steps + 1 }, (_, i) => Number((least + i * step).toPrecision(12))),
  };
}

function rows(y: Scale): string[] {
  return y.ticks.map((tick) => {
    const at = fixed(y.at(tick));
    return `<path class="grid" d="M${MARGIN.left},${at}H${WIDTH - MARGIN.right}"/>${text(MARGIN.left - 8, Number(at) + 4, String(tick), 'quiet', 'end')}`;
  });
}

function columns(x: Scale, { top, height }: { top: number; height: number }, label: string): string[] {
  const bottom = top + height;
  return [
    ...x.ticks.map((tick) => {
      const at = fixed(x.at(tick));
      return `<path class="grid" d="M${at},${top}V${bottom}"/>${text(Number(at), bottom + 18, String(tick), 'quiet', 'middle')}`;
    }),
    text(WIDTH - MARGIN.right, bottom + 38, label, 'quiet', 'end'),
  ];
}

function text(x: number, y: number, words: string, style = '', anchor = 'start'): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}"${style === '' ? '' : ` class="${style}"`}>${escaped(words)}</text>`;
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="6"/>`,
    text(16, 22, title, 'title'),
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(words: string): string {
  return words.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
