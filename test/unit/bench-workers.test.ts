// The arithmetic of `npm run bench:workers`: what is measured, how rows are judged, and the estimate.

import { describe, expect, it } from 'vitest';
import { placeOn, workersDefault } from '../../bench/workers/cores.js';
import {
  estimatesOf,
  forwardCostOf,
  framesOf,
  type Measured,
  type Row,
  rowsOf,
  type Sample,
  targetsOf,
} from '../../bench/workers/figures.js';
import { sumOf } from '../../bench/workers/measure.js';
import { parseOptions } from '../../bench/workers/options.js';
import { measurementOf, nameOf, type Series, seriesOf } from '../../bench/workers/runs.js';
import { estimateTable, notesOf, rowTable, targetTable } from '../../bench/workers/table.js';

const SIZES = { connections: 8, keys: 100, valueBytes: 64 };

function sample(figures: Partial<Sample>): Sample {
  return {
    operationsPerSecond: 1000,
    p50: 10,
    p99: 20,
    generatorShare: 0.5,
    nodeCores: 1,
    nodeNanos: 500,
    forwardedShare: 0,
    ...figures,
  };
}

/** Samples of each side, by workers and route. */
function measured(
  series: Partial<Series>,
  sides: readonly (readonly [number, Row['route'], ...Partial<Sample>[]])[],
): Measured {
  return {
    series: {
      kind: 'throughput',
      durability: 'none',
      operation: 'get',
      batch: 128,
      ...series,
      sides: sides.map(([workers, route]) => ({ workers, route })),
    },
    rounds: sides.map(([, , ...samples]) => samples.map(sample)),
  };
}

describe('what is measured', () => {
  it('is each load on each node, in all ways that the node has', () => {
    const series = seriesOf([1, 2], [1, 16], ['none', 'sync']);
    expect(series.map(nameOf)).toEqual([
      'kv.get.1',
      'kv.get.16',
      'kv.put.1',
      'kv.put.16',
      'kv.get.1.sync',
      'kv.get.16.sync',
      'kv.put.1.sync',
      'kv.put.16.sync',
      'kv.get.alone',
      'kv.put.alone',
    ]);
    const sides = ({ sides }: Series): string[] =>
      sides.map(({ workers, route }) => `${workers} ${route}`);
    expect(sides(series[0] as Series)).toEqual(['1 any', '2 direct', '2 any', '2 forward']);
    expect(sides(series[8] as Series)).toEqual(['1 any', '2 direct', '2 forward']);
  });

  it('keeps full frames on the way, and alone one operation', () => {
    const [batched, , alone] = seriesOf([2], [16], ['sync']);
    const full = measurementOf(batched as Series, SIZES);
    expect(full).toMatchObject({ stage: 'durable', connections: 8, outstanding: 16, batch: 16 });
    const one = measurementOf(alone as Series, SIZES);
    expect(one).toMatchObject({ stage: 'small', connections: 1, outstanding: 1, batch: 1 });
  });
});

describe('rows', () => {
  const rows = rowsOf([
    measured({}, [
      [1, 'any', { operationsPerSecond: 90 }, { operationsPerSecond: 110 }, {}],
      [2, 'direct', { operationsPerSecond: 220, p99: 3 }],
      [2, 'forward', { operationsPerSecond: 132, generatorShare: 0.95 }],
    ]),
  ]);

  it('have medians, and ratios to one worker and to the same node without forwarding', () => {
    const [one, direct, forward] = rows as [Row, Row, Row];
    expect(one.operationsPerSecond).toEqual({ median: 110, min: 90, max: 1000 });
    expect([one.overOne, one.overDirect]).toEqual([1, null]);
    expect([direct.overOne, direct.overDirect, direct.p99]).toEqual([2, 1, 3]);
    expect(forward.overOne).toBeCloseTo(1.2);
    expect(forward.overDirect).toBeCloseTo(0.6);
  });

  it('have no ratio to what was not measured', () => {
    const [alone] = rowsOf([measured({}, [[3, 'forward', {}]])]);
    expect([alone?.overOne, alone?.overDirect]).toEqual([null, null]);
    expect(() => rowsOf([measured({}, [[3, 'forward']])])).toThrow('no samples');
  });

  it('show as a table that says where the generator is the limit', () => {
    const text = rowTable(rows, 'text');
    expect(text.split('\n')).toHaveLength(4);
    expect(text).toContain('95 %*');
    expect(rowTable(rows, 'markdown').split('\n')[1]).toMatch(/^\| -.*: \|$/);
    expect(notesOf(rows, []).join()).toContain('90 % of its threads');
    expect(notesOf(rows.slice(0, 2), []).join()).not.toContain('90 %');
  });
});

