// The client of a node with several workers: which connection each operation leaves over, what becomes of calls
// when a connection, a worker or the way to one is lost, and what keeps a session.

import { describe, expect, it } from 'vitest';
import type { Router } from '../../ts/client/router.js';
import { compareTexts } from '../../ts/client/routes.js';
import { sessionName } from '../../ts/client/watch-events.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { EventKind } from '../../ts/wire/push.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { Cluster } from './client-cluster.js';
import { client, delay, state, until, verdict } from './client-harness.js';
import type { SentOperation } from './client-scripted-node.js';

const keysAt = (cluster: Cluster, worker: number): string[] =>
  cluster.operationsAt(worker).map(({ key }) => key);

describe('a node with several workers', () => {
  it('gets each operation at the worker of its key', async () => {
    const cluster = await Cluster.start(3);
    const rondo = client(cluster.url);
    const keys = Array.from({ length: 60 }, (_, index) => `${'ü😀€k'.repeat(index % 3)} ${index}`);
    keys.push('{tag}a', '{tag}b', 'a{tag}', '{}x');
    await Promise.all(keys.map((key) => rondo.kv.put(key, 1)));
    await rondo.ready();
    await Promise.all([
      ...keys.map((key) => rondo.kv.get(key)),
      ...keys.map((key) => rondo.kv.delete(key)),
      ...keys.map((key) => rondo.kv.touch(key, { ttlMs: 5 })),
    ]);
    const { workers } = cluster;
    for (const [index, node] of workers.entries()) {
      expect(node.hellos).toHaveLength(1);
      for (const key of keysAt(cluster, index))
        expect([key, cluster.ownerOf(key)]).toEqual([key, index]);
    }
    const sent = workers.flatMap((_, index) => cluster.operationsAt(index));
    expect(sent).toHaveLength(keys.length * 4);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(sent.length);
  });

  it('gets locks and all that is of them where their names are', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url);
    const name = cluster.keyOf(1);
    const lock = await rondo.lock(name);
    await lock.put(cluster.keyOf(0), 1);
    await lock.release();
    expect(cluster.operationsAt(1).map(({ code }) => code)).toEqual([
      OperationCode.Lock,
      OperationCode.Unlock,
    ]);
    expect(cluster.operationsAt(0).map(({ code }) => code)).toEqual([OperationCode.Put]);
    const semaphore = await rondo.semaphore(name, 2).acquire();
    expect(cluster.operationsAt(1).at(-1)?.code).toBe(OperationCode.Lock);
    await semaphore.release();
  });

  it('has connections of one session and one group, made when they are needed', async () => {
    const cluster = await Cluster.start(3);
    const rondo = client(cluster.url);
    await rondo.ready();
    await rondo.kv.get(cluster.keyOf(0));
    expect(cluster.workers.map(({ hellos }) => hellos.length)).toEqual([1, 0, 0]);
    await rondo.kv.get(cluster.keyOf(2));
    expect(cluster.workers.map(({ hellos }) => hellos.length)).toEqual([1, 0, 1]);
    const [first] = cluster.worker(0).hellos;
    const [second] = cluster.worker(2).hellos;
    expect(first?.group).toBeGreaterThan(0);
    expect(first?.group).toBeLessThan(2 ** 53);
    expect(second).toMatchObject({ session: 1, group: first?.group });
    expect(second?.sessionSecret).toHaveLength(16);
  });

  it('is one connection where so wished', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url, { routing: 'single' });
    await Promise.all([rondo.kv.put(cluster.keyOf(0), 1), rondo.kv.put(cluster.keyOf(1), 1)]);
    await rondo.kv.get(cluster.keyOf(1));
    expect(cluster.operationsAt(0)).toHaveLength(3);
    expect(cluster.worker(1).hellos).toHaveLength(0);
    const other = { routing: 'many' } as unknown as { routing: 'auto' };
    expect(() => client(cluster.url, other)).toThrow('routing');
  });

  it('ends its session at the worker that has it, and closes every connection', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url);
    await rondo.kv.get(cluster.keyOf(1));
    await rondo.kv.get(cluster.keyOf(0));
    const home = cluster.ownerOf(sessionName(1));
    await rondo.drain();
    expect(cluster.operationsAt(home).at(-1)?.code).toBe(OperationCode.EndSession);
    expect(cluster.operationsAt(1 - home).at(-1)?.code).toBe(OperationCode.Get);
    for (const { peers } of cluster.workers) await until(() => peers[0]?.socket.readyState === 3);
  });
});

