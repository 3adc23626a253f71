// Hello, resume and what becomes of a session's connection, with an engine whose answers the test lays down.

import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Backlogs, FRAME_DONE } from '../../node/backlog.js';
import { Counters } from '../../node/counters.js';
import { Effects } from '../../node/effects.js';
import { Greeting } from '../../node/greeting.js';
import { SessionRegistry } from '../../node/session-registry.js';
import type { Watches, WatchRequest } from '../../node/watch/watches.js';
import type { WelcomeSession } from '../../node/welcome.js';
import {
  NOTICE_ANSWER,
  NOTICE_REQUEST,
  NOTICE_SESSION_ENDED,
} from '../../ts/engine/coordination.js';
import {
  OUTCOME_COUNT,
  OUTCOME_MORE,
  OUTCOME_POSITION,
  OUTCOME_SESSIONS,
} from '../../ts/engine/engine.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { STATUS_COUNT, Status } from '../../ts/wire/status.js';
import { helloOf } from '../drive/hello.js';
import { answersOf, FakeEngine, FakeGate, FakePeer, FakeTurns } from './node-fakes.js';

const SECRET = new Uint8Array(16).fill(9);
/** Where an engine counts the sessions that their clients have ended. */
const ENDS_ASKED = OperationCode.EndSession * STATUS_COUNT + Status.Ok;

class Bench {
  readonly engine = new FakeEngine();
  readonly registry = new SessionRegistry();
  readonly turns = new FakeTurns();
  readonly welcomes: WelcomeSession[] = [];
  readonly executed: number[] = [];
  /** Closes and frames sent, by connection. */
  readonly order: string[] = [];
  readonly counters = new Counters();
  readonly watched: string[] = [];
  readonly watches = {
    onRecords: (append: number, records: Uint8Array, position: number, end: number) =>
      this.watched.push(`records ${append} ${records.length} from ${position} to ${end}`),
    onDurable: (append: number) => this.watched.push(`durable ${append}`),
    watch: (_: unknown, request: WatchRequest, append: number, position: number) =>
      this.watched.push(`watch ${request.id} at ${append} ${position}`),
    unwatch: (_: unknown, request: WatchRequest) => this.watched.push(`unwatch ${request.id}`),
  } as unknown as Watches;
  more = 0;
  dismissed = 0;
  /** Where there are several workers, of whose sessions 42 has its home here. */
  homes: ReturnType<ConstructorParameters<typeof Effects>[0]['homes']>;
  readonly told: [session: number, isAsked: boolean][] = [];
  /** Drawn before the system's bytes. */
  readonly drawn: Buffer[] = [];
  readonly gate = new FakeGate(this.engine, (peer, bytes) => this.send(peer as never, bytes));
  readonly effects: Effects;
  readonly greeting: Greeting;
  readonly backlogs: Backlogs;
  private peers = 0;

  constructor(durability: 'sync' | 'none' = 'sync') {
    const send = (peer: unknown, bytes: Uint8Array) => this.send(peer as FakePeer, bytes);
    const refuse = (peer: unknown, status: Status) => {
      (peer as FakePeer).refuse(status);
      this.order.push(`close ${(peer as FakePeer).id}`);
      this.registry.unbind(peer as never);
    };
    const logger = pino({ level: 'silent' });
    const { clock } = this.turns;
    this.effects = new Effects({
      engine: this.engine.asEngine,
      partitions: 1,
      gate: durability === 'none' ? undefined : this.gate.asGate,
      isWaiting: durability !== 'none',
      registry: this.registry,
      watches: this.watches,
      counters: this.counters,
      logger,
      send,
      refuse,
      dismiss: (peer, status) => {
        this.dismissed++;
        refuse(peer, status);
      },
      homes: () => this.homes,
      onMore: () => this.more++,
    });
    this.backlogs = new Backlogs({
      clock,
      bytesMax: 1_000,
      isExecuting: () => true,
      execute: (_, frame) => {
        this.executed.push(frame.byteLength);
        return FRAME_DONE;
      },
      refuse,
    });
    this.greeting = new Greeting({
      engine: this.engine.asEngine,
      effects: this.effects,
      registry: this.registry,
      homes: undefined,
      worker: 0,
      backlogs: this.backlogs,
      tokens: undefined,
      sessionsMax: 2,
      clock,
      logger,
      welcome: (session) => {
        this.welcomes.push(session);
        return Buffer.from(`welcome ${session.session}`);
      },
      send,
      refuse,
      randomBytes: (length) => this.drawn.shift() ?? Buffer.alloc(length, 1),
    });
  }

