// After a run that wrote, the generator reads a sample of its keys again: a server that acknowledges
// writes and does not keep them gets no figures.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Peer, ScriptedNode, type SentOperation } from '../unit/client-scripted-node.js';
import { BUILD_TIMEOUT_MS, Generator, isPut, reply, Store } from './load-fixture.js';

let generator: Generator;
let node: ScriptedNode;
let store: Store;

beforeAll(() => {
  generator = new Generator();
}, BUILD_TIMEOUT_MS);
beforeEach(async (context) => {
  generator.skipIfAbsent(context);
  store = new Store();
  node = await ScriptedNode.start(store.answer);
});
afterEach(async () => {
  await generator?.stop();
  await node?.stop();
});
afterAll(() => generator?.stop());

function options(more = ''): string {
  const address = node.url.replace('ws://', '');
  const load = '--connections 4 --keys 100 --duration 200ms --warm-up 50ms --read-ratio 0';
  return `--address ${address} ${load} --prefill --outstanding 4 ${more}`;
}

/** Keeps the first value of each key, which is that of the filling, where `isLost` says so. */
function losing(isLost: (operation: SentOperation) => boolean) {
  return (peer: Peer, operations: readonly SentOperation[]): void => {
    const lost = operations.filter(
      (operation) => isPut(operation) && store.values.has(operation.key) && isLost(operation),
    );
    if (lost.length === 0) {
      store.reply(peer, operations);
      return;
    }
    reply(peer, operations.length, (writer) => {
      for (const { id } of operations) writer.result(id, 0, 1, 0);
    });
  };
}

describe('what was written is read back', () => {
  it('a thousand keys where nothing else is said', async () => {
    const report = await generator.report(options());
    // Fewer where a slow machine wrote fewer.
    expect(report.readBack).toBeGreaterThan(100);
    expect(report.readBack).toBeLessThanOrEqual(1000);
    expect(report.reads).toBe(0);
    const gets = node.frames.flat().filter((operation) => !isPut(operation));
    expect(gets).toHaveLength(report.readBack);
  });

  it('as many as are asked for, evenly over all connections', async () => {
    expect((await generator.report(options('--read-back 10'))).readBack).toBe(12);
    expect((await generator.report(options('--read-back 0'))).readBack).toBe(0);
    expect((await generator.report(options('--read-ratio 1'))).readBack).toBe(0);
  });

  it('after an open loop, too', async () => {
    const report = await generator.report(options('--rate 2000 --read-ratio 0.5 --read-back 40'));
    expect(report.readBack).toBe(40);
  });

  it('and leaves latencies and counts alone', async () => {
    const { operations, reads, writes } = await generator.report(options('--read-back 20000'));
    expect(operations).toBe(writes);
    expect(reads).toBe(0);
  });

  it('is told apart from what another run wrote', async () => {
    await generator.report(options());
    node.script = losing(() => true);
    const text = await generator.failure(options().replace('--prefill', ''));
    expect(text).toMatch(
      /user:\d{12} was written in this run, the write was acknowledged, and read back was an older value/,
    );
  });

  it('is missed where single keys are not kept', async () => {
    node.script = losing(({ key }) => key.endsWith('7'));
    expect(await generator.failure(options())).toMatch(/user:\d{11}7 was written.*older value/);
  });

  it('is missed where keys are gone', async () => {
    const keep = store.answer;
    node.script = (peer, operations) => {
      if (!operations.every(isPut)) store.values.clear();
      keep(peer, operations);
    };
    expect(await generator.failure(options())).toMatch(/read back was no such key/);
  });
});
