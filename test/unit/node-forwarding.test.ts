// A client with one connection reaches the partitions of all workers: frames are split, forwarded and answered
// over the same connection, whatever becomes of the workers meanwhile.

import { afterEach, describe, expect, it } from 'vitest';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { CLASSES_ALL, WAIT_FOREVER } from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { decodeRouting } from '../../ts/wire/routing.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { frameOf, type OperationInput, until } from '../e2e/server-fixture.js';
import { Cluster, type ClusterOptions, settled } from './node-forwarding-fixture.js';

let cluster: Cluster;

async function start(options: ClusterOptions): Promise<Cluster> {
  cluster = await Cluster.start(options);
  return cluster;
}

afterEach(async () => {
  await cluster.stop();
  expect(cluster.fatal).toEqual([]);
});

const put = (key: string, value: string, id: number): OperationInput => ({
  code: OperationCode.Put,
  key,
  value: Buffer.from(value),
  id,
});
const get = (key: string, id: number): OperationInput => ({ code: OperationCode.Get, key, id });
const lock = (key: string, id: number, limit = 0): OperationInput => ({
  code: OperationCode.Lock,
  key,
  id,
  limit,
});

describe.each(['memory', 'rings'] as const)('over %s', (kind) => {
  it('a frame that spans workers is split and answered', async () => {
    const { keyOf } = bound(await start({ workers: 3, kind }));
    const caller = await cluster.connect(0);
    const puts = Array.from({ length: 30 }, (_, n) => put(keyOf(n % 3, n), `value ${n}`, n + 1));
    caller.send(frameOf(puts));
    const answers = await caller.take(30);
    expect(answers.map(({ status }) => status)).toEqual(Array(30).fill(Status.Ok));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(30);

    // Any worker gives what the others have.
    const other = await cluster.connect(2);
    other.send(frameOf(puts.map(({ key }, n) => get(key as string, n + 1))));
    const values = new Map((await other.take(30)).map(({ id, value }) => [id, value]));
    for (let n = 0; n < 30; n++) expect(values.get(n + 1)).toBe(`value ${n}`);
    for (const worker of cluster.workers) expect(worker.keys).toBe(10);
    expect(cluster.workers[0]?.counters.forwardedFrames).toBe(2);
    expect(cluster.workers[0]?.counters.forwardedOperations).toBe(20);
  });

  it('operations on one key keep their order over many frames', async () => {
    const { keyOf } = bound(await start({ workers: 2, kind }));
    const caller = await cluster.connect(0);
    const key = keyOf(1);
    for (let n = 1; n <= 200; n++)
      caller.send(frameOf([put(key, `${n}`, 2 * n), get(key, 2 * n + 1)]));
    const answers = await caller.take(400);
    for (let n = 1; n <= 200; n++) {
      expect(answers[2 * n - 2]).toMatchObject({ id: 2 * n, revision: n });
      expect(answers[2 * n - 1]).toMatchObject({ id: 2 * n + 1, value: `${n}` });
    }
  });

  it('large values and long frames go in parts', async () => {
    const { keyOf } = bound(await start({ workers: 2, kind, ringBytes: 64 * 1024 }));
    const caller = await cluster.connect(0);
    const value = 'x'.repeat(900_000);
    const key = keyOf(1);
    caller.send(frameOf([put(key, value, 1)]));
    caller.send(frameOf([get(key, 2), get(key, 3), get(key, 4)]));
    const answers = await caller.take(4);
    expect(answers.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    expect(answers.slice(1).every((answer) => answer.value === value)).toBe(true);
  });

  it('a client that does not read is paced at both ends and gets all in the end', async () => {
    const { keyOf } = bound(await start({ workers: 2, kind }));
    const caller = await cluster.connect(0);
    const key = keyOf(1);
    caller.send(frameOf([put(key, 'y'.repeat(100_000), 1)]));
    await caller.take(1);
    caller.client.socket.pause();
    const count = 600;
    caller.send(frameOf(Array.from({ length: count }, (_, n) => get(key, n + 2))));
    await settled(200);
    // Of 60 MB so much is under way as a socket, a window and a pause allow, and not all.
    const sent = cluster.workers[0]?.counters.sentBytes ?? 0;
    expect(sent).toBeLessThan(30_000_000);
    caller.client.socket.resume();
    const answers = await caller.take(count);
    expect(answers.at(-1)).toMatchObject({ id: count + 1, status: Status.Ok });
  });

  it('says what was lost with a worker, and goes on when it is back', async () => {
    const { keyOf } = bound(await start({ workers: 2, kind }));
    const caller = await cluster.connect(0);
    caller.send(frameOf([put(keyOf(0), 'a', 1), put(keyOf(1), 'b', 2)]));
    await caller.take(2);
    // Not to be counted as told of a table that came after its welcome.
    while (caller.events.length > 0) caller.events.pop();

    await cluster.kill(1);
    const lost = await caller.event();
    expect(lost.kind).toBe(EventKind.WorkerLost);
    expect(cluster.owners[lost.partition]).toBe(1);

    caller.send(frameOf([get(keyOf(0), 3), get(keyOf(1), 4)]));
    const answers = await caller.take(2);
    expect(answers.find(({ id }) => id === 3)).toMatchObject({ status: Status.Ok, value: 'a' });
    expect(answers.find(({ id }) => id === 4)).toMatchObject({ status: Status.Unavailable });
    const told = async () => {
      const { kind, value } = await caller.event();
      expect(kind).toBe(EventKind.Routing);
      return decodeRouting(new Uint8Array(value))?.workers[1];
    };
    expect(await told()).toMatchObject({ node: 101, isServing: false });

    await cluster.startWorker(1);
    await settled();
    caller.send(frameOf([put(keyOf(1), 'c', 5)]));
    expect(await caller.take(1)).toMatchObject([{ id: 5, status: Status.Ok, revision: 1 }]);
    expect(await told()).toEqual({ node: 101, port: cluster.ports[1], isServing: true });
  });

  it('answers what was forwarded before it stops, and leaves the others serving', async () => {
    const { keyOf } = bound(await start({ workers: 2, kind, logDelayMs: 30 }));
    const [first, second] = [await cluster.connect(0), await cluster.connect(1)];
    first.send(frameOf([put(keyOf(1), 'a', 1)]));
    second.send(frameOf([put(keyOf(0, 5), 'b', 1)]));
    await settled(5);
    await cluster.stopWorker(0);
    expect(await first.take(1)).toMatchObject([{ id: 1, status: Status.Ok }]);
    expect(await first.client.closed).toMatchObject({ code: 1001 });
    // The other's operation was carried out here, and its answer came before the end of the link.
    expect(await second.take(1)).toMatchObject([{ id: 1, status: Status.Ok }]);
    expect((await second.event()).kind).toBe(EventKind.WorkerLost);
    second.send(frameOf([get(keyOf(1), 2), get(keyOf(0), 3)]));
    const answers = await second.take(2);
    expect(answers.find(({ id }) => id === 2)).toMatchObject({ value: 'a' });
    expect(answers.find(({ id }) => id === 3)).toMatchObject({ status: Status.Unavailable });
  });

  it('all stop at once without waiting for each other in vain', async () => {
    const { keyOf } = bound(await start({ workers: 3, kind, logDelayMs: 10 }));
    const callers = await Promise.all([0, 1, 2].map((worker) => cluster.connect(worker)));
    for (const [at, caller] of callers.entries()) {
      caller.send(frameOf([0, 1, 2].map((worker) => put(keyOf(worker, at), 'x', worker + 1))));
    }
    await settled(3);
    const began = performance.now();
    await Promise.all([0, 1, 2].map((worker) => cluster.stopWorker(worker)));
    expect(performance.now() - began).toBeLessThan(2_500);
    for (const caller of callers) {
      const answers = await caller.take(3);
      expect(answers.every(({ status }) => status === Status.Ok)).toBe(true);
    }
  });
});

describe('sessions and channels', () => {
  it('a lock elsewhere is held by the session, and granted later over the channel', async () => {
    const { keyOf } = bound(await start({ workers: 2 }));
    const [holder, waiter] = [await cluster.session(0), await cluster.session(1)];
    const name = keyOf(1, 3);
    holder.send(frameOf([lock(name, 1)]));
    const [held] = await holder.take(1);
    expect(held).toMatchObject({ id: 1, status: Status.Ok });

    waiter.send(frameOf([lock(name, 1, WAIT_FOREVER)]));
    await settled();
    const unlock = { code: OperationCode.Unlock, key: name, id: 2 };
    holder.send(frameOf([{ ...unlock, expectedRevision: held?.revision ?? 0 }]));
    expect(await holder.take(1)).toMatchObject([{ id: 2, status: Status.Ok }]);
    const [granted] = await waiter.take(1);
    expect(granted).toMatchObject({ id: 1, status: Status.Ok });
    // And the other way round: granted at the worker that has no socket of the waiter.
    holder.send(frameOf([lock(name, 3, WAIT_FOREVER)]));
    await settled();
    waiter.send(frameOf([{ ...unlock, expectedRevision: granted?.revision ?? 0 }]));
    expect(await holder.take(1)).toMatchObject([{ id: 3, status: Status.Ok }]);
  });

  it('frames behind an attach keep their order', async () => {
    const { keyOf } = bound(await start({ workers: 2, delayMs: () => 5 }));
    const caller = await cluster.session(0);
    const key = keyOf(1);
    for (let n = 1; n <= 20; n++) caller.send(frameOf([put(key, `${n}`, n)]));
    const answers = await caller.take(20);
    expect(answers.map(({ id, revision }) => [id, revision])).toEqual(
      Array.from({ length: 20 }, (_, n) => [n + 1, n + 1]),
    );
  });

  it('a watch elsewhere pushes over the channel, and ends with the connection', async () => {
    const { keyOf } = bound(await start({ workers: 2 }));
    const [watcher, writer] = [await cluster.connect(0), await cluster.connect(1)];
    const key = keyOf(1);
    watcher.send(frameOf([{ code: OperationCode.Watch, key, id: 9, limit: CLASSES_ALL }]));
    expect(await watcher.take(1)).toMatchObject([{ id: 9, status: Status.Ok }]);
    writer.send(frameOf([put(key, 'seen', 1)]));
    for (;;) {
      const event = await watcher.event();
      if (event.kind !== EventKind.Put) continue;
      expect(event.key).toBe(key);
      break;
    }
    expect(cluster.workers[1]?.watches.count).toBe(1);
    watcher.client.socket.close();
    await until(() => cluster.workers[1]?.watches.count === 0, 'the end of the watch');
  });

  it('a frame that the other worker refuses closes the connection with its reason', async () => {
    const { keyOf } = bound(await start({ workers: 2 }));
    const caller = await cluster.session(0);
    const session = [...(cluster.workers[0]?.sessions.sessions() ?? [])][0] ?? 0;
    expect(session).toBeGreaterThan(0);
    // The session ends at its home while its client is quiet: the channel is refused.
    const engine = cluster.workers[0]?.engine;
    const original = engine?.resumeSession;
    if (engine === undefined || original === undefined) throw new Error('no engine');
    engine.resumeSession = () => Status.SessionForbidden;
    caller.send(frameOf([put(keyOf(1), 'x', 1)]));
    const { code } = await caller.client.closed;
    engine.resumeSession = original;
    expect(code).toBe(CLOSE_CODE_BASE + Status.SessionForbidden);
  });

  it('channels of the same number in both directions are told apart', async () => {
    const { keyOf } = bound(await start({ workers: 2 }));
    const [left, right] = [await cluster.connect(0), await cluster.connect(1)];
    for (const [caller, other] of [
      [left, 1],
      [right, 0],
    ] as const) {
      caller.send(frameOf([put(keyOf(other), 'x', 1)]));
      await caller.take(1);
    }
    left.client.socket.close();
    await until(() => cluster.workers[0]?.connections.size === 0, 'the end of one');
    await settled();
    right.send(frameOf([get(keyOf(0), 2), get(keyOf(1), 3)]));
    const answers = await right.take(2);
    expect(answers.map(({ value }) => value)).toEqual(['x', 'x']);
  });

  it('operations for a worker whose link is not up are answered, unexecuted', async () => {
    const { keyOf } = bound(await start({ workers: 2 }));
    const caller = await cluster.connect(0);
    // The table still says that it serves.
    cluster.network.lose(1);
    caller.send(frameOf([put(keyOf(0), 'a', 1), put(keyOf(1), 'b', 2), put(keyOf(1), 'c', 3)]));
    const answers = await caller.take(3);
    const statusOf = (id: number) => answers.find((answer) => answer.id === id)?.status;
    expect([1, 2, 3].map(statusOf)).toEqual([Status.Ok, Status.Unavailable, Status.Unavailable]);
    expect(cluster.workers[1]?.keys).toBe(0);
    expect(cluster.workers[0]?.counters.operationsUnavailable).toBe(2);
  });

  it.each([true, false])(
    'each operation of a long frame is answered once, though its worker comes meanwhile: %s',
    async (comes) => {
      const { keyOf } = bound(await start({ workers: 2 }));
      const caller = await cluster.connect(0);
      if (comes) await cluster.kill(1);
      const keys = [keyOf(0), keyOf(1)];
      const count = 8 * 1024;
      // Of the worker's own more than fit a reply: the frame goes on in several turns.
      caller.send(
        frameOf(Array.from({ length: count }, (_, n) => put(keys[n & 1] as string, 'v', n + 1))),
      );
      await until(() => (cluster.workers[0]?.keys ?? 0) > 0, 'the first turn');
      if (comes) await cluster.startWorker(1);
      else await cluster.kill(1);
      caller.send(frameOf([get(keys[0] as string, count + 1)]));
      const answers = [];
      while (answers.at(-1)?.id !== count + 1) answers.push(...(await caller.take(1)));
      await settled();
      answers.push(...(await caller.take(caller.answers.length)));
      const ids = answers.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const own = answers.filter(({ id }) => (id & 1) === 1 && id <= count);
      expect(own).toHaveLength(count / 2);
      const others = answers.filter(({ id }) => (id & 1) === 0).map(({ status }) => status);
      // What went to a worker that was lost has no answer, but the push that says so.
      if (comes) expect(others).toEqual(Array(count / 2).fill(Status.Unavailable));
      else expect(caller.events.map(({ kind }) => kind)).toContain(EventKind.WorkerLost);
    },
  );
});

/** `keyOf` as a function of its own. */
function bound(of: Cluster): { keyOf: Cluster['keyOf'] } {
  return { keyOf: (worker, number) => of.keyOf(worker, number) };
}
