// The small parts of the node that need no socket: clock, expiry, counters, log, loader, doctor.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkDescriptors, checkMemory, checkNode } from '../../node/cli/checks.js';
import { realClock, SimulatedClock } from '../../node/clock.js';
import { DURATION_BUCKET_COUNT, Durations } from '../../node/counters.js';
import { messageOf, NodeError } from '../../node/errors.js';
import { Expiry } from '../../node/expiry.js';
import { DurationHistogram } from '../../node/http/duration-histogram.js';
import { EXPIRY_INTERVAL_MS } from '../../node/limits.js';
import { formatLine } from '../../node/logger.js';
import { chooseTransport } from '../../node/transport/load.js';
import { loadUws } from '../../node/transport/uws-binary.js';
import { VERSION } from '../../node/version.js';
import type { Engine } from '../../ts/engine/engine.js';
import { EXPIRIES_PER_ADVANCE_MAX } from '../../ts/wire/limits.js';

describe('simulated clock', () => {
  it('fires in order of time, then of setting', () => {
    const clock = new SimulatedClock(1_000);
    const fired: string[] = [];
    clock.after(20, () => fired.push(`b at ${clock.now()}`));
    clock.after(10, () => fired.push(`a at ${clock.now()}`));
    clock.after(20, () => fired.push('c'));
    const cancelled = clock.after(15, () => fired.push('never'));
    cancelled.cancel();
    clock.every(25, () => fired.push('every'));
    clock.advance(19);
    expect(fired).toEqual(['a at 1010']);
    clock.advance(31);
    expect(fired).toEqual(['a at 1010', 'b at 1020', 'c', 'every', 'every']);
    expect(clock.monotonic()).toBe(50);
  });

  it('fires what is set on the way', () => {
    const clock = new SimulatedClock();
    const fired: number[] = [];
    clock.after(5, () => {
      clock.after(5, () => fired.push(clock.monotonic()));
      clock.soon(() => fired.push(clock.monotonic()));
    });
    clock.advance(10);
    expect(fired).toEqual([5, 10]);
  });
});