  peer(): FakePeer {
    return new FakePeer(++this.peers);
  }

  hello(fields: Parameters<typeof helloOf>[0]): FakePeer {
    const peer = this.peer();
    this.greeting.answer(peer.asPeer, helloOf(fields));
    return peer;
  }

  resume(session: number, more: Parameters<typeof helloOf>[0] = {}): FakePeer {
    return this.hello({ session, sessionSecret: SECRET, ...more });
  }

  /** As a call of `advance` that leaves `notices`. */
  step(notices: FakeEngine['nextNotices'], recordBytes = 64, peer?: FakePeer): void {
    this.engine.nextNotices = notices;
    this.engine.made(recordBytes);
    this.effects.store();
    this.effects.tell(peer?.asPeer);
  }

  private send(peer: FakePeer, bytes: Uint8Array): void {
    this.order.push(`send ${peer.id}`);
    if (peer.isOpen) peer.sent.push(bytes.slice());
  }
}

const texts = (peer: FakePeer) => peer.sent.map((bytes) => Buffer.from(bytes).toString());
const digestOf = (secret: Uint8Array) =>
  new Uint8Array(createHash('sha256').update(secret).digest().subarray(0, 16));

describe('a hello', () => {
  it('without a session is answered at once', () => {
    const bench = new Bench();
    const peer = bench.hello({});
    expect(texts(peer)).toEqual(['welcome 0']);
    expect([peer.data.session, bench.engine.opened.length]).toEqual([0, 0]);
  });

  it('for a new session is answered when that is durable, and frames behind it wait', () => {
    const bench = new Bench();
    const peer = bench.hello({ sessionTtlMs: 5_000 });
    const { session } = peer.data;
    expect(peer.sent).toEqual([]);
    expect(bench.gate.stored).toEqual([1]);
    bench.backlogs.defer(peer.asPeer, peer.data.backlog as never, new ArrayBuffer(10));
    bench.backlogs.schedule(peer.asPeer);
    bench.turns.take();
    expect(bench.executed).toEqual([]);
    bench.gate.settle(1);
    expect(texts(peer)).toEqual([`welcome ${session}`]);
    bench.turns.take();
    expect(bench.executed).toEqual([10]);
    expect(peer.data.backlog).toBeUndefined();
    // The engine has what stands for the secret, and the client the secret.
    const secret = bench.welcomes[0]?.secret as Uint8Array;
    expect(secret).toHaveLength(16);
    expect(bench.engine.opened).toMatchObject([{ id: session, ttlMs: 5_000 }]);
    expect(new Uint8Array(bench.engine.opened[0]?.digest as Uint8Array)).toEqual(digestOf(secret));
    expect(bench.welcomes[0]).toMatchObject({ session, ttlMs: 5_000, isResumed: false });
  });

  it('is answered at once where nothing is stored', () => {
    const bench = new Bench('none');
    const peer = bench.hello({ sessionTtlMs: 5_000 });
    expect(texts(peer)).toEqual([`welcome ${peer.data.session}`]);
    expect(peer.data.backlog).toBeUndefined();
  });

  it('draws ids of 53 bits that are not 0, again where one is in use', () => {
    const bench = new Bench('none');
    const ones = Buffer.alloc(7, 0xff);
    bench.drawn.push(Buffer.from(SECRET), ones, Buffer.alloc(7));
    bench.engine.openAnswers.push(Status.AlreadyExists);
    const peer = bench.hello({ sessionTtlMs: 5_000 });
    expect(bench.engine.opened.map(({ id }) => id)).toEqual([2 ** 53 - 1, 1]);
    expect(peer.data.session).toBe(1);
  });

  it.each([Status.TtlOutOfRange, Status.DiskFull, Status.ResourceExhausted, Status.Unavailable])(
    'is refused with what the engine answers: status %i',
    (status) => {
      const bench = new Bench();
      bench.engine.openAnswers.push(status);
      const peer = bench.hello({ sessionTtlMs: 5_000 });
      expect([peer.closedWith, bench.engine.opened.length]).toEqual([status, 1]);
      expect(bench.registry.connected).toBe(0);
    },
  );

  it('is refused where there are as many sessions as there may be', () => {
    const bench = new Bench();
    bench.engine.outcome[OUTCOME_SESSIONS] = 2;
    const peer = bench.hello({ sessionTtlMs: 5_000 });
    expect([peer.closedWith, bench.engine.opened.length]).toEqual([Status.ResourceExhausted, 0]);
  });

  it('gives up where every id is in use', () => {
    const bench = new Bench();
    bench.engine.openAnswers.push(...new Array<Status>(10).fill(Status.AlreadyExists));
    expect(bench.hello({ sessionTtlMs: 5_000 }).closedWith).toBe(Status.Internal);
  });
});

