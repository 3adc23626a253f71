// The watches of a worker: readers of the log's tail. Every record comes by once and is kept in the
// history; when it is durable, the live watches that it concerns are told. The parts beside this file move
// a watch along until it is live; this one holds them together.
//
// Places in the records, all positions:   oldest of the history <= told <= durable <= history.end
// Live watches have been told all up to `told`.

import { Fifo } from '../../ts/engine/fifo.js';
import { START_POSITION, START_REVISION, START_SNAPSHOT } from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import type { Clock } from '../clock.js';
import type { Peer, Send } from '../connection.js';
import {
  WATCH_TURN_EVENTS,
  WATCH_TURN_RECORDS,
  WATCHES_MAX,
  WATCHES_PER_CONNECTION_MAX,
} from '../limits.js';
import { CatchUp } from './catch-up.js';
import { control, eventOf } from './events.js';
import { Heartbeat } from './heartbeat.js';
import { type History, HistoryReader } from './history.js';
import { Outbox } from './outbox.js';
import { Overflow } from './overflow.js';
import { resumePosition } from './resume-token.js';
import { type Scan, Snapshots } from './snapshots.js';
import { Watch, WatchedPeer, WatchState } from './watch.js';
import { WatchIndex } from './watch-index.js';
import type { Watches, WatchRequest } from './watches.js';

export interface WatchHubOptions {
  readonly clock: Clock;
  /** Sends an answer to so many operations, or a push, which is to none. */
  readonly send: Send;
  readonly scan: Scan;
  /** The node's id, as in resume tokens. */
  readonly node: number;
  readonly partitions: number;
  /** One that this worker has: tells its events without a record from those of others. */
  readonly ownPartition: number;
  /** What is known of changes so far, all of it durable. */
  readonly history: History;
  readonly sendBufferBytesMax: number;
  /** The engine's. */
  readonly revisionOf: (partition: number) => number;
  readonly partitionOf: (key: Uint8Array) => number;
  /** An invariant is broken: found in a turn of the hub's own. */
  readonly onError: (error: unknown) => void;
  readonly watchesMax?: number;
}

/** A watch whose answer waits for an append. */
interface Start {
  readonly watch: Watch;
  readonly append: number;
  readonly position: number;
}

export class WatchHub implements Watches {
  count = 0;
  private readonly history: History;
  private told = 0;
  private durable = 0;
  private durableAppend = 0;
  /** Appends that are not durable, and the position after each. */
  private readonly appends = new Fifo<{ readonly append: number; readonly end: number }>();
  private readonly starts = new Fifo<Start>();
  private readonly resuming: WatchedPeer[] = [];
  private readonly live = new WatchIndex();
  private readonly tail: HistoryReader;
  private readonly found: Watch[] = [];
  private readonly outbox: Outbox;
  private readonly overflow: Overflow;
  private readonly catchUp: CatchUp;
  private readonly snapshots: Snapshots;
  private readonly heartbeat: Heartbeat;
  private isScheduled = false;
  private isStopped = false;

  constructor(private readonly options: WatchHubOptions) {
    const { clock, send, scan, history, sendBufferBytesMax, partitionOf, ownPartition } = options;
    this.told = this.durable = history.end;
    const outbox = new Outbox(send, sendBufferBytesMax, (watch, event) => {
      this.overflow.take(watch, event);
    });
    const told = () => this.told;
    const setState = this.setState.bind(this);
    const goLive = this.goLive.bind(this);
    const park = this.park.bind(this);
    const startOver = this.startOver.bind(this);
    const goOn = (watch: Watch) => this.catchUp.join(watch);
    const end = this.end.bind(this);
    const durable = () => this.durable;
    this.history = history;
    this.tail = new HistoryReader(history);
    this.outbox = outbox;
    this.overflow = new Overflow({ outbox, ownPartition, told, setState, end });
    const parts = { history, outbox, partitionOf, setState, park, startOver };
    this.catchUp = new CatchUp({ ...parts, told, goLive });
    this.snapshots = new Snapshots({ ...parts, ownPartition, scan, durable, goOn });
    this.heartbeat = new Heartbeat(clock, (owner) => this.beat(owner));
  }

  onRecords(append: number, records: Uint8Array, position: number, end: number): void {
    if (records.length === 0) return;
    // Records that never came by, as those before a snapshot.
    if (position !== this.history.end) this.told = this.durable = position;
    this.history.append(records, position, end, this.told);
    if (append > this.durableAppend) {
      this.appends.push({ append, end: this.history.end });
    } else if (this.appends.length === 0) {
      this.durable = this.history.end;
      if (this.isIdle) this.passOver();
      else this.schedule();
    }
  }