describe('real clock', () => {
  it('runs and cancels its timers', async () => {
    const before = realClock.monotonic();
    const fired: string[] = [];
    realClock.after(1, () => fired.push('cancelled')).cancel();
    realClock.soon(() => fired.push('cancelled')).cancel();
    const every = realClock.every(1, () => fired.push('every'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    every.cancel();
    await new Promise<void>((resolve) => realClock.soon(resolve));
    expect(fired[0]).toBe('every');
    expect(fired).not.toContain('cancelled');
    expect(realClock.monotonic()).toBeGreaterThan(before);
    expect(Math.abs(realClock.now() - Date.now())).toBeLessThan(1_000);
  });
});

describe('expiry', () => {
  it('takes bounded steps and lets others run between them', () => {
    const clock = new SimulatedClock();
    const answers = [EXPIRIES_PER_ADVANCE_MAX, EXPIRIES_PER_ADVANCE_MAX, 7, 0];
    const order: string[] = [];
    const engine = {
      advance: () => {
        order.push('advance');
        clock.soon(() => order.push('other'));
        return answers.shift() ?? 0;
      },
    } as unknown as Engine;
    const expiry = new Expiry(engine, clock, () => order.push('records'), fail);
    // The first step is made at once.
    expect(order).toHaveLength(2);
    clock.advance(EXPIRY_INTERVAL_MS - 1);
    expect(order.join(' ')).toBe(
      'advance records other advance records other advance records other',
    );
    expiry.stop();
    clock.advance(EXPIRY_INTERVAL_MS * 3);
    expect(order).toHaveLength(9);
  });

  it('takes a step soon when asked to, once, and none when stopped', () => {
    const clock = new SimulatedClock();
    let steps = 0;
    const engine = { advance: () => 0 } as unknown as Engine;
    const expiry = new Expiry(engine, clock, () => steps++, fail);
    expiry.hasten();
    expiry.hasten();
    expect(steps).toBe(1);
    clock.advance(0);
    expect(steps).toBe(2);
    clock.advance(0);
    expect(steps).toBe(2);
    expiry.stop();
    expiry.hasten();
    clock.advance(EXPIRY_INTERVAL_MS * 3);
    expect(steps).toBe(2);
  });

  it('hands over what the engine throws', () => {
    const clock = new SimulatedClock();
    const errors: unknown[] = [];
    const engine = {
      advance: () => {
        throw new Error('broken');
      },
    } as unknown as Engine;
    const expiry = new Expiry(engine, clock, fail, (error) => errors.push(error));
    expect(errors).toMatchObject([{ message: 'broken' }]);
    clock.advance(EXPIRY_INTERVAL_MS);
    expect(errors).toHaveLength(2);
    expiry.stop();
  });
});

describe('durations', () => {
  it('fall into buckets of powers of two microseconds', () => {
    const durations = new Durations();
    for (const us of [0, 0.4, 1, 1.5, 2, 3, 4, 5, 1000, 2 ** 23, 2 ** 23 + 1, 1e12]) {
      durations.observe(us / 1000);
    }
    const filled = [...durations.buckets.entries()].filter(([, count]) => count > 0);
    expect(filled).toEqual([
      [0, 3],
      [1, 2],
      [2, 2],
      [3, 1],
      [10, 1],
      [23, 1],
      [DURATION_BUCKET_COUNT - 1, 2],
    ]);
  });

  it('show as a cumulative Prometheus histogram', async () => {
    const durations = new Durations();
    for (const ms of [0.001, 0.002, 0.002, 100_000]) durations.observe(ms);
    const registry = new Registry();
    registry.registerMetric(new DurationHistogram('test_seconds', 'Help.', durations));
    const lines = (await registry.metrics()).split('\n');
    expect(lines.slice(0, 5)).toEqual([
      '# HELP test_seconds Help.',
      '# TYPE test_seconds histogram',
      'test_seconds_bucket{le="0.000001"} 1',
      'test_seconds_bucket{le="0.000002"} 3',
      'test_seconds_bucket{le="0.000004"} 3',
    ]);
    expect(lines).toContain('test_seconds_bucket{le="+Inf"} 4');
    expect(lines).toContain('test_seconds_count 4');
    expect(lines.some((line) => line.startsWith('test_seconds_sum 100.00000'))).toBe(true);
    expect(lines.filter((line) => line.startsWith('test_seconds_bucket'))).toHaveLength(25);
  });
});

describe('log lines as text', () => {
  it('have time, level, message and fields, and nothing that moves a terminal', () => {
    const entry = {
      level: 'warn',
      time: '2026-01-02T03:04:05.678Z',
      msg: 'refused\x1b[2J',
      client: 'a\r\nb\u202e',
      port: 7,
    };
    expect(formatLine(entry, false)).toBe(
      '03:04:05.678  WARN   refused\\u{1b}[2J  client=a\\u{d}\\u{a}b\\u{202e}  port=7',
    );
    const coloured = formatLine(entry, true);
    expect(coloured.startsWith('\x1b[33m') && coloured.endsWith('\x1b[0m')).toBe(true);
    const error = { type: 'Error', message: 'x', stack: 'Error: x\n    at y' };
    expect(formatLine({ level: 'fatal', msg: 'm', err: error }, false)).toContain('\n    at y');
  });
});

describe('choice of transport', () => {
  let folder: string;
  const file = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rondo-uws-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function packageWith(name: string, files: Record<string, string>): () => string {
    const root = join(folder, name);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), content);
    }
    return () => join(root, 'src', 'uws.js');
  }

  it('falls back in auto only where there is no binary for this system', () => {
    const notInstalled = () =>
      loadUws(() => {
        throw new Error('Cannot find module');
      });
    expect(chooseTransport('auto', notInstalled)).toMatchObject({
      kind: 'ws',
      reason: 'the package uWebSockets.js is not installed',
    });
    const foreign = packageWith('foreign', { 'binaries/uws_plan9_mips_1.node': '' });
    const choice = chooseTransport('auto', () => loadUws(foreign));
    expect(choice.kind).toBe('ws');
    expect(choice.reason).toMatch(/no binary for .* Node /);
    expect(() => chooseTransport('uws', () => loadUws(foreign))).toThrow(
      expect.objectContaining({ code: 'TRANSPORT_ABSENT' }) as Error,
    );
  });

  it('does not hide a binary that is broken, and keeps the cause', () => {
    const broken = packageWith('broken', { [`binaries/${file}`]: 'not a library' });
    for (const mode of ['auto', 'uws'] as const) {
      let thrown: unknown;
      try {
        chooseTransport(mode, () => loadUws(broken));
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(NodeError);
      expect(thrown).toMatchObject({ code: 'TRANSPORT_BROKEN' });
      expect((thrown as NodeError).cause).toBeInstanceOf(Error);
    }
    expect(chooseTransport('ws', () => loadUws(broken))).toMatchObject({
      kind: 'ws',
      reason: 'asked for',
    });
  });

  it('looks beside the entry first, where an official install has its binary', () => {
    const official = packageWith('official', {
      [`src/${file}`]: 'not a library',
      [`binaries/${file}`]: 'not a library',
    });
    expect(() => loadUws(official)).toThrow(
      expect.objectContaining({
        cause: expect.objectContaining({
          message: expect.stringContaining(join('src', file)) as string,
        }) as Error,
      }) as Error,
    );
  });
});

describe('doctor', () => {
  it('asks for the Node that is needed', () => {
    expect(checkNode('20.18.3')).toMatchObject({ status: 'broken' });
    expect(checkNode('18.20.0').advice).toMatch(/20\.19/);
    expect(checkNode('20.19.0').status).toBe('ok');
    expect(checkNode('22.1.0').status).toBe('ok');
  });

  it('compares file descriptors with connections', () => {
    expect(checkDescriptors(1000, undefined).status).toBe('ok');
    expect(checkDescriptors(1000, 1064).status).toBe('ok');
    expect(checkDescriptors(1000, 1063)).toMatchObject({
      status: 'warning',
      advice: 'raise the limit (ulimit -n 1064) or start with --connections-max 999',
    });
  });

  it('looks at the memory bound', () => {
    expect(checkMemory({ memoryMax: 0 }, 2 ** 30).advice).toMatch(/set --memory-max/);
    expect(checkMemory({ memoryMax: 2 ** 30 }, 2 ** 30).advice).toMatch(/614\.4 MiB/);
    expect(checkMemory({ memoryMax: 2 ** 29 }, 2 ** 30).status).toBe('ok');
  });
});

describe('errors and version', () => {
  it('tell the causes', () => {
    const error = new NodeError('LISTEN_FAILED', 'outer', { cause: new Error('inner') });
    expect(messageOf(error)).toBe('outer (because: inner)');
    expect(messageOf('text')).toBe('text');
    expect(VERSION).toMatch(/^\d+\.\d+\.\d+/);
  });
});

function fail(): never {
  throw new Error('not expected');
}