describe('targets', () => {
  const at = (forward: number, alone: number): Measured[] => [
    measured({ batch: 16 }, [
      [2, 'direct', {}],
      [2, 'forward', { operationsPerSecond: 1 }],
    ]),
    measured({}, [
      [2, 'direct', {}],
      [2, 'forward', { operationsPerSecond: forward }],
    ]),
    measured({ kind: 'latency', batch: 1 }, [
      [2, 'direct', { p50: 40 }],
      [2, 'forward', { p50: alone }],
    ]),
  ];

  it('are judged at the largest batch and of an operation alone', () => {
    const judged = targetsOf(rowsOf(at(600, 99)));
    expect(judged.map(({ value, met }) => [value, met])).toEqual([
      [0.6, true],
      [59, true],
    ]);
    const missed = targetsOf(rowsOf(at(599, 100)));
    expect(missed.map(({ met }) => met)).toEqual([false, false]);
    expect(targetTable(missed, 'text')).toMatch(/NO +0\.60 x +≥ 0\.60 x\n.*NO +60 µs +< 60 µs/);
  });

  it('are of nodes without durability and of several workers', () => {
    const sync = at(1, 500).map((one) => ({
      ...one,
      series: { ...one.series, durability: 'sync' as const },
    }));
    expect(targetsOf(rowsOf(sync))).toEqual([]);
    expect(targetsOf(rowsOf([measured({}, [[1, 'any', {}]])]))).toEqual([]);
  });
});

describe('the estimate', () => {
  it('counts the frames that a frame becomes', () => {
    // One operation goes to one worker; many reach all of the others.
    expect(framesOf(1, 1, 1)).toBe(1);
    expect(framesOf(1, 4, 3)).toBeCloseTo(0.75);
    expect(framesOf(2, 2, 2)).toBeCloseTo(1.5);
    expect(framesOf(10_000, 4, 3)).toBeCloseTo(3);
  });

  it('parts the cost of frames from that of operations', () => {
    const cost = (batch: number): number => 1600 / batch + 30;
    const points = [128, 1, 16].map((batch) => ({
      batch,
      framesPerOperation: 1 / batch,
      nanos: cost(batch),
    }));
    for (const batch of [1, 16, 128]) {
      const parts = forwardCostOf(points, batch);
      expect(parts.frameNanos).toBeCloseTo(1600);
      expect(parts.operationNanos).toBeCloseTo(30);
    }
    expect(() => forwardCostOf(points, 2)).toThrow('batch 2');
  });

  it('makes no part of it less than nothing', () => {
    const point = (batch: number, nanos: number) => ({
      batch,
      nanos,
      framesPerOperation: 1 / batch,
    });
    // More for large frames than for small ones: all is the operations'.
    const upside = [point(1, 10), point(16, 50)];
    expect(forwardCostOf(upside, 16)).toEqual({ frameNanos: 0, operationNanos: 50 });
    // So much less that the frames would cost more than all.
    const steep = forwardCostOf([point(1, 1000), point(2, 100)], 2);
    expect(steep).toEqual({ frameNanos: 200, operationNanos: 0 });
    expect(forwardCostOf([point(4, -7)], 4)).toEqual({ frameNanos: 0, operationNanos: 0 });
    expect(forwardCostOf([point(4, 7)], 4)).toEqual({ frameNanos: 0, operationNanos: 7 });
  });

  it('gives speedups over one worker that the costs explain', () => {
    const load = (batch: number): Measured =>
      measured({ batch }, [
        [1, 'any', { nodeNanos: 400 }],
        [2, 'direct', { nodeNanos: 500 }],
        [2, 'forward', { nodeNanos: 500 + 1600 / batch + 100 }],
      ]);
    const [, large] = estimatesOf(rowsOf([load(16), load(128)]));
    expect(large).toMatchObject({ batch: 128, workersMeasured: 2, oneNanos: 400 });
    expect(large?.frameNanos).toBeCloseTo(1600);
    expect(large?.operationNanos).toBeCloseTo(100);
    const [two, , , sixteen] = large?.speedups ?? [];
    expect(two?.direct).toBeCloseTo(1.6);
    // All forwarded to the only other worker: as measured.
    expect(two?.forward).toBeCloseTo((2 * 400) / (500 + 1600 / 128 + 100));
    // Half of the operations, in one frame more.
    expect(two?.any).toBeCloseTo((2 * 400) / (500 + 1600 / 128 + 50));
    const frames = 15 * (1 - (15 / 16) ** 128);
    const cost = 500 + (15 / 16) * 100 + (frames * 1600) / 128;
    expect(sixteen?.any).toBeCloseTo((16 * 400) / cost);
    expect(estimateTable(large === undefined ? [] : [large], 'text')).toContain('16 workers');
  });

  it('is not made without several workers or without the base', () => {
    const one = measured({}, [[1, 'any', {}]]);
    const two = measured({}, [
      [2, 'direct', {}],
      [2, 'forward', {}],
    ]);
    expect(estimatesOf(rowsOf([one]))).toEqual([]);
    expect(estimatesOf(rowsOf([two]))).toEqual([]);
    expect(estimatesOf([])).toEqual([]);
  });
});

