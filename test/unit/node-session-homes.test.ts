// Sessions of several workers: every order in which what happens at once can happen, over links and engines that
// are models (`session-homes-node.ts`).

import { describe, expect, it } from 'vitest';
import { Status } from '../../ts/wire/status.js';
import { freshSeed } from '../parity/random.js';
import { everyOrder, type Scenario, someOrders } from './orders.js';
import { DIGEST, sessionAt } from './session-homes-model.js';
import { check, type ModelWorker, Node } from './session-homes-node.js';

/** A session of worker 0, resumed at worker 1, where it holds something. */
function held(workers: number, group = 5) {
  const node = new Node(workers);
  const session = node.session(0);
  const peer = node.worker(1).hello(session, group);
  node.drain();
  expect(node.worker(1).engine.hold(session)).toBe(true);
  node.drain();
  return { node, session, peer };
}

describe('a session of another worker', () => {
  it('is resumed when its home has said so, and frames wait until then', () => {
    const node = new Node(2);
    const session = node.session(0);
    const peer = node.worker(1).hello(session);
    expect(peer.data.backlog?.isBlocked).toBe(true);
    node.drain();
    expect(peer.data.backlog).toBeUndefined();
    expect(node.worker(1).welcomes.get(peer)).toMatchObject({ session, isResumed: true });
    expect(node.worker(1).engine.hold(session)).toBe(true);
    expect(check(node, session)).toEqual([]);
  });

  it('is refused with what its home says, or with a new one where a ttl is given', () => {
    const node = new Node(2);
    const [session, none] = [node.session(0), sessionAt(0, 2, 2)];
    const engine = node.worker(0).engine;
    engine.sessions.set(session, new Uint8Array(16));
    const forbidden = node.worker(1).hello(session);
    const unknown = node.worker(1).hello(none);
    const renewed = node.worker(1).hello(none, 0, 5_000);
    node.drain();
    expect([forbidden.closedWith, unknown.closedWith, renewed.closedWith]).toEqual([
      Status.SessionForbidden,
      Status.SessionUnknown,
      undefined,
    ]);
    expect(node.homeOf(renewed.data.session)).toBe(1);
  });

  it('is refused as unavailable where its home is not there, or goes before it answers', () => {
    const node = new Node(2);
    const session = node.session(0);
    const asked = node.worker(1).hello(session);
    node.crash(0);
    node.drain();
    const late = node.worker(1).hello(session);
    expect([asked.closedWith, late.closedWith]).toEqual([Status.Unavailable, Status.Unavailable]);
    node.restart(0);
    node.serve(0);
    node.drain();
    const again = node.worker(1).hello(session);
    node.drain();
    expect([again.closedWith, check(node, session)]).toEqual([undefined, []]);
  });

  it('that is new has its home where its connection is', () => {
    const node = new Node(4);
    const homes = [0, 1, 2, 3].map((index) => {
      const peer = node.worker(index).open();
      node.drain();
      return node.homeOf(peer.data.session);
    });
    expect(homes).toEqual([0, 1, 2, 3]);
  });

  it('is tried again where writes are refused when it ends', () => {
    const { node, session, peer } = held(2);
    const { engine } = node.worker(1);
    engine.refusesWrites = true;
    node.worker(0).end(session);
    node.drain();
    expect([peer.closedWith, engine.holds.has(session)]).toEqual([Status.SessionUnknown, true]);
    engine.refusesWrites = false;
    node.drain();
    expect([check(node, session), node.freed(1, session)]).toEqual([[], 1]);
  });
});

describe('the connections of a session', () => {
  it('of one group are one direct one a worker, and channels beside it', () => {
    const node = new Node(3);
    const session = node.session(0);
    const [first, second] = [node.worker(1).hello(session, 5), node.worker(2).hello(session, 5)];
    const channel = node.worker(1).channel(session, DIGEST, 5);
    const home = node.worker(0).hello(session, 5);
    node.drain();
    for (const peer of [first, second, channel, home]) expect(peer.closedWith).toBeUndefined();
    expect(node.worker(1).registry.peerOf(session)).toBe(channel);
    const third = node.worker(1).hello(session, 5);
    node.drain();
    expect([first.closedWith, first.closeCode]).toEqual([undefined, 1000]);
    expect([channel.closedWith, channel.closeCode]).toEqual([undefined, undefined]);
    expect(node.worker(1).registry.peerOf(session)).toBe(third);
    node.worker(1).close(third);
    expect(node.worker(1).registry.peerOf(session)).toBe(channel);
    expect(check(node, session)).toEqual([]);
  });

  it.each([0, 6])('lose it everywhere to a hello of group %i', (group) => {
    const node = new Node(3);
    const session = node.session(0);
    const peers = [0, 1, 2].map((index) => node.worker(index).hello(session, 5));
    node.drain();
    peers.push(node.worker(2).channel(session, DIGEST, 5));
    node.drain();
    const taker = node.worker(1).hello(session, group);
    node.drain();
    expect(peers.map(({ closedWith }) => closedWith)).toEqual(Array(4).fill(Status.SessionMoved));
    expect([taker.closedWith, check(node, session)]).toEqual([undefined, []]);
    // A channel of it is of the same group, also where the hello named none.
    const own = node.worker(1).registry.bindingOf(taker.asPeer)?.group as number;
    const channel = node.worker(2).channel(session, DIGEST, own);
    const late = node.worker(2).channel(session, DIGEST, 5);
    node.drain();
    expect([channel.closedWith, late.closedWith]).toEqual([undefined, Status.SessionMoved]);
    expect(taker.closedWith).toBeUndefined();
  });
});

