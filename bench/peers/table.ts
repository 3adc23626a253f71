// The table of the rows: aligned for the terminal, Markdown for `peers.md`.

import { GENERATOR_BOUND, type Row } from './results.js';
import { targetText } from './statistics.js';

const HEAD = [
  'row',
  'batch',
  'connections',
  'durable',
  'Rondo',
  'peer',
  'its figure',
  'ratio',
  'p99, µs',
  'target',
  'met',
];
/** Columns of texts; the others are numbers and stand to the right. */
const LEFT = new Set([0, 3, 5, 9, 10]);

export function tableOf(rows: readonly Row[], form: 'text' | 'markdown'): string {
  const cells = rows.map(cellsOf);
  const widths = HEAD.map((title, at) =>
    Math.max(title.length, ...cells.map((row) => (row[at] ?? '').length)),
  );
  const line = (row: readonly string[]): string => {
    const fields = widths.map((width, at) => {
      const field = row[at] ?? '';
      return LEFT.has(at) ? field.padEnd(width) : field.padStart(width);
    });
    return form === 'text' ? fields.join('  ').trimEnd() : `| ${fields.join(' | ')} |`;
  };
  const rule = widths.map((width, at) =>
    LEFT.has(at) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(HEAD), ...(form === 'text' ? [] : [line(rule)]), ...cells.map(line)].join('\n');
}

/** What marks in the table mean, and what is not there and why. */
export function notesOf(rows: readonly Row[]): string[] {
  const notes = new Set<string>();
  if (rows.some(isGeneratorBound)) {
    notes.add(
      `* The load generator used ${GENERATOR_BOUND * 100} % of its core or more: the server may be ` +
        'able to do more than this figure, and a latency holds the wait for the generator, too.',
    );
  }
  for (const { status, reason } of rows) {
    if (status === 'absent' && reason !== undefined) notes.add(`absent: ${reason}`);
  }
  if (rows.some(({ status }) => status === 'not yet')) {
    notes.add('not yet: the node does not have this part; its row is filled when it does.');
  }
  return [...notes];
}

function cellsOf(row: Row): string[] {
  const { config, peer, rondo, ratio, p99, unit, met, status } = row;
  // What is no version number stands in the JSON alone.
  const version = /^\d/.test(peer.version ?? '') ? ` ${peer.version}` : '';
  const isFilled = status === 'ok' && rondo !== null;
  const bound = (share: number | undefined): string => ((share ?? 0) >= GENERATOR_BOUND ? '*' : '');
  const isClient = config.calls !== undefined;
  const batch = isClient ? `${config.calls} calls` : `${config.batch ?? ''}`;
  return [
    row.name,
    batch,
    `${config.connections ?? ''}`,
    config.durabilityRondo === '' ? '' : `${config.durabilityRondo} / ${config.durabilityPeer}`,
    isFilled ? figure(rondo, unit) + (isClient ? '' : bound(rondo.generatorShare)) : status,
    `${peer.name}${version}`,
    isFilled ? figure(peer, unit) + (isClient ? '' : bound(peer.generatorShare)) : '',
    ratio === null ? '' : `${ratio.toFixed(2)} x`,
    p99 === null ? '' : `${micros(p99.rondo)} / ${micros(p99.peer)}`,
    targetText(row.target ?? undefined),
    // A target that could not be judged shows that it was not.
    met !== null ? (met ? 'yes' : 'NO') : isFilled && row.target !== null ? '?' : '',
  ];
}

function isGeneratorBound({ config, rondo, peer }: Row): boolean {
  // A client process is what its rows measure, not a tool of the measuring.
  if (config.calls !== undefined) return false;
  return Math.max(rondo?.generatorShare ?? 0, peer.generatorShare ?? 0) >= GENERATOR_BOUND;
}

/** `1.23 M (1.20 M to 1.31 M)`, in the row's unit. */
function figure(
  spread: { readonly median?: number; readonly min?: number; readonly max?: number },
  unit: string,
): string {
  const { median = 0, min = 0, max = 0 } = spread;
  if (unit === 'µs') return `${micros(median)} µs (${micros(min)} to ${micros(max)})`;
  const suffix = unit === 'ops/s' ? '/s' : ' B/key';
  return `${quantity(median)}${suffix} (${quantity(min)} to ${quantity(max)})`;
}

export function quantity(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 10_000) return `${(value / 1e3).toFixed(0)} k`;
  if (value >= 1000) return `${(value / 1e3).toFixed(1)} k`;
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function micros(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1);
}
