// Tables for the terminal or in Markdown: rows, targets and the estimate.

import { GENERATOR_BOUND } from '../peers/results.js';
import { quantity } from '../peers/table.js';
import type { Estimate, Row, Target } from './figures.js';
import { ESTIMATE_WORKERS } from './limits.js';

export type Form = 'text' | 'markdown';

/** The first `texts` columns are texts; the others are numbers and stand to the right. */
function tableOf(lines: readonly (readonly string[])[], texts: number, form: Form): string {
  const [head = [], ...body] = lines;
  const widths = head.map((_, at) => Math.max(...lines.map((line) => (line[at] ?? '').length)));
  const text = (line: readonly string[]): string => {
    const fields = widths.map((width, at) =>
      at < texts ? (line[at] ?? '').padEnd(width) : (line[at] ?? '').padStart(width),
    );
    return form === 'text' ? fields.join('  ').trimEnd() : `| ${fields.join(' | ')} |`;
  };
  const rule = widths.map((width, at) => (at < texts ? '-' : `${'-'.repeat(width - 1)}:`));
  return [text(head), ...(form === 'text' ? [] : [text(rule)]), ...body.map(text)].join('\n');
}

const ROW_HEAD = [
  'row',
  'route',
  'workers',
  'forwarded',
  'operations',
  'p50, µs',
  'p99, µs',
  'over 1 worker',
  'over direct',
  'node, cores',
  'node, ns/op',
  'generator',
];

export function rowTable(rows: readonly Row[], form: Form): string {
  const lines = rows.map((row) => {
    const { median, min, max } = row.operationsPerSecond;
    return [
      row.name,
      row.route,
      `${row.workers}`,
      percent(row.forwardedShare),
      `${quantity(median)}/s (${quantity(min)} to ${quantity(max)})`,
      micros(row.p50),
      micros(row.p99),
      ratio(row.overOne),
      ratio(row.overDirect),
      row.nodeCores.toFixed(2),
      Math.round(row.nodeNanos).toLocaleString('en'),
      percent(row.generatorShare) + (row.generatorShare >= GENERATOR_BOUND ? '*' : ''),
    ];
  });
  return tableOf([ROW_HEAD, ...lines], 2, form);
}

export function targetTable(targets: readonly Target[], form: Form): string {
  const lines = targets.map(({ name, value, bound, unit, met }) => [
    name,
    met ? 'yes' : 'NO',
    unit === 'x' ? `${value.toFixed(2)} x` : `${value.toFixed(0)} µs`,
    unit === 'x' ? `≥ ${bound.toFixed(2)} x` : `< ${bound} µs`,
  ]);
  return tableOf([['target', 'met', 'value', 'bound'], ...lines], 2, form);
}

export function estimateTable(estimates: readonly Estimate[], form: Form): string {
  const head = [
    'estimate',
    'route',
    'one worker, ns/op',
    'direct',
    'forwarded',
    'a frame more',
    'an operation more',
    ...ESTIMATE_WORKERS.map((workers) => `${workers} workers`),
  ];
  const nanos = (value: number): string => Math.round(value).toLocaleString('en');
  const lines = estimates.flatMap((estimate) =>
    (['direct', 'any', 'forward'] as const).map((route, index) => [
      index === 0 ? estimate.name : '',
      route,
      ...(index === 0
        ? [
            nanos(estimate.oneNanos),
            nanos(estimate.directNanos),
            nanos(estimate.forwardNanos),
            nanos(estimate.frameNanos),
            nanos(estimate.operationNanos),
          ]
        : ['', '', '', '', '']),
      ...estimate.speedups.map((speedup) => `${speedup[route].toFixed(1)} x`),
    ]),
  );
  return tableOf([head, ...lines], 2, form);
}

/** What marks and columns mean. */
export function notesOf(rows: readonly Row[], estimates: readonly Estimate[]): string[] {
  const notes = [
    'Routes: direct, each connection uses keys of its worker alone; any, all keys over the shared port; ' +
      'forward, keys of other workers alone. Forwarded is what the node counted.',
  ];
  if (rows.some(({ generatorShare }) => generatorShare >= GENERATOR_BOUND)) {
    const bound = GENERATOR_BOUND * 100;
    notes.push(
      `* The generator used ${bound} % of its threads or more: the node may be able to do more.`,
    );
  }
  if (estimates.length > 0) {
    notes.push(
      'The estimate is by the processor time of the node an operation, from the node with the most workers: ' +
        'throughput over that of one worker where each worker has a core of its own, clients have ' +
        'others, and memory and network stand no limit. It takes the time that workers spin for an ' +
        'answer as a cost, which it is not where a core has nothing else to do.',
    );
  }
  return notes;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function ratio(value: number | null): string {
  return value === null ? '' : `${value.toFixed(2)} x`;
}

function micros(value: number): string {
  return Math.round(value).toLocaleString('en');
}
