// Latencies that a scripted server makes are those that the generator shows. In an open loop they
// count from when an operation was due, so that a pause of the server shows in all that waited for it.

import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ScriptedNode } from '../unit/client-scripted-node.js';
import { BUILD_TIMEOUT_MS, Generator, Store } from './load-fixture.js';

let generator: Generator;
let node: ScriptedNode;
const store = new Store();

beforeAll(() => {
  generator = new Generator();
}, BUILD_TIMEOUT_MS);
beforeEach(async (context) => {
  generator.skipIfAbsent(context);
  node = await ScriptedNode.start(store.answer);
});
afterEach(async () => {
  await generator?.stop();
  await node?.stop();
});

function options(more: string): string {
  const address = node.url.replace('ws://', '');
  return `--address ${address} --keys 10 --read-ratio 0 --warm-up 100ms ${more}`;
}

/** What a busy machine may add to a latency, in microseconds. */
const NOISE_MICROS = 60_000;

/** Answers each request `ms` later; gives the median of what that came to, in microseconds. */
function delay(ms: number): () => number {
  const delays: number[] = [];
  node.script = (peer, operations) => {
    const received = performance.now();
    setTimeout(() => {
      delays.push(performance.now() - received);
      store.reply(peer, operations);
    }, ms);
  };
  return () => 1000 * (delays.sort((a, b) => a - b)[Math.floor(delays.length / 2)] as number);
}

/**
 * Answers nothing for `ms`, once, `after` the first request; then all that has waited. Gives how long
 * it came to, in microseconds.
 */
function stallOnce(after: number, ms: number): () => number {
  let took = 0;
  let isFirst = true;
  let isStalled = false;
  const waiting: (() => void)[] = [];
  node.script = (peer, operations) => {
    if (isFirst) {
      isFirst = false;
      setTimeout(() => {
        isStalled = true;
        const from = performance.now();
        setTimeout(() => {
          isStalled = false;
          took = performance.now() - from;
          for (const answer of waiting.splice(0)) answer();
        }, ms);
      }, after);
    }
    if (isStalled) waiting.push(() => store.reply(peer, operations));
    else store.reply(peer, operations);
  };
  return () => took * 1000;
}

describe('an open loop', () => {
  it.each(['even', 'poisson'])('keeps its rate with %s arrivals', async (arrivals) => {
    const more = `--connections 4 --rate 1000 --duration 1s --arrivals ${arrivals}`;
    const report = await generator.report(options(more));
    expect(report.unsent).toBe(0);
    // Five standard deviations of a Poisson process, and what a busy machine shifts over the ends.
    expect(Math.abs(report.operations - 1000)).toBeLessThan(300);
    expect(report.config).toMatchObject({ rate: 1000, arrivals });
  });

  it('shows a constant delay', async () => {
    const median = delay(50);
    const report = await generator.report(options('--connections 4 --rate 500 --duration 1s'));
    const { p50, p99 } = report.latencyMicros;
    expect(p50).toBeGreaterThan(median() - 2000);
    expect(p50).toBeLessThan(median() + NOISE_MICROS);
    expect(p99).toBeGreaterThanOrEqual(p50);
  });

  it('shows a pause in everything that was due meanwhile', async () => {
    const stall = stallOnce(500, 200);
    const report = await generator.report(options('--connections 2 --rate 500 --duration 1s'));
    const { p50, p90, p99, max } = report.latencyMicros;
    // 100 of 500 operations were due in the pause, and waited evenly from 0 to 200 ms.
    expect(p99).toBeGreaterThan(stall() * 0.85);
    expect(max).toBeGreaterThan(stall() * 0.95);
    expect(max).toBeLessThan(stall() + 3 * NOISE_MICROS);
    expect(p90).toBeGreaterThan(stall() * 0.35);
    expect(p90).toBeLessThan(p99);
    expect(p50).toBeLessThan(p90);
  });

  it('shows the wait of what it could not send', async () => {
    // One at a time and 20 ms each is 50 a second; 500 are due.
    delay(20);
    const more = '--connections 1 --outstanding 1 --rate 500 --duration 1s';
    const report = await generator.report(options(more));
    expect(report.operationsPerSecond).toBeLessThan(60);
    expect(report.unsent).toBeGreaterThan(400);
    // Those due in the middle of the second have waited half of it and more.
    expect(report.latencyMicros.p50).toBeGreaterThan(300_000);
  });
});

describe('a closed loop', () => {
  it('shows a constant delay', async () => {
    const median = delay(20);
    const report = await generator.report(options('--connections 2 --outstanding 3 --duration 1s'));
    const { p50, mean } = report.latencyMicros;
    expect(p50).toBeGreaterThan(median() - 2000);
    expect(p50).toBeLessThan(median() + NOISE_MICROS);
    // Little's law: six are in flight all the time.
    expect((report.operationsPerSecond * mean) / 1e6).toBeGreaterThan(4.5);
    expect((report.operationsPerSecond * mean) / 1e6).toBeLessThan(7.5);
  });

  it('shows a pause once an operation in flight: this is what an open loop is for', async () => {
    const stall = stallOnce(500, 200);
    const report = await generator.report(options('--connections 1 --duration 1s'));
    expect(report.latencyMicros.max).toBeGreaterThan(stall() * 0.95);
    expect(report.latencyMicros.p99).toBeLessThan(stall() * 0.5);
  });
});
