// Sessions of several workers with real engines: what a session holds anywhere is freed when it ends at its home,
// and its connections at all workers are those of one group.

import { afterEach, describe, expect, it } from 'vitest';
import { OUTCOME_HOLDS } from '../../ts/engine/engine.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import type { HelloFrame, WelcomeFrame } from '../../ts/wire/hello.js';
import { WAIT_FOREVER } from '../../ts/wire/layout.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { frameOf, type OperationInput, RawClient, until } from '../e2e/server-fixture.js';
import { Caller, Cluster, type ClusterOptions } from './node-forwarding-fixture.js';

let cluster: Cluster;
const clients: RawClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await cluster.stop();
  expect(cluster.fatal).toEqual([]);
});

const lock = (key: string, id: number, limit = 0): OperationInput => ({
  code: OperationCode.Lock,
  key,
  id,
  limit,
});
const end = (id: number): OperationInput => ({ code: OperationCode.EndSession, key: '', id });

interface Greeted {
  readonly caller: Caller;
  readonly welcome: WelcomeFrame;
}

async function greet(worker: number, hello: Partial<HelloFrame>): Promise<Greeted> {
  const client = new RawClient(`ws://127.0.0.1:${cluster.ports[worker]}/`, {});
  clients.push(client);
  await client.opened;
  const welcome = await client.helloWith(hello);
  return { caller: new Caller(client), welcome };
}

const open = (worker: number, group = 0) => greet(worker, { sessionTtlMs: 10_000, group });

function resume(worker: number, { welcome }: Greeted, group = 0): Promise<Greeted> {
  const { session, sessionSecret } = welcome;
  return greet(worker, { session, sessionSecret, group });
}

const holdsAt = (worker: number) => cluster.workers[worker]?.outcomeOf(OUTCOME_HOLDS);
const codeOf = async ({ caller }: Greeted) => (await caller.client.closed).code - CLOSE_CODE_BASE;

const kinds: readonly ClusterOptions[] = [
  { workers: 3, kind: 'memory' },
  { workers: 3, kind: 'memory', logDelayMs: 3, delayMs: (from) => from },
  { workers: 3, kind: 'rings', logDelayMs: 1 },
];

describe.each(kinds)('a session of %o', (options) => {
  it('has its home where it was made, and all that it holds is freed when it ends', async () => {
    cluster = await Cluster.start(options);
    const owner = await open(1);
    expect(owner.welcome.worker).toBe(1);
    const names = [0, 1, 2].map((worker) => cluster.keyOf(worker));
    owner.caller.send(frameOf(names.map((name, at) => lock(name, at + 1))));
    const granted = await owner.caller.take(3);
    expect(granted.map(({ status }) => status)).toEqual(Array(3).fill(Status.Ok));
    expect([0, 1, 2].map(holdsAt)).toEqual([1, 1, 1]);

    const waiter = await open(2);
    waiter.caller.send(frameOf(names.map((name, at) => lock(name, at + 1, WAIT_FOREVER))));
    owner.caller.send(frameOf([end(9)]));
    expect(await owner.caller.take(1)).toMatchObject([{ id: 9, status: Status.Ok }]);
    const next = await waiter.caller.take(3);
    expect(next.map(({ id }) => id).sort()).toEqual([1, 2, 3]);
    expect(next.every(({ status }) => status === Status.Ok)).toBe(true);
    expect(await codeOf(owner)).toBe(Status.SessionUnknown);
    const guests = cluster.workers.map(({ engine }) => [...engine.guests()]);
    expect(guests.flat()).not.toContain(owner.welcome.session);
  });

  it('goes on at other workers, beside the connections of its group only', async () => {
    cluster = await Cluster.start(options);
    const first = await open(0, 5);
    const name = cluster.keyOf(1);
    first.caller.send(frameOf([lock(name, 1)]));
    expect(await first.caller.take(1)).toMatchObject([{ status: Status.Ok }]);
    const second = await resume(1, first, 5);
    expect(second.welcome).toMatchObject({ sessionResumed: true, answersRemembered: true });
    // The hold is the session's, whichever way its client comes.
    second.caller.send(frameOf([lock(name, 1)]));
    expect(await second.caller.take(1)).toMatchObject([{ id: 1, status: Status.Ok }]);
    expect(holdsAt(1)).toBe(1);

    const taker = await resume(2, first);
    expect(await Promise.all([codeOf(first), codeOf(second)])).toEqual([
      Status.SessionMoved,
      Status.SessionMoved,
    ]);
    // It names no group, and its channel to the worker of the lock is of its own all the same.
    taker.caller.send(frameOf([lock(name, 1)]));
    expect(await taker.caller.take(1)).toMatchObject([{ id: 1, status: Status.Ok }]);
    taker.caller.send(frameOf([end(2)]));
    expect(await taker.caller.take(1)).toMatchObject([{ id: 2, status: Status.Ok }]);
    await until(() => holdsAt(1) === 0, 'the end of the hold');
    const unknown = resume(1, first);
    await expect(unknown).rejects.toThrow(`${CLOSE_CODE_BASE + Status.SessionUnknown}`);
  });

  it('is served elsewhere while its home is away, but for workers that do not know it yet', async () => {
    cluster = await Cluster.start({ ...options, kind: 'memory' });
    const first = await open(0, 5);
    const second = await resume(2, first, 5);
    await cluster.kill(0);
    const put = (worker: number, id: number): OperationInput => {
      return { code: OperationCode.Put, key: cluster.keyOf(worker), value: new Uint8Array(1), id };
    };
    // Worker 1 has to ask the home, each time anew.
    for (const id of [1, 3]) {
      second.caller.send(frameOf([put(1, id), put(2, id + 1)]));
      const answers = await second.caller.take(2);
      answers.sort((one, other) => one.id - other.id);
      expect(answers).toMatchObject([
        { id, status: Status.Unavailable, revision: 0 },
        { id: id + 1, status: Status.Ok },
      ]);
    }
    expect(cluster.workers[1]?.keys).toBe(0);
  });

  it('is not there any more where its home has lost it', async () => {
    cluster = await Cluster.start({ ...options, kind: 'memory' });
    const owner = await open(0);
    const [name, other] = [cluster.keyOf(1), await open(2)];
    owner.caller.send(frameOf([lock(name, 1)]));
    expect(await owner.caller.take(1)).toMatchObject([{ status: Status.Ok }]);
    other.caller.send(frameOf([lock(name, 1, WAIT_FOREVER)]));
    await cluster.kill(0);
    expect(holdsAt(1)).toBe(1);
    // Its log is lost with it here.
    await cluster.startWorker(0);
    expect(await other.caller.take(1)).toMatchObject([{ id: 1, status: Status.Ok }]);
  });
});
