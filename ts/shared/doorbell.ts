// A doorbell wakes a worker that has parked: one a worker, rung by all who write to its rings. Ringing a worker that
// is awake is one load.
//
// MEMORY ORDER. The ringer publishes its message and then looks whether the worker is parked; the worker says that it
// is parked and then looks for messages. All four are Atomics, which are sequentially consistent, so one of the
// two sees the other (Dekker). With weaker order, or with the worker looking only before, both could miss it, and
// the message would lie there until the next one. Of several ringers the one whose exchange succeeds wakes the
// worker; without the exchange each would pay for a wake-up.
//
// A wait of `Atomics.waitAsync` cannot be taken back. `cancel` leaves it as it is, and the next `park` goes on
// with it: the worker may so be called once for nothing, and looks at its rings, but never sleeps through a ring.
// Such a wait does not keep the event loop alive.

import { DOORBELL_WORDS } from './layout.js';

const AWAKE = 0;
const PARKED = 1;

export class Doorbell {
  private readonly words: Int32Array;
  private readonly place: number;
  private isParked = false;
  /** A wait has not been answered yet; it is only begun while parked. */
  private isWaiting = false;
  private onWake: () => void = () => {};

  /** `buffer` has the doorbells of all workers; this is that of worker `index`. */
  constructor(buffer: SharedArrayBuffer, index: number) {
    this.words = new Int32Array(buffer);
    this.place = index * DOORBELL_WORDS;
    if (this.place >= this.words.length) throw new RangeError(`there is no doorbell ${index}`);
  }

  /** Wakes the worker if it is parked. What it shall find must be published. */
  ring(): void {
    const { words, place } = this;
    if (Atomics.load(words, place) !== PARKED) return;
    if (Atomics.compareExchange(words, place, PARKED, AWAKE) !== PARKED) return;
    Atomics.notify(words, place);
  }

  /**
   * Of the worker alone: has `onWake` called once, in a later turn, when someone rings. False: `hasWork` said so, or
   * someone has rung meanwhile, and the worker is not parked.
   */
  park(hasWork: () => boolean, onWake: () => void): boolean {
    const { words, place } = this;
    this.onWake = onWake;
    this.isParked = true;
    Atomics.store(words, place, PARKED);
    if (hasWork()) {
      this.cancel();
      return false;
    }
    if (this.isWaiting) return true;
    const wait = Atomics.waitAsync(words, place, PARKED);
    if (!wait.async) {
      this.cancel();
      return false;
    }
    this.isWaiting = true;
    void wait.value.then(() => {
      this.isWaiting = false;
      if (!this.isParked) return;
      this.cancel();
      this.onWake();
    });
    return true;
  }

  /** Of the worker alone: it is awake; `onWake` will not be called. */
  cancel(): void {
    this.isParked = false;
    Atomics.store(this.words, this.place, AWAKE);
  }
}
