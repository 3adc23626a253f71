// Whether the event loops of worker threads turn: each counts its turns among its figures. Hanging is counted in
// looks and not in time: a process that was suspended has missed them, too.

import type { Clock } from './clock.js';
import { BEATS } from './counters.js';
import { NodeError } from './errors.js';
import { HANG_CHECK_MS, STOP_HANG_DEADLINE_MS } from './limits.js';
import type { Member } from './member.js';

export class HangWatch {
  constructor(
    private readonly clock: Clock,
    /** Figures, one block a worker. */
    private readonly blocks: readonly Float64Array[],
  ) {}

  /** One look at a worker: milliseconds that it has not turned, as far as it serves. */
  look(member: Member): number {
    const beats = this.beatsOf(member);
    const isStalled = member.isServing && beats === member.beats;
    member.stalls = isStalled ? member.stalls + 1 : 0;
    member.beats = beats;
    return member.stalls * HANG_CHECK_MS;
  }

  /** Comes when a worker that is to end has not turned for long; not where it has ended. */
  hanging(member: Member): Promise<Error> {
    let beats = this.beatsOf(member);
    let silentMs = 0;
    return new Promise((resolve) => {
      const check = this.clock.every(HANG_CHECK_MS, () => {
        silentMs = this.beatsOf(member) === beats ? silentMs + HANG_CHECK_MS : 0;
        beats = this.beatsOf(member);
        if (silentMs < STOP_HANG_DEADLINE_MS) return;
        check.cancel();
        resolve(new NodeError('WORKER_HANGS', `worker ${member.index} hangs and does not stop`));
      });
      void member.ended.then(() => check.cancel());
    });
  }

  private beatsOf({ index }: Member): number {
    return this.blocks[index]?.[BEATS] as number;
  }
}