describe('a resume', () => {
  it('goes on at once, with the ttl of the session and its digest', () => {
    const bench = new Bench();
    bench.engine.outcome[OUTCOME_COUNT] = 7_000;
    const peer = bench.resume(42, { sessionTtlMs: 1 });
    expect(texts(peer)).toEqual(['welcome 42']);
    expect(bench.welcomes).toMatchObject([
      { session: 42, ttlMs: 7_000, isResumed: true, answersRemembered: false },
    ]);
    expect(bench.welcomes[0]?.secret).toHaveLength(0);
    expect(new Uint8Array(bench.engine.resumed[0]?.digest as Uint8Array)).toEqual(digestOf(SECRET));
  });

  it('says that answers are remembered once its client has spoken to this process', () => {
    // Was: from the second welcome on. Where the first was lost, the client repeated what had been done before
    // the restart, and it was done twice.
    const bench = new Bench();
    bench.resume(42);
    const second = bench.resume(42);
    bench.registry.hear(second.asPeer);
    bench.resume(42);
    expect(bench.welcomes.map((one) => one.answersRemembered)).toEqual([false, false, true]);
    bench.step([{ kind: NOTICE_SESSION_ENDED, session: 42 }]);
    bench.registry.hear(second.asPeer);
    bench.resume(42);
    expect(bench.welcomes[3]?.answersRemembered).toBe(false);
  });

  it('moves the session, and closes the connection that had it before the welcome', () => {
    const bench = new Bench();
    const former = bench.resume(42);
    const peer = bench.resume(42);
    expect(former.closedWith).toBe(Status.SessionMoved);
    expect(bench.order).toEqual(['send 1', 'close 1', 'send 2']);
    expect(bench.registry.peerOf(42)).toBe(peer);
  });

  it('over a connection of the same group takes the place of the older one, and does not move', () => {
    const bench = new Bench();
    const group = 77;
    const former = bench.resume(42, { group });
    const peer = bench.resume(42, { group });
    // A client that is told of a move ends; this one may have asked twice, and hear of it over the newer of the two.
    expect([former.closedWith, former.closeCode]).toEqual([undefined, 1000]);
    expect([peer.closedWith, peer.closeCode]).toEqual([undefined, undefined]);
    expect(bench.registry.peerOf(42)).toBe(peer);
  });

  it('with a wrong secret leaves the session where it is', () => {
    const bench = new Bench();
    const former = bench.resume(42);
    bench.engine.resumeAnswers.push(Status.SessionForbidden);
    expect(bench.resume(42).closedWith).toBe(Status.SessionForbidden);
    expect(former.closedWith).toBeUndefined();
    expect(bench.registry.peerOf(42)).toBe(former);
  });

  it.each([0, 15, 17])('with a secret of %i bytes does not reach the engine', (length) => {
    const bench = new Bench();
    const peer = bench.resume(42, { sessionSecret: new Uint8Array(length) });
    expect([peer.closedWith, bench.engine.resumed.length]).toEqual([Status.SessionForbidden, 0]);
  });

  it('of no session makes a new one where a ttl is given', () => {
    const bench = new Bench('none');
    bench.engine.resumeAnswers.push(Status.SessionUnknown);
    const peer = bench.resume(42, { sessionTtlMs: 3_000 });
    expect(bench.welcomes).toMatchObject([{ ttlMs: 3_000, isResumed: false }]);
    expect(bench.welcomes[0]?.secret).toHaveLength(16);
    expect(peer.data.session).not.toBe(42);
  });

  it('of no session is refused without one, when the end of it is durable', () => {
    const bench = new Bench();
    bench.step([], 64);
    bench.engine.resumeAnswers.push(Status.SessionUnknown);
    const peer = bench.resume(42);
    expect(peer.closedWith).toBeUndefined();
    bench.gate.settle(1);
    expect(peer.closedWith).toBe(Status.SessionUnknown);
  });
});