  onDurable(append: number): void {
    if (append > this.durableAppend) this.durableAppend = append;
    const { appends } = this;
    for (
      let next = appends.at(0);
      next !== undefined && next.append <= append;
      next = appends.at(0)
    ) {
      this.durable = next.end;
      appends.shift();
    }
    if (this.isIdle) this.passOver();
    // Behind the frames that have come in, so that a peer gets one push for what all of them changed.
    else this.schedule();
  }

  watch(peer: Peer, request: WatchRequest, append: number, position: number): void {
    // Its frame's reply may have closed the connection: there is no end to come for what would start now.
    if (this.isStopped || !peer.isOpen) return;
    // Before the first record the history does not know where it is.
    if (position > this.history.end) {
      this.history.reset(position);
      this.told = this.durable = position;
    }
    peer.data.watching ??= new WatchedPeer(peer);
    const owner = peer.data.watching;
    const { id, flags, classes, expectedRevision } = request;
    const key = Buffer.from(request.key).toString('latin1');
    const watch = new Watch(id, owner, key, flags, classes, expectedRevision);
    const status = this.placeOf(watch, request, position);
    if (status !== Status.Ok) {
      this.outbox.answer(owner, id, status, 0);
    } else {
      owner.watches.set(id, watch);
      owner.unsettled++;
      this.count++;
      this.heartbeat.add(owner);
      if (append > this.durableAppend) this.starts.push({ watch, append, position });
      else this.start(watch, position);
    }
    this.schedule();
  }

  unwatch(peer: Peer, request: WatchRequest): void {
    if (this.isStopped || !peer.isOpen) return;
    peer.data.watching ??= new WatchedPeer(peer);
    const owner = peer.data.watching;
    const watch = owner.watches.get(request.expectedRevision);
    if (watch !== undefined) this.end(watch);
    this.outbox.answer(owner, request.id, watch === undefined ? Status.NotFound : Status.Ok, 0);
    this.schedule();
  }

  onDrain(peer: Peer): void {
    const owner = peer.data.watching;
    if (owner === undefined) return;
    this.outbox.look(owner);
    // Not from within this event: a transport may lose track of what is sent there and has to wait.
    this.resumeSoon(owner);
  }

  onClose(peer: Peer): void {
    const owner = peer.data.watching;
    if (owner === undefined) return;
    for (const watch of [...owner.watches.values()]) this.end(watch);
    owner.overflowed.length = 0;
    this.outbox.forget(owner);
    this.heartbeat.remove(owner);
  }

  stop(): void {
    this.isStopped = true;
    this.heartbeat.stop();
  }

  /** Bytes that peers with watches have not read, and that are kept for them meanwhile. */
  get queuedBytes(): number {
    return this.outbox.queuedBytes;
  }

  /** Nothing has to be told to anyone. */
  private get isIdle(): boolean {
    return this.count === 0 && this.starts.length === 0;
  }

  private passOver(): void {
    this.told = this.durable;
    this.tail.release();
  }

  /** Whether a watch can be started, and behind which place (`watch.from`). */
  private placeOf(watch: Watch, request: WatchRequest, position: number): Status {
    const { owner } = watch;
    const { node, partitions, partitionOf, revisionOf, watchesMax = WATCHES_MAX } = this.options;
    if (owner.watches.has(watch.id)) return Status.InvalidArgument;
    if (owner.watches.size >= WATCHES_PER_CONNECTION_MAX || this.count >= watchesMax) {
      return Status.WatchLimit;
    }
    if (watch.start === START_REVISION) {
      const partition = partitionOf(request.key);
      // A revision that was never reached comes from elsewhere, like a foreign token.
      if (watch.from > revisionOf(partition)) return Status.TokenForeign;
      const isKnown = this.history.positionBefore(partition, watch.from) >= 0;
      return isKnown ? Status.Ok : Status.Compacted;
    }
    watch.from = position;
    if (watch.start === START_POSITION) {
      const from = resumePosition(request.value, node, partitions);
      if (from === undefined || from > position) return Status.TokenForeign;
      watch.from = from;
    }
    return Status.Ok;
  }

  /** Answers, and sets the watch on its way. */
  private start(watch: Watch, position: number): void {
    this.outbox.answer(watch.owner, watch.id, Status.Ok, position);
    if (watch.state === WatchState.Ended) return;
    if (watch.start === START_SNAPSHOT) this.snapshots.begin(watch, position);
    else this.catchUp.join(watch);
  }

  /** Tells what became durable, and goes on with the rest soon. */
  private run(): void {
    while ((this.starts.at(0)?.append ?? Infinity) <= this.durableAppend) {
      const { watch, position } = this.starts.shift() as Start;
      this.start(watch, position);
    }
    // Apart from live events, which may be dropped.
    this.outbox.flushAll(false);
    this.tell();
    this.outbox.flushAll(true);
    if (this.hasWork) this.schedule();
  }

