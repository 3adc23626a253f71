// Random records, random progress of the log, peers that read or do not, watches of every kind started and
// ended at random. What each watch was told is then replayed: every record of its range was told once or
// lies within a declared gap, and at each Synced, and at the end, the replica is what the records say.

import { describe, expect, it } from 'vitest';
import {
  CLASS_KEYS,
  CLASS_LOCKS,
  CLASS_SESSIONS,
  CLASSES_ALL,
  FLAG_SNAPSHOT,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  OVERFLOW_COALESCE,
  OVERFLOW_DISCONNECT,
  OVERFLOW_GAP,
  OVERFLOW_MASK,
  START_MASK,
  START_NOW,
  START_POSITION,
  START_REVISION,
  START_SNAPSHOT,
} from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import { freshSeed, Random } from '../parity/random.js';
import {
  type Ask,
  type FakePeer,
  partitionOf,
  type Received,
  SESSION_TEXT,
  type Told,
  token,
  World,
} from './watch-harness.js';

const SEED = freshSeed();
const RUNS = 25;
const STEPS = 400;
const PREFIXES = ['', 'a', 'a/', 'a/1', 'b/', 'b/2', 'c'];

interface Model {
  readonly peer: FakePeer;
  readonly ask: Ask;
  /** What comes behind this position is of the watch; with a start behind a revision, of this revision. */
  readonly from: number;
  isEnded: boolean;
}

function covers({ ask }: Model, key: string): boolean {
  const isPrefix = ((ask.flags ?? 0) & FLAG_WATCH_PREFIX) !== 0;
  return isPrefix ? key.startsWith(ask.key!) : key === ask.key;
}

function concerns(model: Model, told: Told): boolean {
  return (told.ofClass & model.ask.classes!) !== 0 && covers(model, told.key);
}

const startOf = ({ ask }: Model) => ask.flags! & START_MASK;
const overflowOf = ({ ask }: Model) => ask.flags! & OVERFLOW_MASK;
const isKeysOnly = ({ ask }: Model) => (ask.flags! & FLAG_WATCH_KEYS_ONLY) !== 0;

class Run {
  readonly world: World;
  readonly sendBufferBytesMax: number;
  readonly models: Model[] = [];
  private readonly peers: FakePeer[] = [];
  private readonly tokens = new Map<string, number>();
  private id = 0;

  constructor(private readonly random: Random) {
    this.sendBufferBytesMax = random.pick([4, 6, 8, 64]) * 1024;
    this.world = new World({
      sendBufferBytesMax: this.sendBufferBytesMax,
      historyBounds: {
        bytes: random.pick([4, 16, 1024]) * 1024,
        records: 100_000,
        chunkBytes: 1024,
      },
    });
    for (let count = 0; count < 3; count++) this.peers.push(this.world.connect());
    this.world.pageEntries = random.between(1, 6);
    this.world.duringScan = () => {
      if (random.oneIn(3)) this.write();
      // A log may make an append durable at once.
      if (random.oneIn(4)) this.settle();
    };
  }

  step(): void {
    const { random, world } = this;
    const choice = random.below(20);
    if (choice < 8) this.write();
    else if (choice < 11) this.settle();
    else if (choice < 14) world.turn();
    else if (choice < 15) this.watch();
    else if (choice < 16) random.pick(this.peers).isReading = random.oneIn(2);
    else if (choice < 19) random.pick(this.peers).read();
    else if (random.oneIn(4)) this.end();
    else world.clock.advance(random.below(4000));
  }

  /** Everything becomes durable and is read. */
  finish(): void {
    const { world } = this;
    world.duringScan = () => undefined;
    world.settle();
    for (const peer of this.peers) peer.isReading = true;
    for (let round = 0; round < 300; round++) {
      world.turn();
      for (const peer of this.peers) peer.read();
    }
    world.clock.advance(20_000);
  }

  private write(): void {
    const { random, world } = this;
    world.call(() => {
      for (let count = random.between(0, 4); count > 0; count--) this.change();
    });
  }

  private change(): void {
    const { random, world, tokens } = this;
    const key = `${random.pick(['a/', 'b/', 'c'])}${random.below(12)}`;
    const lock = random.pick(['a/lock', 'b/2', 'c']);
    const held = tokens.get(lock);
    const choice = random.below(12);
    if (choice < 6) world.put(key, random.pick(['', 'small', 'x'.repeat(random.below(700))]));
    else if (choice < 7) world.touch(key);
    else if (choice < 9) world.remove(key, random.oneIn(2));
    else if (choice < 10) world.session(random.oneIn(2));
    else if (held === undefined) tokens.set(lock, world.hold(lock));
    else if (random.oneIn(2)) world.hold(lock, held);
    else {
      world.release(lock, held);
      tokens.delete(lock);
    }
    if (random.oneIn(20)) world.fence(lock);
  }