describe('a session', () => {
  it('gets its answers together when they are durable, over the connection that it has then', () => {
    const bench = new Bench();
    const peer = bench.resume(42);
    const ok = { kind: NOTICE_ANSWER, session: 42, status: Status.Ok };
    bench.step([
      { ...ok, id: 1, revision: 5 },
      { ...ok, id: 3, revision: 6 },
    ]);
    expect(peer.sent).toHaveLength(1);
    bench.gate.settle(1);
    expect(answersOf(peer.sent[1] as Uint8Array).map(({ id }) => id)).toEqual([1, 3]);
  });

  it('without a connection loses its answers, and nothing else happens', () => {
    const bench = new Bench();
    const peer = bench.resume(42);
    bench.registry.unbind(peer.asPeer);
    bench.step([{ kind: NOTICE_ANSWER, session: 42, id: 1, status: Status.Ok }]);
    bench.gate.settle(1);
    expect(peer.sent).toHaveLength(1);
  });

  it('that has ended closes its connection behind its answers, when that is durable', () => {
    const bench = new Bench();
    const peer = bench.resume(42);
    bench.step([
      { kind: NOTICE_SESSION_ENDED, session: 42 },
      { kind: NOTICE_ANSWER, session: 42, id: 1, status: Status.LockTimeout },
    ]);
    expect(peer.closedWith).toBeUndefined();
    bench.gate.settle(1);
    expect(peer.sent).toHaveLength(2);
    expect(peer.closedWith).toBe(Status.SessionUnknown);
  });

  it('that its client has ended closes quietly; one that ends beside it does not', () => {
    const bench = new Bench();
    const [peer, other] = [bench.resume(42), bench.resume(43)];
    const ended = (session: number) => ({ kind: NOTICE_SESSION_ENDED, session });
    bench.engine.counters[ENDS_ASKED] = 1;
    bench.step([ended(43), ended(42)], 64, peer);
    bench.gate.settle(1);
    expect([peer.closedWith, other.closedWith, bench.dismissed]).toEqual([
      Status.SessionUnknown,
      Status.SessionUnknown,
      1,
    ]);
    // Due when its frame came: nobody asked for that.
    const late = bench.resume(44);
    bench.step([ended(44)], 64, late);
    bench.gate.settle(2);
    expect([late.closedWith, bench.dismissed]).toEqual([Status.SessionUnknown, 1]);
  });

  it('that moved is not taken from its new connection when the old one goes', () => {
    const bench = new Bench();
    const former = bench.resume(42);
    const peer = bench.resume(42);
    bench.registry.unbind(former.asPeer);
    expect(bench.registry.peerOf(42)).toBe(peer);
  });

  it('is renewed by what does not reach the engine otherwise', () => {
    const bench = new Bench();
    bench.greeting.renew(bench.hello({}).asPeer);
    expect(bench.engine.resumed).toHaveLength(0);
    const peer = bench.resume(42);
    bench.greeting.renew(peer.asPeer);
    expect(bench.engine.resumed.map(({ id }) => id)).toEqual([42, 42]);
    expect(bench.engine.resumed[1]?.digest).toEqual(bench.engine.resumed[0]?.digest);
  });
});

