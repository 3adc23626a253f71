// What becomes of live events that a peer has no room for, as each watch asked: they are dropped and the gap
// is named, only the newest of each key is kept, or the watch ends. Of watches that catch up nothing is
// dropped: they wait (`catch-up.ts`, `snapshots.ts`).

import { EVENT_BYTES, OVERFLOW_COALESCE, OVERFLOW_DISCONNECT } from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import {
  WATCH_COALESCED_BYTES_MAX,
  WATCH_COALESCED_OVERHEAD_BYTES,
  WATCH_QUEUED_BYTES_MAX,
} from '../limits.js';
import { control, type WatchEvent } from './events.js';
import type { Outbox } from './outbox.js';
import { type Watch, type WatchedPeer, WatchState } from './watch.js';

/** What a lagging watch is owed. */
class Lag {
  /** Events were dropped: the watch hears of a gap, and nothing before it. */
  isGap = false;
  /** The newest event of each key, and the newest that amends it, in the order of the events. */
  readonly newest = new Map<string, WatchEvent>();
  bytes = 0;
}

export interface OverflowOptions {
  readonly outbox: Outbox;
  /** Stands in events without a record. */
  readonly ownPartition: number;
  /** Up to which position live watches have been told. */
  readonly told: () => number;
  readonly setState: (watch: Watch, state: WatchState, work?: object) => void;
  readonly end: (watch: Watch) => void;
}

export class Overflow {
  constructor(private readonly options: OverflowOptions) {}

  /** A live event that cannot be sent now. */
  take(watch: Watch, event: WatchEvent): void {
    const { owner } = watch;
    if (watch.state === WatchState.Ended) return;
    if (watch.overflow === OVERFLOW_DISCONNECT) {
      this.options.end(watch);
      owner.overflowed.push(watch);
      return;
    }
    if (watch.state !== WatchState.Lagging) {
      this.options.setState(watch, WatchState.Lagging, new Lag());
      owner.lagging.add(watch);
    }
    const lag = watch.work as Lag;
    if (lag.isGap) return;
    if (watch.overflow === OVERFLOW_COALESCE && this.keep(owner, lag, watch.view(event))) return;
    this.drop(owner, lag);
    lag.isGap = true;
  }

  /** Tells a peer that has read what it was owed, as far as it has room. */
  resume(owner: WatchedPeer): void {
    const { outbox, ownPartition, told } = this.options;
    for (const watch of owner.overflowed.splice(0)) {
      const ended = control(EventKind.Ended, told(), ownPartition, Status.WatchOverflow);
      outbox.push(watch, ended, false);
    }
    for (const watch of owner.lagging) {
      if (!outbox.isReady(owner, EVENT_BYTES)) return;
      const lag = watch.work as Lag;
      if (lag.isGap) outbox.push(watch, control(EventKind.Gap, told(), ownPartition), false);
      else if (!this.tellNewest(watch, lag)) return;
      owner.lagging.delete(watch);
      this.options.setState(watch, WatchState.Live);
    }
  }

  /** The watch ends. */
  forget(watch: Watch): void {
    if (watch.state !== WatchState.Lagging) return;
    this.drop(watch.owner, watch.work as Lag);
    watch.owner.lagging.delete(watch);
  }

  /** False where there are more events than the peer has room for. */
  private tellNewest(watch: Watch, lag: Lag): boolean {
    const { outbox } = this.options;
    for (const [name, event] of lag.newest) {
      if (!outbox.isReady(watch.owner, event.size)) return false;
      this.remove(watch.owner, lag, name);
      outbox.push(watch, event, false);
    }
    return true;
  }

  /** Keeps the newest event of a key; false where there is no room for it. */
  private keep(owner: WatchedPeer, lag: Lag, event: WatchEvent): boolean {
    const isAmendment = event.kind === EventKind.Touch || event.kind === EventKind.LockChanged;
    const name = `${spaceOf(event.kind)}${keyText(event)}`;
    const place = isAmendment ? amendmentOf(name) : name;
    const before = lag.newest.get(place);
    const more = event.size - (before?.size ?? -WATCH_COALESCED_OVERHEAD_BYTES);
    if (owner.coalescedBytes + more > WATCH_COALESCED_BYTES_MAX) return false;
    if (this.options.outbox.queuedBytes + more > WATCH_QUEUED_BYTES_MAX) return false;
    // Taken out first, so that it comes behind those that are older than it.
    lag.newest.delete(place);
    lag.newest.set(place, event.copy());
    this.count(owner, lag, more);
    if (!isAmendment) this.remove(owner, lag, amendmentOf(name));
    return true;
  }

  private remove(owner: WatchedPeer, lag: Lag, name: string): void {
    const event = lag.newest.get(name);
    if (event === undefined) return;
    lag.newest.delete(name);
    this.count(owner, lag, -event.size - WATCH_COALESCED_OVERHEAD_BYTES);
  }

  private drop(owner: WatchedPeer, lag: Lag): void {
    lag.newest.clear();
    this.count(owner, lag, -lag.bytes);
  }

  private count(owner: WatchedPeer, lag: Lag, more: number): void {
    lag.bytes += more;
    owner.coalescedBytes += more;
    this.options.outbox.queuedBytes += more;
  }
}

/**
 * Where an event is kept that says less than all of its key, such as a touch, which has no value: beside the
 * newest that does.
 */
function amendmentOf(name: string): string {
  return `+${name}`;
}

/** Keys, locks and sessions of one name are not one thing. */
function spaceOf(kind: EventKind): string {
  switch (kind) {
    case EventKind.LockGranted:
    case EventKind.LockReleased:
    case EventKind.LockChanged:
      return 'l';
    case EventKind.SessionOpened:
    case EventKind.SessionEnded:
      return 's';
    default:
      return 'k';
  }
}

function keyText({ bytes, keyAt, keyEnd }: WatchEvent): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + keyAt, keyEnd - keyAt).toString('latin1');
}