describe('a worker whose own port cannot be reached', () => {
  it('is reached over the first connection', async () => {
    const cluster = await Cluster.start(2);
    cluster.ports.set(1, 1);
    cluster.tell();
    const rondo = client(cluster.url);
    const key = cluster.keyOf(1);
    await Promise.all([rondo.kv.put(key, 1), rondo.kv.put(key, 2)]);
    expect(cluster.operationsAt(0).map(({ text }) => text)).toEqual(['1', '2']);
  });

  it('is tried again when the routing table says where it is, behind what is under way', async () => {
    const cluster = await Cluster.start(2);
    cluster.ports.set(1, 0);
    cluster.tell();
    const held: SentOperation[] = [];
    cluster.worker(0).script = (_peer, operations) => held.push(...operations);
    const rondo = client(cluster.url);
    const key = cluster.keyOf(1);
    const first = rondo.kv.put(key, 1);
    await until(() => held.length === 1);
    cluster.ports.clear();
    cluster.tell();
    cluster.pushRouting(0);
    await until(() => cluster.worker(1).hellos.length === 1);
    await delay(50);
    const second = rondo.kv.put(key, 2);
    await delay(50);
    expect(cluster.operationsAt(1)).toHaveLength(0);
    cluster.worker(0).peers[0]?.confirm(held);
    await Promise.all([first, second]);
    expect(cluster.operationsAt(1).map(({ text }) => text)).toEqual(['2']);
  });

  it('does not keep calls waiting where the port swallows all', async () => {
    const cluster = await Cluster.start(2);
    cluster.worker(1).onHello = () => undefined;
    const rondo = client(cluster.url);
    const began = performance.now();
    await rondo.kv.put(cluster.keyOf(1), 1);
    expect(performance.now() - began).toBeLessThan(3000);
    expect(keysAt(cluster, 0)).toEqual([cluster.keyOf(1)]);
  });

  it('is not waited for by those who wait for no connection', async () => {
    const cluster = await Cluster.start(2);
    cluster.ports.set(1, 1);
    cluster.tell();
    const rondo = client(cluster.url, { queue: { mode: 'fail-fast' } });
    await rondo.ready();
    await rondo.kv.put(cluster.keyOf(1), 1);
    expect(keysAt(cluster, 0)).toEqual([cluster.keyOf(1)]);
  });
});

describe('a lost connection to one worker', () => {
  it('concerns its own calls alone, which are repeated under their ids', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url);
    await rondo.kv.get(cluster.keyOf(1));
    const held: SentOperation[] = [];
    cluster.worker(0).script = (_peer, operations) => held.push(...operations);
    let isCut = false;
    cluster.worker(1).script = (peer, operations) => {
      if (isCut) peer.confirm(operations);
      else peer.socket.terminate();
      isCut = true;
    };
    const other = rondo.kv.put(cluster.keyOf(0), 1);
    await rondo.kv.put(cluster.keyOf(1), 1);
    const puts = cluster.operationsAt(1).filter(({ code }) => code === OperationCode.Put);
    expect(puts).toHaveLength(2);
    expect(puts[0]?.id).toBe(puts[1]?.id);
    expect(rondo.welcome).toBeDefined();
    cluster.worker(0).peers[0]?.confirm(held);
    await other;
    expect(cluster.worker(0).hellos).toHaveLength(1);
  });

  it('that is the first leaves the others as they are', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url, { retry: { delayMsMin: 300, delayMsMax: 300 } });
    await rondo.kv.get(cluster.keyOf(1));
    cluster.worker(0).cut();
    await state(rondo, 'reconnecting');
    await rondo.kv.put(cluster.keyOf(1), 1);
    expect(rondo.welcome).toBeUndefined();
    expect(cluster.worker(1).hellos).toHaveLength(1);
  });

  it('is made again to whichever worker takes it, which then has but one', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url);
    await rondo.kv.get(cluster.keyOf(1));
    // The shared port is now answered by worker 1, which closes the connection that it has.
    const [node, other] = [cluster.worker(0), cluster.worker(1)];
    node.worker = 1;
    node.onHello = (peer) => {
      other.peers[0]?.socket.close(1000, 'replaced');
      setTimeout(() => node.welcome(peer), 20);
    };
    node.cut();
    await state(rondo, 'reconnecting');
    await rondo.ready();
    await rondo.kv.put(cluster.keyOf(1), 1);
    expect(keysAt(cluster, 0)).toContain(cluster.keyOf(1));
    expect(other.hellos).toHaveLength(1);
  });
});