describe('the end of a session of several workers', () => {
  const severalOf = (bench: Bench) => {
    bench.homes = {
      isHome: (session) => session === 42,
      onEnded: (session, isAsked) => bench.told.push([session, isAsked]),
    };
  };

  it('is told to the others when it is durable, behind the answers here', () => {
    const bench = new Bench();
    severalOf(bench);
    const peer = bench.resume(42);
    bench.step([{ kind: NOTICE_SESSION_ENDED, session: 42 }]);
    expect(bench.told).toEqual([]);
    bench.gate.settle(1);
    expect(bench.told).toEqual([[42, false]]);
    expect(peer.closedWith).toBe(Status.SessionUnknown);
  });

  it('is told with who asked for it', () => {
    const bench = new Bench('none');
    severalOf(bench);
    const peer = bench.resume(42);
    bench.engine.counters[ENDS_ASKED] = 1;
    bench.step([{ kind: NOTICE_SESSION_ENDED, session: 42 }], 64, peer);
    expect([bench.told, bench.dismissed]).toEqual([[[42, true]], 1]);
  });

  it('is not told by a worker that had it as a guest, which leaves its connections to who does', () => {
    const bench = new Bench();
    severalOf(bench);
    const peer = bench.resume(43);
    bench.step([{ kind: NOTICE_SESSION_ENDED, session: 43 }]);
    bench.gate.settle(1);
    expect([bench.told, peer.closedWith]).toEqual([[], undefined]);
    bench.effects.disconnect(43, true);
    expect([peer.closedWith, bench.dismissed]).toEqual([Status.SessionUnknown, 1]);
  });
});

describe('watches', () => {
  it.each(['sync', 'none'] as const)('see records, then requests, with %s', (durability) => {
    const bench = new Bench(durability);
    const peer = bench.hello({});
    bench.engine.outcome[OUTCOME_POSITION] = 3;
    bench.step([], 64);
    bench.engine.outcome[OUTCOME_POSITION] = 7;
    bench.engine.nextNotices = [
      { kind: NOTICE_REQUEST, id: 5, code: OperationCode.Watch, key: 'k' },
      { kind: NOTICE_REQUEST, id: 6, code: OperationCode.Unwatch },
    ];
    bench.engine.made(128);
    bench.effects.store();
    bench.effects.tell(peer.asPeer);
    const atOnce = (append: number) => (durability === 'none' ? [`durable ${append}`] : []);
    expect(bench.watched).toEqual([
      'records 1 64 from 0 to 3',
      ...atOnce(1),
      'records 2 128 from 3 to 7',
      ...atOnce(2),
      'watch 5 at 2 7',
      'unwatch 6',
    ]);
  });
});

describe('work that had no room', () => {
  it('goes on soon, unless nothing was done', () => {
    const bench = new Bench();
    bench.engine.outcome[OUTCOME_MORE] = 1;
    bench.step([], 64);
    expect(bench.more).toBe(1);
    bench.step([], 0);
    expect(bench.more).toBe(1);
    bench.engine.outcome[OUTCOME_MORE] = 0;
    bench.step([], 64);
    expect(bench.more).toBe(1);
  });
});