  private get hasWork(): boolean {
    return this.told < this.durable || this.catchUp.hasWork || this.snapshots.hasWork;
  }

  /**
   * Tells live watches of durable records; bounded work, but where more is written in a turn than that: what
   * waits here would take memory without bound, and those who write are served when it is done.
   */
  private tell(): void {
    const { tail, live, found, history } = this;
    tail.seek(this.told);
    let events = WATCH_TURN_EVENTS;
    for (let left = WATCH_TURN_RECORDS; this.told < this.durable; left--) {
      if ((left <= 0 || events <= 0) && !history.isOverfull(this.told)) break;
      if (!tail.next()) break;
      this.told = tail.position;
      live.match(tail, found);
      if (found.length === 0) continue;
      events -= found.length;
      const event = eventOf(tail);
      for (const watch of found) {
        if (!watch.isBehind(event.revision, event.position)) continue;
        if (watch.state === WatchState.Live) this.outbox.push(watch, event, true);
        else if (watch.state === WatchState.Lagging) this.overflow.take(watch, event);
      }
      found.length = 0;
    }
  }

  private schedule(): void {
    if (this.isScheduled || this.isStopped) return;
    this.isScheduled = true;
    this.options.clock.soon(() => {
      this.isScheduled = false;
      if (this.isStopped) return;
      try {
        this.turn();
      } catch (error) {
        this.options.onError(error);
      }
    });
  }

  private turn(): void {
    this.run();
    for (const owner of this.resuming.splice(0)) this.resume(owner);
    this.outbox.flushAll(false);
    this.catchUp.step();
    this.outbox.flushAll(false);
    this.snapshots.step();
    if (this.hasWork) this.schedule();
  }

  private resumeSoon(owner: WatchedPeer): void {
    if (owner.isResuming || !owner.isBehind) return;
    owner.isResuming = true;
    this.resuming.push(owner);
    this.schedule();
  }

  /** A peer has read: what waited for that goes on. */
  private resume(owner: WatchedPeer): void {
    owner.isResuming = false;
    if (!owner.peer.isOpen || !this.outbox.isReady(owner, 0)) return;
    this.overflow.resume(owner);
    for (const watch of [...owner.parked]) {
      owner.parked.delete(watch);
      if (this.snapshots.has(watch)) this.snapshots.unpark(watch);
      else this.catchUp.join(watch);
    }
  }

  private beat(owner: WatchedPeer): void {
    try {
      // What could not be sent for another reason than an unread connection has no drain to go on with.
      this.resumeSoon(owner);
      if (owner.unsettled > 0 || owner.isBehind || this.told < this.durable) return;
      if (!this.outbox.isReady(owner, 0)) return;
      const { ownPartition } = this.options;
      this.outbox.pushToAll(owner, control(EventKind.Heartbeat, this.told, ownPartition));
    } catch (error) {
      this.options.onError(error);
    }
  }

  private goLive(watch: Watch): void {
    if (watch.state === WatchState.Ended) return;
    this.setState(watch, WatchState.Live);
    this.live.add(watch);
  }

  private park(watch: Watch): void {
    // Its connection may have been closed by what was sent before.
    if (watch.state === WatchState.Ended) return;
    this.setState(watch, WatchState.Parked, this.snapshots.has(watch) ? watch.work : undefined);
    watch.owner.parked.add(watch);
  }

  /** Events are lost for good: says so, and begins anew with what is there. */
  private startOver(watch: Watch): void {
    if (watch.state === WatchState.Ended) return;
    this.outbox.push(
      watch,
      control(EventKind.Compacted, this.durable, this.options.ownPartition),
      false,
    );
    this.snapshots.begin(watch, this.durable);
  }

  private end(watch: Watch): void {
    const { owner, state } = watch;
    if (state === WatchState.Live || state === WatchState.Lagging) this.live.remove(watch);
    this.overflow.forget(watch);
    if (this.snapshots.has(watch)) this.snapshots.leave(watch);
    else if (state === WatchState.CatchingUp) this.catchUp.leave(watch);
    owner.parked.delete(watch);
    if (state !== WatchState.Live) owner.unsettled--;
    watch.state = WatchState.Ended;
    watch.work = undefined;
    owner.watches.delete(watch.id);
    this.count--;
    if (owner.watches.size === 0) this.heartbeat.remove(owner);
  }

  /** What ended, as by a send that closed its connection, stays so. */
  private setState(watch: Watch, state: WatchState, work?: object): void {
    const { owner } = watch;
    if (watch.state === WatchState.Ended) return;
    if (watch.state === WatchState.Live) owner.unsettled++;
    if (state === WatchState.Live) owner.unsettled--;
    watch.state = state;
    watch.work = work;
  }
}