describe('cores', () => {
  const cores = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

  it('are parted where there are more than workers', () => {
    const place = placeOn({ cores: cores(6), canPin: true }, 4, undefined);
    expect(place).toMatchObject({ node: '0,1,2,3', generator: '4,5', generatorThreads: 2 });
    expect(placeOn({ cores: cores(6), canPin: true }, 4, 1).generatorThreads).toBe(1);
  });

  it('are shared where there are not, and the report says so', () => {
    for (const [count, canPin] of [
      [2, true],
      [6, false],
    ] as const) {
      const place = placeOn({ cores: cores(count), canPin }, 2, undefined);
      expect([place.node, place.generator]).toEqual([undefined, undefined]);
      expect(place.generatorThreads).toBe(count / 2);
      expect(place.statement).toMatch(/no process is pinned.*share/);
    }
  });

  it('suggest numbers of workers', () => {
    expect([1, 2, 4, 6].map(workersDefault)).toEqual([
      [1, 2],
      [1, 2],
      [1, 2, 4],
      [1, 2, 4, 6],
    ]);
  });
});

describe('options', () => {
  it('have defaults, and a quick run is short', () => {
    expect(parseOptions([])).toMatchObject({ rounds: 5, seconds: 1.5, form: 'text', sync: false });
    expect(parseOptions(['--quick'])).toMatchObject({ rounds: 1, seconds: 0.3 });
    expect(parseOptions(['--workers', '4,1,4', '--markdown'])).toMatchObject({
      workers: [1, 4],
      form: 'markdown',
    });
  });

  it.each([
    ['--workers 0'],
    ['--workers 1,,2'],
    ['--workers many'],
    ['--rounds 101'],
    ['--seconds 0'],
    ['--json --markdown'],
    ['more'],
  ])('%s is refused', (line) => {
    const told = process.stderr.write;
    process.stderr.write = () => true;
    try {
      expect(() => parseOptions(line.split(' '))).toThrow();
    } finally {
      process.stderr.write = told;
    }
  });
});

describe('metrics', () => {
  it('are summed over their labels', () => {
    const text = '# HELP a x\na{b="1"} 2\na{b="2"} 3\nab 100\nc 1.5\n';
    expect([sumOf(text, 'a'), sumOf(text, 'c')]).toEqual([5, 1.5]);
    expect(() => sumOf(text, 'd')).toThrow('no metric d');
  });
});