describe('answers are remembered', () => {
  const remembered = (node: Node, index: number, session: number) => {
    const worker = node.worker(index);
    const peer = worker.hello(session, 5);
    node.drain();
    return worker.welcomes.get(peer)?.answersRemembered;
  };

  it('by all workers since the session was made, unless one has died', () => {
    const node = new Node(3);
    const { session } = node.worker(0).open(5).data;
    node.drain();
    node.worker(0).engine.sessions.set(session, DIGEST);
    node.worker(0).settle();
    expect([0, 1].map((index) => remembered(node, index, session))).toEqual([true, true]);
    node.crash(2);
    expect([0, 1].map((index) => remembered(node, index, session))).toEqual([false, false]);
    node.restart(2);
    node.serve(2);
    node.drain();
    expect([0, 1, 2].map((index) => remembered(node, index, session))).toEqual([
      false,
      false,
      false,
    ]);
  });

  it('again at a worker where its client has learned that some were not', () => {
    const node = new Node(3);
    const session = node.session(0);
    const worker = node.worker(1);
    expect(remembered(node, 1, session)).toBe(false);
    expect(remembered(node, 1, session)).toBe(false);
    const peer = worker.hello(session, 5);
    node.drain();
    // Told before the death, heard after it: what was asked for in between may be lost.
    node.crash(2);
    worker.registry.hear(peer.asPeer);
    expect(remembered(node, 1, session)).toBe(false);
    const next = worker.hello(session, 5);
    node.drain();
    worker.registry.hear(next.asPeer);
    expect([1, 0].map((index) => remembered(node, index, session))).toEqual([true, false]);
  });

  it('and what comes through a channel is no proof', () => {
    const node = new Node(2);
    const session = node.session(0);
    const channel = node.worker(1).channel(session, DIGEST, 5);
    node.drain();
    expect(channel.data.isUnheard).toBe(false);
    expect(remembered(node, 1, session)).toBe(false);
  });
});

const SEED = freshSeed();

describe('in every order', () => {
  const run = (make: () => Scenario) => expect(everyOrder(make)).toBeGreaterThan(5);

  it('a session ends while it is resumed elsewhere', () => {
    run(() => {
      const node = new Node(2);
      const session = node.session(0);
      const lists = [
        [() => node.worker(0).end(session)],
        [() => void node.worker(1).hello(session), () => void node.worker(1).engine.hold(session)],
      ];
      return { node, lists, faults: () => check(node, session) };
    });
  });

  it('clients resume it at its home and at another worker', () => {
    run(() => {
      const node = new Node(2);
      const session = node.session(0);
      const lists = [
        [() => void node.worker(0).hello(session), () => void node.worker(0).hello(session, 5)],
        [() => void node.worker(1).hello(session, 6)],
      ];
      return { node, lists, faults: () => [...check(node, session), ...oneOpen(node)] };
    });
  });

  it('a hello of another group takes it while a channel of the old one is opened', () => {
    run(() => {
      const node = new Node(3);
      const session = node.session(0);
      node.worker(1).hello(session, 5);
      node.drain();
      const lists = [
        [() => void node.worker(2).channel(session, DIGEST, 5)],
        [() => void node.worker(2).hello(session, 6)],
      ];
      return { node, lists, faults: () => check(node, session) };
    });
  });

  it('a channel and a direct connection come to one worker, and the session ends', () => {
    run(() => {
      const { node, session } = held(2);
      const lists = [
        [() => void node.worker(1).channel(session, DIGEST, 5)],
        [() => void node.worker(1).hello(session, 5)],
        [() => node.worker(0).end(session)],
      ];
      return { node, lists, faults: () => [...check(node, session), ...freedOnce(node, session)] };
    });
  });

  it('its home dies around its end, and comes back', () => {
    const freed = new Set<number>();
    run(() => {
      const { node, session } = held(2);
      const lists = [[() => node.worker(0).end(session), ...life(node, 0)]];
      const faults = () => {
        freed.add(node.freed(1, session));
        return check(node, session);
      };
      return { node, lists, faults };
    });
    // Where the end was not durable the session goes on with what it has.
    expect([...freed].sort()).toEqual([0, 1]);
  });

  it('a worker with guests dies and comes back while the session ends', () => {
    run(() => {
      const { node, session } = held(2);
      const lists = [life(node, 1), [() => node.worker(0).end(session)]];
      return { node, lists, faults: () => [...check(node, session), ...freedOnce(node, session)] };
    });
  });
});

