// Tells connections with watches where they stand, whatever else is sent to them: a watch beside a busy one
// would otherwise stay where it was, and have nowhere to go on from one day. One timer for all: a wheel of
// slots, one a step, so that those that came together are not told together.

import type { Clock, Timer } from '../clock.js';
import { WATCH_HEARTBEAT_MS, WATCH_HEARTBEAT_STEPS } from '../limits.js';
import type { WatchedPeer } from './watch.js';

export class Heartbeat {
  private readonly slots = Array.from(
    { length: WATCH_HEARTBEAT_STEPS },
    () => new Set<WatchedPeer>(),
  );
  private readonly timer: Timer;
  private step = 0;

  constructor(
    clock: Clock,
    /** The turn of this peer has come. */
    private readonly beat: (owner: WatchedPeer) => void,
  ) {
    this.timer = clock.every(WATCH_HEARTBEAT_MS / WATCH_HEARTBEAT_STEPS, () => this.turn());
  }

  add(owner: WatchedPeer): void {
    if (owner.heartbeatSlot >= 0) return;
    owner.heartbeatSlot = Math.abs(owner.peer.id) % WATCH_HEARTBEAT_STEPS;
    this.slots[owner.heartbeatSlot]?.add(owner);
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
    this.step = (this.step + 1) % WATCH_HEARTBEAT_STEPS;
    for (const owner of [...(this.slots[this.step] as Set<WatchedPeer>)]) this.beat(owner);
  }
}
