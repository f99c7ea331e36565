/** A line chart as SVG, for people: no more than what a campaign needs to show. */

export interface Line {
  name: string;
  points: readonly { x: number; y: number }[];
}

const WIDTH = 800;
const HEIGHT = 320;
const MARGIN = 56;
const COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd'];

export function lineChart(title: string, axes: { x: string; y: string }, lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const most = { x: Math.max(1, ...all.map(({ x }) => x)), y: Math.max(1, ...all.map(({ y }) => y)) };
  const left = (x: number) => MARGIN + (x / most.x) * (WIDTH - 2 * MARGIN);
  const top = (y: number) => HEIGHT - MARGIN - (y / most.y) * (HEIGHT - 2 * MARGIN);
  const at = (x: number, y: number) => `${x.toFixed(1)},${y.toFixed(1)}`;
  const text = (x: number, y: number, what: string, more = '') =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escaped(what)}</text>`;
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    `<path d="M${at(left(0), top(share * most.y))} H${WIDTH - MARGIN}" stroke="#ddd"/>`,
    text(MARGIN - 6, top(share * most.y) + 4, String(Math.round(share * most.y)), 'text-anchor="end"'),
    text(
      left(share * most.x),
      HEIGHT - MARGIN + 18,
      String(Math.round(share * most.x)),
      'text-anchor="middle"',
    ),
  ]);
  const drawn = lines.flatMap(({ name, points }, i) => [
    `<polyline fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="2" points="${points
      .map(({ x, y }) => at(left(x), top(y)))
      .join(' ')}"/>`,
    text(MARGIN + 8 + i * 140, MARGIN - 10, name, `fill="${COLOURS[i % COLOURS.length]}"`),
  ]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(WIDTH / 2, 20, title, 'text-anchor="middle" font-size="15"'),
    ...grid,
    text(WIDTH / 2, HEIGHT - 12, axes.x, 'text-anchor="middle"'),
    text(14, MARGIN - 10, axes.y),
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