describe('a first connection that comes to the worker of a lost one that is being made again', () => {
  it('is made again where the node has taken the other for the newer', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url, { retry: { delayMsMin: 20, delayMsMax: 20 } });
    const key = cluster.keyOf(1);
    await rondo.kv.get(key);
    // Both are lost, and worker 1 answers the shared port too; the other's hello comes behind the first one's.
    const [node, other] = [cluster.worker(0), cluster.worker(1)];
    let hellos = 0;
    node.worker = 1;
    other.onHello = () => void hellos++;
    node.onHello = async (peer) => {
      node.onHello = undefined;
      await until(() => hellos > 0);
      node.welcome(peer);
      setTimeout(() => peer.socket.close(1000, 'replaced'), 20);
    };
    node.cut();
    other.cut();
    await until(() => node.hellos.length === 3);
    await rondo.kv.put(key, 1);
    expect(keysAt(cluster, 0)).toContain(key);
  });
});

describe('a lock that was asked for over the first connection', () => {
  it('may be granted over that of its worker, which came up meanwhile', async () => {
    const cluster = await Cluster.start(2);
    cluster.ports.set(1, 0);
    cluster.tell();
    const held: SentOperation[] = [];
    cluster.worker(0).script = (_peer, operations) => held.push(...operations);
    const rondo = client(cluster.url);
    const lock = rondo.lock(cluster.keyOf(1));
    await until(() => held.length === 1);
    cluster.ports.clear();
    cluster.tell();
    cluster.pushRouting(0);
    await until(() => cluster.worker(1).hellos.length === 1);
    await delay(50);
    // The node answers a wait over the connection that its session had last.
    cluster.worker(1).peers[0]?.confirm(held);
    await (await lock).release();
    expect(cluster.workers.map(({ hellos }) => hellos.length)).toEqual([1, 1]);
  });
});

describe('a session that moved', () => {
  it('ends the client, whichever connection hears of it', async () => {
    for (const worker of [0, 1]) {
      const cluster = await Cluster.start(2);
      const rondo = client(cluster.url);
      await rondo.kv.get(cluster.keyOf(1));
      cluster.worker(worker).peers[0]?.socket.close(CLOSE_CODE_BASE + Status.SessionMoved, '');
      await state(rondo, 'closed');
      expect(await verdict(rondo.kv.get('k'))).toMatchObject({ code: 'SESSION_MOVED' });
    }
  });
});

