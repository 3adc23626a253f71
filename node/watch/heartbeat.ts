// Tells connections with watches where they stand when nothing else was sent for a while. One timer for all:
// a wheel of slots, each looked at once a turn of the wheel, so that an idle connection costs one look in
// that time and those that came together are not told together.

import type { Clock, Timer } from '../clock.js';
import { WATCH_HEARTBEAT_MS, WATCH_HEARTBEAT_STEPS } from '../limits.js';
import type { Outbox } from './outbox.js';
import type { WatchedPeer } from './watch.js';

export class Heartbeat {
  private readonly slots = Array.from(
    { length: WATCH_HEARTBEAT_STEPS },
    () => new Set<WatchedPeer>(),
  );
  private readonly timer: Timer;

  constructor(
    clock: Clock,
    private readonly outbox: Outbox,
    /** Nothing was sent to this peer for WATCH_HEARTBEAT_MS. */
    private readonly beat: (owner: WatchedPeer) => void,
  ) {
    this.timer = clock.every(WATCH_HEARTBEAT_MS / WATCH_HEARTBEAT_STEPS, () => this.turn());
  }

  add(owner: WatchedPeer): void {
    if (owner.heartbeatSlot >= 0) return;
    // The first one comes early, at another time for each connection, and so do those behind it.
    owner.isBeating = false;
    this.place(owner, this.outbox.step + 1 + (owner.peer.id % WATCH_HEARTBEAT_STEPS));
  }

  remove(owner: WatchedPeer): void {
    if (owner.heartbeatSlot < 0) return;
    this.slots[owner.heartbeatSlot]?.delete(owner);
    owner.heartbeatSlot = -1;
  }

  stop(): void {
    this.timer.cancel();
  }

  private turn(): void {
    const step = ++this.outbox.step;
    const slot = this.slots[slotOf(step)] as Set<WatchedPeer>;
    for (const owner of [...slot]) {
      if (!owner.isBeating || step - owner.sentStep >= WATCH_HEARTBEAT_STEPS) {
        owner.isBeating = true;
        this.beat(owner);
      } else if (slotOf(owner.sentStep) !== owner.heartbeatSlot) {
        slot.delete(owner);
        this.place(owner, owner.sentStep);
      }
    }
  }

  /** Into the slot whose turn comes when a heartbeat will be due. */
  private place(owner: WatchedPeer, step: number): void {
    owner.heartbeatSlot = slotOf(step);
    this.slots[owner.heartbeatSlot]?.add(owner);
  }
}

function slotOf(step: number): number {
  return step % WATCH_HEARTBEAT_STEPS;
}
