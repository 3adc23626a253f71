// The rows of the benchmark, and what becomes of them where peers are absent or parts do not exist:
// table, chart, JSON and files.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chartOf } from '../../bench/peers/chart.js';
import { checkFolder, writeFiles } from '../../bench/peers/files.js';
import type { Sample, Samples } from '../../bench/peers/measure.js';
import { SIDES, SIZES_FULL, type Side } from '../../bench/peers/measurements.js';
import { parseOptions } from '../../bench/peers/options.js';
import { makeRow, type Named } from '../../bench/peers/results.js';
import type { RowSpec } from '../../bench/peers/row-spec.js';
import { rowsFor, selectRows } from '../../bench/peers/rows.js';
import { notesOf, tableOf } from '../../bench/peers/table.js';
import { checkXml } from './bench-xml.js';

const specs = rowsFor(SIZES_FULL);
const spec = (name: string): RowSpec => {
  const found = specs.find((row) => row.name === name);
  if (found === undefined) throw new Error(`no row ${name}`);
  return found;
};
const present = new Map<Side, Named>(
  SIDES.map((side) => [side, { name: side, version: '1.0', install: `install ${side}` }]),
);
const without = (side: Side): Map<Side, Named> =>
  new Map([...present, [side, { name: side, version: undefined, install: `install ${side}` }]]);

function sample(operationsPerSecond: number, more: Partial<Sample> = {}): Sample {
  return { operationsPerSecond, p50: 10, p99: 20, p999: 30, generatorShare: 0.5, ...more };
}

/** Three rounds of every measurement: 400 for the node, 100 for everyone else. */
function samplesOf(more: Partial<Sample> = {}): Samples {
  const samples: Samples = new Map();
  for (const { source } of specs) {
    if (source === undefined) continue;
    const sides = SIDES.map((side): [Side, Sample[]] => {
      const figure = side === 'rondo' ? 400 : 100;
      return [side, [figure, figure + 1, figure - 1].map((it) => sample(it, more))];
    });
    samples.set(source.measurement.id, new Map(sides));
  }
  return samples;
}