describe('a session of a node with several workers', () => {
  it('is kept alive by signs of life at its own worker, and by nothing else', async () => {
    const cluster = await Cluster.start(2);
    for (const { sessions } of cluster.workers) if (sessions !== undefined) sessions.ttlMs = 600;
    const home = cluster.ownerOf(sessionName(1));
    const rondo = client(cluster.url);
    const key = cluster.keyOf(1 - home);
    const end = performance.now() + 900;
    while (performance.now() < end) {
      await rondo.kv.get(key);
      await delay(20);
    }
    const renewalsAt = (worker: number): number =>
      cluster.worker(worker).operations.filter(({ code }) => code === OperationCode.Renew).length;
    expect(renewalsAt(1 - home)).toBe(0);
    expect(renewalsAt(home)).toBeGreaterThanOrEqual(2);
    expect(cluster.worker(0).hellos).toHaveLength(1);
  });

  it('counts as lost where its worker answers no more, whatever others answer', async () => {
    const cluster = await Cluster.start(2);
    for (const { sessions } of cluster.workers) if (sessions !== undefined) sessions.ttlMs = 400;
    const home = cluster.ownerOf(sessionName(1));
    const rondo = client(cluster.url, { timeoutMs: 5000 });
    const lock = await rondo.lock(cluster.keyOf(1 - home));
    for (const node of cluster.workers) {
      node.script = (peer, operations) => {
        peer.confirm(operations.filter(({ code }) => code !== OperationCode.Renew));
      };
    }
    for (const node of cluster.workers) node.onHello = () => undefined;
    const key = cluster.keyOf(1 - home);
    void (async () => {
      while (!lock.signal.aborted) {
        await rondo.kv.get(key).catch(() => undefined);
        await delay(20);
      }
    })();
    await until(() => lock.signal.aborted);
    expect(lock.signal.reason).toMatchObject({ code: 'SESSION_UNKNOWN' });
  });

  it('that one connection hears the end of is replaced at all', async () => {
    const cluster = await Cluster.start(2);
    const rondo = client(cluster.url);
    const lock = await rondo.lock(cluster.keyOf(1));
    for (const { sessions } of cluster.workers)
      if (sessions !== undefined) sessions.resumes = false;
    cluster.worker(0).sessionsMade = 6;
    cluster.worker(1).peers[0]?.socket.close(CLOSE_CODE_BASE + Status.SessionUnknown, '');
    await until(() => lock.signal.aborted);
    for (const { sessions } of cluster.workers) if (sessions !== undefined) sessions.resumes = true;
    await until(() => cluster.worker(0).hellos.length === 2);
    expect(cluster.worker(0).hellos[1]).toMatchObject({ session: 0 });
    await rondo.kv.put(cluster.keyOf(1), 1);
    await until(() => cluster.worker(1).hellos.length === 2);
    expect(cluster.worker(1).hellos[1]).toMatchObject({ session: 7 });
  });
});

describe('a lost worker that the first connection reached others by', () => {
  async function forwarded(): Promise<[Cluster, SentOperation[]]> {
    const cluster = await Cluster.start(2);
    cluster.ports.set(1, 0);
    cluster.tell();
    const held: SentOperation[] = [];
    cluster.worker(0).script = (_peer, operations) => held.push(...operations);
    return [cluster, held];
  }

  it('has its reads and locks asked again, and its writes in doubt', async () => {
    const [cluster, held] = await forwarded();
    const rondo = client(cluster.url);
    const [here, there] = [cluster.keyOf(0), cluster.keyOf(1)];
    const put = verdict(rondo.kv.put(there, 1));
    const get = rondo.kv.get(there);
    const lock = rondo.lock(there);
    const other = rondo.kv.put(here, 1);
    await until(() => held.length === 4);
    const [, read, wait] = held;
    cluster.push(0, EventKind.WorkerLost, 1);
    expect(await put).toEqual({ code: 'CONNECTION_LOST', retryable: true, maybeApplied: true });
    await until(() => held.length === 6);
    const again = held.slice(4);
    expect(again.map(({ key }) => key)).toEqual([there, there]);
    expect(again.find(({ code }) => code === OperationCode.Lock)?.id).toBe(wait?.id);
    expect(again.find(({ code }) => code === OperationCode.Get)?.id).toBeDefined();
    expect(read?.code).toBe(OperationCode.Get);
    const peer = cluster.worker(0).peers[0];
    peer?.confirm([...again, ...held.slice(3, 4)]);
    await Promise.all([get, lock, other]);
  });

  it('may have been told of before what was on its way then is answered', async () => {
    const [cluster, held] = await forwarded();
    const rondo = client(cluster.url);
    const there = cluster.keyOf(1);
    const put = verdict(rondo.kv.put(there, 1));
    const get = rondo.kv.get(there);
    await until(() => held.length === 2);
    cluster.push(0, EventKind.WorkerLost, 1);
    expect(await put).toMatchObject({ code: 'CONNECTION_LOST', maybeApplied: true });
    const peer = cluster.worker(0).peers[0];
    peer?.status(held.slice(0, 1), Status.Unavailable);
    peer?.confirm(held.slice(1, 2));
    await until(() => held.length === 3);
    peer?.confirm(held.slice(2));
    await get;
    expect(cluster.worker(0).hellos).toHaveLength(1);
  });

  it('is asked again for as long as it does not serve, in order', async () => {
    const [cluster] = await forwarded();
    let refusals = 0;
    const done: string[] = [];
    // The whole of a frame meets one routing table.
    cluster.worker(0).script = (peer, operations) => {
      if (refusals < 4) {
        refusals++;
        peer.status(operations, Status.Unavailable);
      } else {
        done.push(...operations.map(({ text }) => text));
        peer.confirm(operations);
      }
    };
    const retry = { delayMsMin: 150, delayMsMax: 150 };
    const rondo = client(cluster.url, { session: false, retry });
    const key = cluster.keyOf(1);
    const puts = [rondo.kv.put(key, 0)];
    await until(() => refusals === 1);
    await delay(10);
    for (let value = 1; value < 6; value++) puts.push(rondo.kv.put(key, value));
    await Promise.all(puts);
    expect(refusals).toBe(4);
    expect(done).toEqual(['0', '1', '2', '3', '4', '5']);
  });

  it('that stays away is an error within the deadline, and nothing was done', async () => {
    const [cluster] = await forwarded();
    cluster.worker(0).script = (peer, operations) => peer.status(operations, Status.Unavailable);
    const rondo = client(cluster.url, { timeoutMs: 200 });
    const { code, retryable, maybeApplied } = await verdict(rondo.kv.put(cluster.keyOf(1), 1));
    expect([code, retryable, maybeApplied]).toEqual(['TIMEOUT', true, false]);
  });
});