  private settle(): void {
    const { random, world } = this;
    world.settle(random.between(world.durable, world.append));
  }

  private watch(): void {
    const { random, world } = this;
    const start = random.pick([START_NOW, START_SNAPSHOT, START_REVISION, START_POSITION]);
    const isWhole = start === START_REVISION || random.oneIn(3);
    const overflow = random.pick([OVERFLOW_GAP, OVERFLOW_COALESCE, OVERFLOW_DISCONNECT]);
    const key = isWhole
      ? random.pick(['a/1', 'b/2', 'c', 'c3', SESSION_TEXT, 'none'])
      : random.pick(PREFIXES);
    const keysOnly = random.oneIn(4) ? FLAG_WATCH_KEYS_ONLY : 0;
    const classes =
      start === START_REVISION
        ? CLASS_KEYS | random.pick([0, CLASS_LOCKS, CLASS_SESSIONS])
        : random.pick([CLASS_KEYS, CLASS_KEYS, CLASS_LOCKS, CLASS_SESSIONS, CLASSES_ALL]);
    const durable = world.log.findLast(({ position }) => position <= this.durablePosition);
    const past = random.between(
      random.oneIn(2) ? 0 : (durable?.position ?? 0),
      durable?.position ?? 0,
    );
    const revision = random.below(world.revisionOf(partitionOf(key)) + 1);
    const model: Model = {
      peer: random.pick(this.peers),
      ask: {
        id: ++this.id,
        flags: (isWhole ? 0 : FLAG_WATCH_PREFIX) | overflow | start | keysOnly,
        classes,
        key,
        ...(start === START_POSITION && { token: token(past) }),
        ...(start === START_REVISION && { revision }),
      },
      from: start === START_POSITION ? past : start === START_REVISION ? revision : world.position,
      isEnded: false,
    };
    this.models.push(model);
    world.watch(model.peer, model.ask);
  }

  private end(): void {
    const { random, world } = this;
    const model = this.models.length > 0 ? random.pick(this.models) : undefined;
    if (model === undefined || model.isEnded) return;
    model.isEnded = true;
    if (random.oneIn(3)) {
      model.peer.close();
      for (const other of this.models) if (other.peer === model.peer) other.isEnded = true;
      this.peers[this.peers.indexOf(model.peer)] = world.connect();
    } else {
      world.unwatch(model.peer, ++this.id, model.ask.id);
    }
  }

  private get durablePosition(): number {
    return this.world.durablePosition;
  }
}

/** Replays what a watch was told. Returns what it saw of the rare cases. */
function check(world: World, model: Model): Set<string> {
  const { peer, ask } = model;
  const seen = new Set<string>();
  const answer = peer.answers.find(({ id }) => id === ask.id);
  const events = peer.of(ask.id);
  if (answer === undefined || answer.status !== Status.Ok) {
    if (!model.isEnded) expect(answer?.status).toBe(Status.Compacted);
    expect(events).toEqual([]);
    return seen.add('refused');
  }
  if (events.length > 0) {
    const answeredAt = peer.order.indexOf(`answer ${ask.id}`);
    expect(answeredAt).toBeLessThan(peer.order.indexOf(`event ${ask.id}`));
  }

  const startsBehind = (told: Told) =>
    startOf(model) === START_REVISION ? told.revision > model.from : told.position > model.from;
  const all = world.log.filter((told) => concerns(model, told));
  const initial = all.filter((told) => !startsBehind(told));
  let replica = replay(initial);
  let expected = all.filter(startsBehind);
  let inSnapshot = startOf(model) === START_SNAPSHOT;
  let isExact = !inSnapshot;
  if (inSnapshot) replica = new Map();
  let isOver = model.isEnded;
  let changes = 0;

  for (const event of events) {
    expect(isOver && !model.isEnded, 'nothing comes behind the end').toBe(false);
    switch (event.kind) {
      case EventKind.Synced: {
        expect(inSnapshot).toBe(true);
        inSnapshot = false;
        isExact = true;
        const behind = expected.filter(({ position }) => position <= event.position);
        // Locks and sessions have no pages: each of their events was told.
        const untold = behind.filter(({ ofClass }) => ofClass !== CLASS_KEYS);
        expect(untold).toEqual([]);
        expected = expected.filter(({ position }) => position > event.position);
        const state = replay(all.filter(({ position }) => position <= event.position));
        expect(sorted(model, replica)).toEqual(sorted(model, state));
        seen.add('synced');
        break;
      }
      case EventKind.Compacted:
        inSnapshot = true;
        isExact = false;
        replica = new Map();
        expected = expected.filter(({ position }) => position > event.position);
        seen.add('compacted');
        break;
      case EventKind.Gap:
        expect(overflowOf(model)).not.toBe(OVERFLOW_DISCONNECT);
        expect(inSnapshot).toBe(false);
        expected = expected.filter(({ position }) => position > event.position);
        isExact = false;
        seen.add('gap');
        break;
      case EventKind.Ended:
        expect([overflowOf(model), event.status]).toEqual([
          OVERFLOW_DISCONNECT,
          Status.WatchOverflow,
        ]);
        isOver = true;
        seen.add('ended');
        break;
      default:
        if ((event.flags & FLAG_SNAPSHOT) !== 0) {
          expect(inSnapshot).toBe(true);
          replica.set(event.key, event.value);
          seen.add('entry');
          if (changes > 0) seen.add('page behind changes');
        } else {
          expected = take(world, model, event, expected, inSnapshot, seen);
          apply(replica, event);
          if (inSnapshot) changes++;
        }
    }
  }

  if (isOver || model.isEnded) return seen;
  expect(inSnapshot).toBe(false);
  if (overflowOf(model) !== OVERFLOW_COALESCE) expect(expected).toEqual([]);
  if (isExact) expect(sorted(model, replica)).toEqual(sorted(model, replay(all)));
  return seen.add('whole');
}