describe(`in some orders, RONDO_SEED=${SEED}`, () => {
  const run = (make: () => Scenario) => expect(someOrders(make, SEED, 300)).toBe(300);

  it('a check crosses a resume and an end', () => {
    run(() => {
      const { node, session } = held(2);
      const hello = () => void node.worker(1).hello(session, 5);
      const lists = [[...life(node, 1), hello], [() => node.worker(0).end(session)]];
      return { node, lists, faults: () => check(node, session) };
    });
  });

  it('three clients resume it at three workers, and the last one has it', () => {
    run(() => {
      const node = new Node(3);
      const session = node.session(0);
      const lists = [0, 1, 2].map((index) => [
        () => void node.worker(index).hello(session, index === 0 ? 0 : index + 5),
      ]);
      return { node, lists, faults: () => [...check(node, session), ...oneOpen(node)] };
    });
  });

  it('home and guest die, are refused writes, and clients come and go', () => {
    run(() => {
      const { node, session, peer } = held(3);
      const at = (index: number, act: (worker: ModelWorker) => void) => () => {
        const worker = node.alive[index];
        if (worker !== undefined) act(worker);
      };
      const lists = [
        [at(0, (worker) => worker.end(session)), ...life(node, 0)],
        life(node, 1),
        [
          at(2, (worker) => void worker.hello(session, 6)),
          at(2, (worker) => void worker.engine.hold(session)),
          at(2, ({ engine }) => {
            engine.refusesWrites = true;
          }),
        ],
        [at(1, (worker) => worker.close(peer)), at(1, (worker) => void worker.hello(session, 7))],
        [at(2, (worker) => void worker.channel(session, DIGEST, 7))],
      ];
      const faults = () => {
        node.worker(2).engine.refusesWrites = false;
        node.drain();
        renew(node, session);
        return check(node, session);
      };
      return { node, lists, faults };
    });
  });
});

describe('the model', () => {
  it('finds what is freed while its session lives', () => {
    const { node, session } = held(2);
    node.worker(0).end(session);
    // Not durable: it might come back.
    expect(() => node.worker(1).engine.endGuest(session)).toThrow('before its end was durable');
  });

  it('finds an end that is not told', () => {
    const faulty = () => {
      const { node, session } = held(2);
      node.worker(0).homes.onEnded = () => undefined;
      return {
        node,
        lists: [[() => node.worker(0).end(session)]],
        faults: () => check(node, session),
      };
    };
    expect(() => everyOrder(faulty)).toThrow('holds at 1 are left');
  });
});

/** A worker dies, and comes back in two steps. */
function life(node: Node, index: number): (() => void)[] {
  return [() => node.crash(index), () => node.restart(index), () => node.serve(index)];
}

/** Each connection renews the session: a home that has started anew learns then whose it is. */
function renew(node: Node, session: number): void {
  for (const worker of node.alive as ModelWorker[]) {
    for (const peer of worker.peers) {
      const binding = worker.registry.bindingOf(peer.asPeer);
      if (!peer.isOpen || binding?.session !== session || binding.isChannel) continue;
      const home = node.worker(node.homeOf(session));
      const channel = home.channel(session, DIGEST, binding.group);
      node.drain();
      // It goes with the connection that it is for.
      if (!channel.isOpen) worker.close(peer);
      else home.close(channel);
    }
  }
}

function oneOpen(node: Node): string[] {
  const open = node.alive.flatMap((worker) => worker?.peers.filter(({ isOpen }) => isOpen));
  return open.length === 1 ? [] : [`${open.length} connections are open`];
}

function freedOnce(node: Node, session: number): string[] {
  const freed = node.freed(1, session);
  return freed === 1 ? [] : [`freed ${freed} times`];
}
