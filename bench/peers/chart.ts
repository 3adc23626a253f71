// The chart of the rows: one bar a row on a logarithmic scale, how many times the peer's figure the
// node's is, with a mark where the target is. Written by hand: it is one drawing without axes to
// choose, and a charting package would bring a DOM along.

import type { Row } from './results.js';

const WIDTH = 960;
const LEFT = 236;
const RIGHT = 250;
const TOP = 96;
const ROW_HEIGHT = 24;
const BAR_HEIGHT = 14;
const BOTTOM = 44;
const INK = '#1f2933';
const FAINT = '#66727f';
const LINE = '#d9dfe5';
const BETTER = '#2b7a4b';
const WORSE = '#b4532a';
const NEUTRAL = '#3c6ea5';
const FONT = 'font-family="system-ui, -apple-system, Segoe UI, Roboto, sans-serif"';
/** Where lines of the scale may be; those within the figures are drawn. */
const TICKS = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64];

/** A bar: how many times better than the peer, whatever direction is better. */
interface Bar {
  readonly row: Row;
  readonly factor: number;
  readonly target: number | undefined;
}

export function chartOf(rows: readonly Row[], title: string, subtitle: string): string {
  const bars = rows.flatMap(barOf);
  const height = TOP + Math.max(1, bars.length) * ROW_HEIGHT + BOTTOM;
  const factors = bars.flatMap(({ factor, target }) => [factor, target ?? factor]);
  const low = TICKS.findLast((tick) => tick <= Math.min(0.5, ...factors)) ?? (TICKS[0] as number);
  const high = TICKS.find((tick) => tick >= Math.max(2, ...factors)) ?? (TICKS.at(-1) as number);
  const x = (factor: number): number => {
    const clamped = Math.min(high, Math.max(low, factor));
    return LEFT + (Math.log(clamped / low) / Math.log(high / low)) * (WIDTH - LEFT - RIGHT);
  };
  const plotBottom = height - BOTTOM + 6;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" ` +
      `height="${height}" role="img" aria-label="${escaped(title)}" ${FONT}>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(24, 34, title, { size: 19, weight: 600 }),
    text(24, 56, subtitle, { size: 12, fill: FAINT }),
    ...TICKS.filter((tick) => tick >= low && tick <= high).flatMap((tick) => [
      `<line x1="${at(x(tick))}" x2="${at(x(tick))}" y1="${TOP - 6}" y2="${plotBottom}" ` +
        `stroke="${tick === 1 ? FAINT : LINE}"/>`,
      text(x(tick), TOP - 12, tick === 1 ? 'equal' : `${tick} x`, {
        size: 11,
        fill: FAINT,
        anchor: 'middle',
      }),
    ]),
    ...bars.flatMap((bar, index) => barParts(bar, TOP + index * ROW_HEIGHT, x)),
    legend(height - 14),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

function barOf(row: Row): Bar[] {
  const { ratio, target, better } = row;
  if (ratio === null || !(ratio > 0)) return [];
  const bound = better === 'higher' ? target?.ratioMin : target?.ratioMax;
  if (better === 'higher') return [{ row, factor: ratio, target: bound }];
  return [{ row, factor: 1 / ratio, target: bound === undefined ? undefined : 1 / bound }];
}

function barParts(
  { row, factor, target }: Bar,
  top: number,
  x: (factor: number) => number,
): string[] {
  const middle = top + ROW_HEIGHT / 2;
  const [from, to] = [Math.min(x(1), x(factor)), Math.max(x(1), x(factor))];
  const colour = row.met === null ? NEUTRAL : row.met ? BETTER : WORSE;
  const parts = [
    text(LEFT - 12, middle + 4, row.name, { size: 12, anchor: 'end' }),
    `<rect x="${at(from)}" y="${at(middle - BAR_HEIGHT / 2)}" width="${at(Math.max(1, to - from))}" ` +
      `height="${BAR_HEIGHT}" rx="2" fill="${colour}"><title>${escaped(tip(row))}</title></rect>`,
  ];
  if (target !== undefined) {
    parts.push(
      `<line x1="${at(x(target))}" x2="${at(x(target))}" y1="${at(middle - 10)}" ` +
        `y2="${at(middle + 10)}" stroke="${INK}" stroke-width="2"/>`,
    );
  }
  const label = `${factor.toFixed(2)} x  ${row.peer.name}`;
  parts.push(text(WIDTH - RIGHT + 12, middle + 4, label, { size: 12, fill: INK }));
  return parts;
}

function tip({ rondo, peer, unit, config }: Row): string {
  const number = (value = 0): string => Math.round(value).toLocaleString('en');
  return (
    `Rondo ${number(rondo?.median)} ${unit}, ${peer.name} ${peer.version ?? ''} ` +
    `${number(peer.median)} ${unit}; ${Object.entries(config)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}`
  );
}

function legend(y: number): string {
  const entries: readonly [string, string][] = [
    [BETTER, 'target met'],
    [WORSE, 'target missed'],
    [NEUTRAL, 'no target'],
  ];
  const keys = entries.map(
    ([colour, label], index) =>
      `<rect x="${24 + index * 130}" y="${y - 10}" width="12" height="12" rx="2" fill="${colour}"/>` +
      text(42 + index * 130, y, label, { size: 12, fill: FAINT }),
  );
  const mark = 24 + entries.length * 130;
  keys.push(
    `<line x1="${mark + 4}" x2="${mark + 4}" y1="${y - 12}" y2="${y + 4}" stroke="${INK}" ` +
      'stroke-width="2"/>',
    text(mark + 16, y, 'target; bars to the right of "equal" are in favour of Rondo', {
      size: 12,
      fill: FAINT,
    }),
  );
  return keys.join('\n');
}

function text(
  x: number,
  y: number,
  content: string,
  style: { size: number; weight?: number; fill?: string; anchor?: 'middle' | 'end' },
): string {
  const { size, weight = 400, fill = INK, anchor = 'start' } = style;
  return (
    `<text x="${at(x)}" y="${at(y)}" font-size="${size}" font-weight="${weight}" fill="${fill}" ` +
    `text-anchor="${anchor}">${escaped(content)}</text>`
  );
}

function at(value: number): string {
  return `${Math.round(value * 10) / 10}`;
}

export function escaped(content: string): string {
  return content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
