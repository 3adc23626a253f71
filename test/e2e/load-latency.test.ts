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

/** Answers nothing for `ms`, once, `after` the first request; then all that has waited. */
function stallOnce(after: number, ms: number): void {
  let from = 0;
  const waiting: (() => void)[] = [];
  node.script = (peer, operations) => {
    const now = performance.now();
    if (from === 0) {
      from = now + after;
      setTimeout(() => {
        for (const answer of waiting.splice(0)) answer();
      }, after + ms);
    }
    const isStalled = now >= from && now < from + ms;
    if (isStalled || waiting.length > 0) waiting.push(() => store.reply(peer, operations));
    else store.reply(peer, operations);
  };
}

describe('an open loop', () => {
  it.each(['even', 'poisson'])('keeps its rate with %s arrivals', async (arrivals) => {
    const more = `--connections 4 --rate 1000 --duration 1s --arrivals ${arrivals}`;
    const report = await generator.report(options(more));
    expect(report.unsent).toBe(0);
    // Five standard deviations of a Poisson process, and what a busy machine shifts over the ends.
    expect(Math.abs(report.operations - 1000)).toBeLessThan(250);
    expect(report.config).toMatchObject({ rate: 1000, arrivals });
  });

  it('shows a constant delay', async () => {
    node.script = (peer, operations) => {
      setTimeout(() => store.reply(peer, operations), 50);
    };
    const report = await generator.report(options('--connections 4 --rate 500 --duration 1s'));
    const { p50, p99 } = report.latencyMicros;
    // Timers of Node may fire up to a millisecond early.
    expect(p50).toBeGreaterThan(48_900);
    expect(p50).toBeLessThan(80_000);
    expect(p99).toBeGreaterThanOrEqual(p50);
  });

  it('shows a pause in everything that was due meanwhile', async () => {
    stallOnce(500, 200);
    const report = await generator.report(options('--connections 2 --rate 500 --duration 1s'));
    const { p50, p90, p99, max } = report.latencyMicros;
    // 100 of 500 operations were due in the pause, and waited evenly from 0 to 200 ms.
    expect(p99).toBeGreaterThan(170_000);
    expect(max).toBeGreaterThan(190_000);
    expect(max).toBeLessThan(400_000);
    expect(p90).toBeGreaterThan(70_000);
    expect(p90).toBeLessThan(200_000);
    expect(p50).toBeLessThan(p90);
  });

  it('shows the wait of what it could not send', async () => {
    // One at a time and 20 ms each is 50 a second; 500 are due.
    node.script = (peer, operations) => {
      setTimeout(() => store.reply(peer, operations), 20);
    };
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
    node.script = (peer, operations) => {
      setTimeout(() => store.reply(peer, operations), 20);
    };
    const report = await generator.report(options('--connections 2 --outstanding 3 --duration 1s'));
    expect(report.latencyMicros.p50).toBeGreaterThan(18_900);
    expect(report.latencyMicros.p50).toBeLessThan(40_000);
    // Six in flight at 20 ms each are 300 a second at most.
    expect(report.operationsPerSecond).toBeLessThan(330);
    expect(report.operationsPerSecond).toBeGreaterThan(150);
  });

  it('shows a pause once an operation in flight: this is what an open loop is for', async () => {
    stallOnce(500, 200);
    const report = await generator.report(options('--connections 1 --duration 1s'));
    expect(report.latencyMicros.max).toBeGreaterThan(180_000);
    expect(report.latencyMicros.p99).toBeLessThan(100_000);
  });
});