/** Finds the record of an event; those before it that were not told must have had a reason. */
function take(
  world: World,
  model: Model,
  event: Received,
  expected: Told[],
  inSnapshot: boolean,
  seen: Set<string>,
): Told[] {
  const at = expected.findIndex(({ position }) => position === event.position);
  expect(at, `position ${event.position} is told once, and in order`).toBeGreaterThanOrEqual(0);
  const { ofClass, ...told } = world.log[event.position - 1]!;
  const value = isKeysOnly(model) ? '' : told.value;
  expect(event).toEqual({ ...told, value, id: model.ask.id, flags: 0, status: 0 });
  for (const passed of expected.slice(0, at)) {
    // Of a page that came or will come.
    if (inSnapshot && passed.ofClass === CLASS_KEYS) continue;
    const isReplaced = expected.some(
      (other) =>
        other.position > passed.position &&
        (amends(passed) || !amends(other)) &&
        other.key === passed.key &&
        other.ofClass === passed.ofClass,
    );
    expect(overflowOf(model) === OVERFLOW_COALESCE && isReplaced, 'nothing is left out').toBe(true);
    seen.add('coalesced');
  }
  // While pages come, a change of a key may be told behind one of another that it came before.
  return expected.slice(at + 1);
}

/** Whether an event says less than all of its key. */
function amends({ kind }: Told): boolean {
  return kind === EventKind.Touch || kind === EventKind.LockChanged;
}

function apply(replica: Map<string, string>, { kind, key, value }: Told | Received): void {
  if (kind === EventKind.Put) replica.set(key, value);
  if (kind === EventKind.Delete || kind === EventKind.Expire) replica.delete(key);
}

function replay(records: readonly Told[]): Map<string, string> {
  const replica = new Map<string, string>();
  for (const told of records) apply(replica, told);
  return replica;
}

function sorted(model: Model, replica: Map<string, string>): [string, string][] {
  const entries = [...replica].map(([key, value]): [string, string] => [
    key,
    isKeysOnly(model) ? '' : value,
  ]);
  return entries.sort(([left], [right]) => (left < right ? -1 : 1));
}

describe(`watches of random worlds, RONDO_SEED=${SEED}`, () => {
  it('are told every record once, or that they were not', () => {
    const random = new Random(SEED);
    const seen = new Map<string, number>();
    for (let run = 0; run < RUNS; run++) {
      const one = new Run(random);
      for (let step = 0; step < STEPS; step++) one.step();
      one.finish();
      const { hub } = one.world;
      expect(hub.queuedBytes).toBe(0);
      for (const { peer } of one.models) {
        expect(peer.bufferedBytesMost).toBeLessThanOrEqual(one.sendBufferBytesMax);
      }
      for (const model of one.models) {
        for (const sight of check(one.world, model)) seen.set(sight, (seen.get(sight) ?? 0) + 1);
      }
    }
    const sights = [
      'page behind changes',
      'synced',
      'compacted',
      'gap',
      'ended',
      'entry',
      'coalesced',
      'whole',
      'refused',
    ];
    for (const sight of sights) expect(seen.get(sight) ?? 0, sight).toBeGreaterThan(0);
  });
});