describe('answers that one connection hears to be forgotten', () => {
  it.each([true, false])(
    'are so for all of them (the first is lost before: %s)',
    async (isBefore) => {
      const cluster = await Cluster.start(3);
      cluster.ports.set(2, 0);
      cluster.tell();
      const [node, other] = [cluster.worker(0), cluster.worker(1)];
      const held: SentOperation[] = [];
      node.script = (_peer, operations) => held.push(...operations);
      const rondo = client(cluster.url);
      await rondo.kv.get(cluster.keyOf(1));
      // For worker 2, which dies with what it remembers; nobody is told while the connections are away.
      const put = verdict(rondo.kv.put(cluster.keyOf(2), 1));
      await until(() => held.length === 1);
      node.onHello = () => undefined;
      if (isBefore) node.cut();
      if (other.sessions !== undefined) other.sessions.answersRemembered = false;
      other.cut();
      await until(() => other.hellos.length === 2);
      await rondo.kv.get(cluster.keyOf(1));
      if (!isBefore) node.cut();
      await until(() => node.hellos.length === 2);
      node.onHello = undefined;
      node.script = (peer, operations) => peer.confirm(operations);
      // The worker that takes the first one has heard of the session since, and says that it remembers all.
      node.cut();
      expect(await put).toMatchObject({ code: 'CONNECTION_LOST', maybeApplied: true });
      await rondo.ready();
      await rondo.kv.get(cluster.keyOf(0));
      expect(keysAt(cluster, 0).filter((key) => key === cluster.keyOf(2))).toHaveLength(1);
    },
  );
});

describe('a node that comes back with other workers', () => {
  it('gets what waited at the workers that have it now', async () => {
    const before = await Cluster.start(2);
    const rondo = client(before.url);
    await rondo.kv.get(before.keyOf(1));
    const after = await Cluster.start(3);
    before.worker(0).routing = after.table();
    before.worker(1).cut();
    await before.worker(1).stop();
    before.worker(0).cut();
    await state(rondo, 'reconnecting');
    const key = after.keyOf(2);
    await rondo.kv.put(key, 1);
    expect(keysAt(after, 2)).toEqual([key]);
    before.worker(0).routing = new Uint8Array(0);
    before.worker(0).cut();
    await state(rondo, 'reconnecting');
    await rondo.ready();
    await rondo.kv.put(key, 2);
    expect(keysAt(before, 0)).toContain(key);
    // Connections that are no more are not looked at with every call.
    const { router } = rondo as unknown as { router: Router };
    expect(router.intake.queues).toHaveLength(1);
  });
});

describe('the order of texts', () => {
  it('is that of their bytes', () => {
    const texts = [
      '',
      'a',
      'ab',
      'b',
      '\u07ff',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '😀',
      '😀a',
      '😁',
      '\u{10ffff}',
    ];
    for (const one of texts) {
      for (const other of texts) {
        const expected = Math.sign(Buffer.compare(Buffer.from(one), Buffer.from(other)));
        expect(Math.sign(compareTexts(one, other))).toBe(expected);
      }
    }
  });
});
