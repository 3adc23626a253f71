// The other canary: a node that lives does nothing wrong, and the checks say so, although connections
// are cut with calls outstanding.

import { afterEach, describe, expect, it } from 'vitest';
import { checkHistory } from '../linearizability/check.js';
import { Random, seedOf } from '../parity/random.js';
import { History } from './history.js';
import { NodeProcess } from './node.js';
import { missing } from './survival.js';
import { keyGroup, Workload } from './workload.js';

const SEED = seedOf(20260805);
const ROUNDS = 6;
const LOAD_MS = 150;
/** Time for the node to carry out what it had received when the connections were cut. */
const CALM_MS = 150;

const nodes: NodeProcess[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.kill();
});

describe(`the load, RONDO_SEED=${SEED}`, () => {
  it('on a node that lives gives a linearizable history', async () => {
    const node = new NodeProcess({ engine: 'ts' });
    nodes.push(node);
    const url = await node.ready();
    const history = new History();
    const workload = new Workload(history, new Random(SEED));
    const group = keyGroup(0);
    for (let round = 0; round < ROUNDS; round++) {
      const clients = await workload.connect(url);
      const cut = AbortSignal.timeout(LOAD_MS);
      expect(await workload.run(clients, group, cut)).toEqual([]);
      await new Promise((resolve) => setTimeout(resolve, CALM_MS));
      history.crash();
      const since = history.now;
      expect(await workload.sweep(url, [group])).toEqual([]);
      expect(group.keys.flatMap((key) => missing(history.of(key), since))).toEqual([]);
    }
    const operations = group.keys.flatMap((key) => history.of(key));
    const { failures, steps } = checkHistory(operations);
    expect(failures).toEqual([]);
    expect(steps).toBeGreaterThan(500);
    const codes = new Set(
      operations.map(({ action, outcome }) => `${action.code} ${outcome.status}`),
    );
    // Every kind of operation with and without success, and writes that nobody answered.
    expect([...codes].toSorted()).toEqual(
      expect.arrayContaining([
        'delete ok',
        'delete not-found',
        'delete-if-revision ok',
        'get not-found',
        'get ok',
        'increment not-a-number',
        'increment ok',
        'put ok',
        'put unknown',
        'put-if-absent condition-failed',
        'put-if-absent ok',
        'put-if-revision condition-failed',
        'put-if-revision ok',
      ]),
    );
  });
});
