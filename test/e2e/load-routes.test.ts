// The load generator's routes against nodes of several workers and of one: what is forwarded is counted by the
// node, and what was written must be there.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BUILD_TIMEOUT_MS, Generator } from './load-fixture.js';
import { Workers } from './workers-fixture.js';

let generator: Generator;
beforeAll(() => {
  generator = new Generator();
}, BUILD_TIMEOUT_MS);
beforeEach((context) => generator.skipIfAbsent(context));
afterAll(() => generator?.stop());

const SHORT = '--connections 6 --keys 2000 --read-ratio 0.5 --duration 300ms --warm-up 50ms';

describe('a node of three workers', () => {
  let node: Workers;
  beforeAll(async () => {
    node = await Workers.start({ workers: 3 });
    await node.untilReady();
  });
  afterAll(() => node?.stop());

  const run = async (args: string): Promise<{ operations: number; forwarded: number }> => {
    const before = await countsOf(node);
    const report = await generator.report(`--address 127.0.0.1:${node.server.port} ${args}`);
    expect(report.server).toMatchObject({ name: 'rondo', workers: 3 });
    expect(report.readBack).toBeGreaterThan(0);
    const after = await countsOf(node);
    return {
      operations: after.operations - before.operations,
      forwarded: after.forwarded - before.forwarded,
    };
  };

  it('forwards some where connections take the shared port', async () => {
    const { operations, forwarded } = await run(`${SHORT} --prefill --outstanding 16`);
    expect(forwarded).toBeGreaterThan(0);
    expect(forwarded).toBeLessThan(operations);
  });

  it('forwards nothing where each connection uses keys of its worker', async () => {
    const { operations, forwarded } = await run(`${SHORT} --route direct --outstanding 16`);
    expect(operations).toBeGreaterThan(100);
    expect(forwarded).toBe(0);
  });

  it.each([
    ['full frames', '--outstanding 128 --batch 128 --threads 2'],
    ['one operation at a time and Zipf keys', '--distribution zipf:0.99'],
  ])('forwards all where each uses keys of the others: %s', async (_, more) => {
    const { operations, forwarded } = await run(`${SHORT} --route forward ${more}`);
    expect(operations).toBeGreaterThan(100);
    expect(forwarded).toBe(operations);
  });

  it('is told when there are too few keys', async () => {
    const address = `--address 127.0.0.1:${node.server.port}`;
    const said = await generator.failure(`${address} --keys 1 --route direct --prefill`);
    expect(said).toMatch(/--route .*connections to worker \d may use are 0\.000000 of all/);
  });
});

describe('a node of one worker', () => {
  let node: Workers;
  beforeAll(async () => {
    node = await Workers.start({ workers: 1 });
  });
  afterAll(() => node?.stop());

  it('has all keys and nobody to forward to', async () => {
    const target = `--address 127.0.0.1:${node.server.port} ${SHORT} --prefill`;
    const report = await generator.report(`${target} --route direct`);
    expect(report.server).toMatchObject({ workers: 1 });
    const said = await generator.failure(`${target} --route forward`);
    expect(said).toContain('at least two workers');
  });
});

async function countsOf(node: Workers): Promise<{ operations: number; forwarded: number }> {
  const metrics = await node.metrics();
  const sum = (name: string): number =>
    [...metrics].reduce(
      (total, [key, value]) => total + (key === name || key.startsWith(`${name}{`) ? value : 0),
      0,
    );
  return {
    operations: sum('rondo_operations_total'),
    forwarded: sum('rondo_forwarded_operations_total'),
  };
}
