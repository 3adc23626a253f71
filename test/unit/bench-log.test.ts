// The rows of the log's benchmark, and how they are judged.

import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../bench/log/options.js';
import {
  isTargetMet,
  type LogSamples,
  logNotes,
  logTable,
  makeLogRow,
} from '../../bench/log/results.js';
import { logRows } from '../../bench/log/rows.js';

const specs = logRows();
const spec = (name: string) => {
  const found = specs.find((row) => row.name === name);
  if (found === undefined) throw new Error(`no row ${name}`);
  return found;
};
const samples: LogSamples = new Map([
  ['recovery.batches.native', [{ megabytesPerSecond: 299 }, { megabytesPerSecond: 301 }]],
  ['recovery.batches.ts', [{ megabytesPerSecond: 59 }]],
  ['lonely.native', [{ p50: 100, p99: 200, p999: 300 }]],
  ['lonely.disk', [{ p50: 80, p99: 90, p999: 95 }]],
  ['gets.beside', [{ p50: 50, p99: 70, p999: 401 }]],
  ['gets.alone', [{ p50: 50, p99: 70, p999: 200 }]],
]);

describe('the rows of the log', () => {
  it('have names of their own, and the targets of the issue', () => {
    expect(new Set(specs.map(({ name }) => name)).size).toBe(specs.length);
    const targets = specs.flatMap(({ name, target }) => (target ? [[name, target]] : []));
    expect(Object.fromEntries(targets)).toEqual({
      'recovery.batches.native': { min: 300 },
      'recovery.batches.ts': { min: 60 },
      'recovery.single.native': { min: 300 },
      'recovery.single.ts': { min: 60 },
      'recovery.snapshot.native': { min: 300 },
      'recovery.snapshot.ts': { min: 60 },
      'compaction.gets.p999': { ratioMax: 2 },
    });
    expect(specs.map(({ name }) => name)).toContain('append.throughput.native');
  });

  it('are judged by their medians', () => {
    expect(makeLogRow(spec('recovery.batches.native'), samples)).toMatchObject({
      status: 'ok',
      figure: { median: 300, min: 299, max: 301 },
      against: null,
      ratio: null,
      met: true,
    });
    expect(makeLogRow(spec('recovery.batches.ts'), samples).met).toBe(false);
    expect(makeLogRow(spec('append.lonely.native'), samples)).toMatchObject({
      against: { name: 'bare write and sync', median: 80 },
      ratio: 1.25,
      met: null,
    });
    expect(makeLogRow(spec('compaction.gets.p999'), samples)).toMatchObject({
      ratio: 2.005,
      met: false,
    });
  });

  it('without figures say why, and are never made up', () => {
    const row = makeLogRow(spec('compaction.native'), samples, 'too little');
    expect(row).toMatchObject({ status: 'not measured', figure: null, met: null });
    expect(logNotes([row, row])).toEqual(['not measured: too little']);
    expect(() => makeLogRow(spec('compaction.native'), samples)).toThrow('has no samples');
    expect(isTargetMet({ ratioMax: 2 }, 1, undefined)).toBeUndefined();
  });

  it('stand in a table', () => {
    const rows = ['recovery.batches.native', 'compaction.gets.p999', 'append.lonely.native'];
    const table = logTable(rows.map((name) => makeLogRow(spec(name), samples)));
    expect(table).toMatch(/recovery\.batches\.native +300 MB\/s \(299 to 301\) .*≥ 300 MB\/s +yes/);
    expect(table).toMatch(/gets\.p999 +401 µs .*without +200 µs .*2\.00 x +≤ 2 x +NO/);
  });
});

describe('the options', () => {
  it('keep the committed results for full runs', () => {
    expect(parseOptions([]).folder).toBe('bench/results');
    expect(parseOptions([]).bytes).toBe(2 ** 30);
    expect(parseOptions(['--quick']).folder).toBeUndefined();
    expect(parseOptions(['--bytes', '64MiB'])).toMatchObject({ bytes: 2 ** 26, folder: undefined });
    expect(parseOptions(['--rows', 'append']).folder).toBeUndefined();
  });

  it.each([['--bytes', '1MiB'], ['--bytes', 'much'], ['--rounds', '0'], ['--seconds', '0'], ['x']])(
    'refuse %s %s',
    (...argv) => {
      expect(() => parseOptions(argv)).toThrow();
    },
  );
});