describe('the rows', () => {
  it('have names of their own', () => {
    expect(new Set(specs.map(({ name }) => name)).size).toBe(specs.length);
  });

  it('are those of the issue, with its targets', () => {
    const targets = Object.fromEntries(
      specs.flatMap(({ name, target }) => (target === undefined ? [] : [[name, target]])),
    );
    const first = { ratioMin: 1.2, p99NotAbove: true };
    expect(targets).toEqual({
      'kv.get.1': first,
      'kv.put.1': first,
      'kv.get.16': { ratioMin: 1.5 },
      'kv.put.16': { ratioMin: 1.5 },
      'kv.get.128': { ratioMin: 4 },
      'kv.put.128': { ratioMin: 4 },
      'kv.put.durable.1.redis': { ratioMin: 2 },
      'kv.put.durable.16.redis': { ratioMin: 2 },
      'kv.put.durable.1.etcd': { ratioMin: 10 },
      'kv.put.durable.16.etcd': { ratioMin: 10 },
      'kv.put.durable.single.disk': { ratioMax: 1.5 },
      'kv.put.durable.share': { ratioMin: 0.5 },
      'locks.own.etcd': { ratioMin: 20 },
      'locks.contended.etcd': { ratioMin: 10 },
      'locks.handover.p99.etcd': { ratioMax: 1 },
      'pushes.100.1.p99.redis': { ratioMax: 1 },
      'pushes.100.128.redis': { ratioMin: 1.5 },
      'kv.get.large.128': { ratioMin: 4 },
      'kv.memory.large': { ratioMax: 1 },
      'client.get.100.ioredis': { ratioMin: 2 },
      'client.put.100.ioredis': { ratioMin: 2 },
      'echo.get.1': { ratioMin: 0.75 },
      'echo.get.16': { ratioMin: 0.75 },
      'echo.put.1': { ratioMin: 0.75 },
      'echo.put.16': { ratioMin: 0.75 },
      'engine.kv.get.128': { ratioMin: 3 },
      'engine.kv.put.128': { ratioMin: 3 },
      'engine.kv.get.large.128': { ratioMin: 3 },
    });
    const later = specs.filter(({ source }) => source === undefined).map(({ name }) => name);
    expect(later).toEqual([
      'streams.jetstream.nats',
      'streams.redis',
      'transactions.etcd',
      'transactions.redis',
      'pushes.nats',
    ]);
  });

  it('say of every durable write what both sides promise', () => {
    const durable = specs.filter(({ source }) => source?.measurement.stage === 'durable');
    expect(durable.map(({ name }) => name)).toEqual([
      'kv.put.durable.1.redis',
      'kv.put.durable.16.redis',
      'kv.put.durable.128.redis',
      'kv.put.durable.1.etcd',
      'kv.put.durable.16.etcd',
      'kv.put.durable.single.disk',
      'kv.put.durable.single.redis',
      'kv.put.durable.share',
      'kv.get.durable.16',
      'locks.own.etcd',
      'locks.contended.etcd',
      'locks.handover.p99.etcd',
    ]);
    for (const { rondo, peer, durability } of durable) {
      expect(rondo).toBe('rondo-sync');
      expect(durability).toEqual({
        rondo: 'sync',
        peer: {
          'redis-always': 'appendfsync always, no rewrite',
          etcd: 'sync',
          disk: 'fdatasync',
          rondo: 'none',
        }[peer as string],
      });
    }
    for (const { source, durability } of specs) {
      if (source === undefined || source.measurement.stage === 'durable') continue;
      expect(durability).toEqual({ rondo: 'none', peer: 'none' });
    }
    const single = durable.find(({ name }) => name === 'kv.put.durable.single.disk')?.source;
    expect(single).toMatchObject({
      metric: 'p50',
      measurement: { connections: 1, outstanding: 1, batch: 1 },
    });
  });

  it('measure both sides with one and the same measurement', () => {
    const byId = new Map<string, unknown>();
    for (const { source } of specs) {
      if (source === undefined) continue;
      const { measurement } = source;
      expect(byId.get(measurement.id) ?? measurement).toEqual(measurement);
      byId.set(measurement.id, measurement);
    }
    expect(byId.get('kv.get.16')).toMatchObject({
      connections: 50,
      outstanding: 16,
      batch: 16,
      keys: 100_000,
      valueBytes: 64,
    });
    expect(byId.get('kv.get.large.128')).toMatchObject({ keys: 5_000_000, outstanding: 128 });
    expect(byId.get('kv.get.16x1')).toMatchObject({ outstanding: 16, batch: 1 });
  });

  it('are chosen by parts of their names', () => {
    const names = (patterns: string) => selectRows(specs, patterns).map(({ name }) => name);
    expect(names('kv.memory')).toEqual(['kv.memory.large']);
    expect(names('locks.o,pushes.n')).toEqual(['locks.own.etcd', 'pushes.nats']);
    expect(names('open*p99')).toHaveLength(6);
    expect(names('.*')).toHaveLength(specs.length);
    expect(names('nothing')).toEqual([]);
    expect(names(',')).toEqual([]);
  });
});

describe('a row', () => {
  it('has medians, ratio and verdict', () => {
    const row = makeRow(spec('kv.get.128'), present, samplesOf(), 3);
    expect(row).toMatchObject({
      status: 'ok',
      unit: 'ops/s',
      rondo: { median: 400, min: 399, max: 401 },
      peer: { name: 'redis', version: '1.0', median: 100 },
      ratio: 4,
      target: { ratioMin: 4 },
      met: true,
      p99: { rondo: 20, peer: 20 },
      config: {
        loop: 'closed',
        connections: 50,
        outstanding: 128,
        batch: 128,
        rounds: 3,
        durabilityRondo: 'none',
        durabilityPeer: 'none',
      },
    });
  });

  it.each(['redis', 'echo'] as const)('of an absent %s says so, with the remedy', (side) => {
    const name = side === 'redis' ? 'kv.get.1' : 'echo.get.1';
    const row = makeRow(spec(name), without(side), new Map(), 3);
    expect(row).toMatchObject({ status: 'absent', rondo: null, ratio: null, met: null });
    expect(row.reason).toContain(`install ${side}`);
  });

  it('of a part that does not exist yet says so, with or without the peer', () => {
    for (const sides of [present, without('etcd')]) {
      const row = makeRow(spec('transactions.etcd'), sides, new Map(), 3);
      expect(row).toMatchObject({ status: 'not yet', met: null, peer: { name: 'etcd' } });
    }
  });

  it('is never made of fewer rounds than were asked for', () => {
    expect(() => makeRow(spec('kv.get.1'), present, samplesOf(), 5)).toThrow('3 and 3 of 5');
    expect(() => makeRow(spec('kv.get.1'), present, new Map(), 5)).toThrow('0 and 0 of 5');
  });

  it('of memory has bytes a key, and needs a system that tells them', () => {
    const row = makeRow(spec('kv.memory.large'), present, samplesOf({ bytesPerKey: 90 }), 3);
    expect(row).toMatchObject({ rondo: { median: 90 }, ratio: 1, met: true, p99: null });
    const silent = makeRow(spec('kv.memory.large'), present, samplesOf(), 3);
    expect(silent).toMatchObject({ status: 'absent', met: null });
  });
});

describe('the report', () => {
  const samples = samplesOf({ bytesPerKey: 90, generatorShare: 0.99 });
  const rows = specs.map((it) => makeRow(it, without('nats'), samples, 3));

  it('has a table of equally wide lines, with every row', () => {
    const lines = tableOf(rows, 'markdown').split('\n');
    expect(lines).toHaveLength(rows.length + 2);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
    const text = tableOf(rows, 'text');
    for (const { name } of rows) expect(text).toContain(name);
    expect(text).toContain('not yet');
  });

  it('says where the generator was the limit', () => {
    expect(tableOf(rows, 'text')).toContain('401)*');
    expect(notesOf(rows).join('\n')).toContain('* The load generator used');
    const relaxed = specs.map((it) => makeRow(it, present, samplesOf(), 3));
    expect(tableOf(relaxed, 'text')).not.toContain('*');
  });

  it('has a chart that is well formed, also with names that are none', () => {
    const strange = rows.map((row) => ({ ...row, name: `<${row.name}> & "so"` }));
    const chart = chartOf(strange, 'A < B & C', 'sub "title"');
    expect(checkXml(chart)).toBeUndefined();
    expect(chart.match(/<title>/g)).toHaveLength(rows.filter(({ ratio }) => ratio !== null).length);
    expect(checkXml(chartOf([], 'none', ''))).toBeUndefined();
  });

  it('draws a bar to the right where less is better and the node has less', () => {
    const memory = rows.filter(({ name }) => name === 'kv.memory.large');
    const half = memory.map((row) => ({ ...row, ratio: 0.5 }));
    expect(chartOf(half, '', '')).toContain('2.00 x');
  });
});

describe('the result files', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rondo-bench-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('are written all together', async () => {
    const target = join(folder, 'new', 'results');
    await checkFolder(target);
    await writeFiles(target, { a: '1', b: '2' });
    expect(readdirSync(target).sort()).toEqual(['a', 'b']);
    expect(readFileSync(join(target, 'b'), 'utf8')).toBe('2');
  });

  it('stay as they were where one cannot be written, and nothing else is left', async () => {
    await writeFiles(folder, { a: 'old' });
    await expect(writeFiles(folder, { a: 'new', 'no/folder': '2' })).rejects.toThrow();
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('old');
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('need a folder that can be one', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    await expect(checkFolder(join(file, 'results'))).rejects.toThrow('cannot be written');
  });

  it('are replaced by full runs only', () => {
    expect(parseOptions([]).folder).toBe('bench/results');
    expect(parseOptions(['--quick']).folder).toBeUndefined();
    expect(parseOptions(['--rows', 'kv']).folder).toBeUndefined();
    expect(parseOptions(['--rounds', '3']).folder).toBeUndefined();
    expect(parseOptions(['--quick', '--out', 'x']).folder).toBe('x');
  });

  it.each([['--rounds', '0'], ['--seconds', '-1'], ['--seconds', 'x'], ['--bogus'], ['more']])(
    'do not come of wrong options: %s %s',
    (...argv) => {
      expect(() => parseOptions(argv)).toThrow();
    },
  );
});
