// What becomes of calls when their connection, or a worker behind it, is lost: which are sent again, under which
// ids, and which fail, because the node may or may not have carried them out.

import { type Call, type Carrier, RESTING, Repeat, SENT, UNSENT } from './call.js';
import { RondoError } from './errors.js';
import { lost } from './failures.js';
import type { Intake } from './intake.js';
import type { Queue } from './queue.js';

/** Times that a read which was refused, or has no session, is repeated, whatever its deadline. */
export const REPEATS_MAX = 8;

export class Recovery {
  constructor(
    private readonly carrier: Carrier,
    /** Of the connection. */
    readonly queue: Queue,
    private readonly intake: Intake,
    private readonly failFast: boolean,
    private readonly fail: (call: Call, error: RondoError) => void,
  ) {}

  /**
   * A worker is gone that the connection's node passed operations on to, and what it remembered. The node may not have
   * had all of them when it told of that: it then answers the rest.
   */
  workerLost(worker: number, reason: RondoError, hasSession: boolean): void {
    const isLost = (call: Call): boolean => call.worker === worker;
    this.intake.outstanding.forEach(this.carrier, (call) => {
      if (isLost(call)) this.intake.expectEcho(call.id);
    });
    this.takeBack(reason, true, hasSession, isLost);
    this.decide(true, reason, isLost);
  }

  /** What was sent and has no answer: back to the head of the queue, or it fails. */
  takeBack(
    reason: RondoError,
    mayRepeat: boolean,
    hasSession: boolean,
    isLost: (call: Call) => boolean,
  ): void {
    const { outstanding, forgottenAt } = this.intake;
    const again: Call[] = [];
    for (const call of outstanding.inOrder(this.carrier)) {
      // What waits to be sent again goes on waiting.
      if (call.state === UNSENT || call.state === RESTING || !isLost(call)) continue;
      const isAgain = mayRepeat && !this.failFast && call.state === SENT;
      // Its deadline alone bounds how often: one that waits for a lock outlives any number of connections.
      const isForgotten = call.maybeApplied && call.sentAt < forgottenAt;
      if (isAgain && hasSession && call.repeatable !== Repeat.Never && !isForgotten) {
        call.repeatAs(UNSENT, true);
        again.push(call);
        continue;
      }
      outstanding.remove(call);
      if (call.isDeferred && hasSession) this.intake.expectEcho(call.id);
      if (call.state !== SENT) continue;
      if (!isAgain || !call.isRead || call.repeats >= REPEATS_MAX) {
        this.fail(call, lost(call, reason));
        continue;
      }
      call.repeat(UNSENT);
      again.push(call);
    }
    this.queue.addFirst(again);
  }

  /**
   * What becomes of calls that wait to be sent again under their ids, where not all are: `isResumed` says that the
   * session goes on, and what it held.
   */
  decide(
    isResumed: boolean,
    reason: RondoError | undefined,
    concerns = (_call: Call): boolean => true,
  ): void {
    const { outstanding } = this.intake;
    for (const call of outstanding.inOrder(this.carrier)) {
      if ((call.state !== UNSENT && call.state !== RESTING) || !concerns(call)) continue;
      if (isResumed && call.isDeferred) continue;
      outstanding.remove(call);
      if (call.isRead) {
        call.forgetId();
      } else {
        this.queue.giveUp(call);
        this.fail(call, lost(call, reason ?? new RondoError('CONNECTION_LOST', 'it was lost')));
      }
    }
  }

  /**
   * Gives away all that waits to be sent, for another connection to take over, in order.
   * What waits to be sent again keeps its id.
   */
  handOver(isWanted: (call: Call) => boolean): Call[] {
    const given: Call[] = [];
    const kept: Call[] = [];
    for (const call of this.queue.clear()) (isWanted(call) ? given : kept).push(call);
    this.queue.addFirst(kept.filter(({ state }) => state === UNSENT));
    for (const call of kept) if (call.state === RESTING) this.queue.addResting(call);
    for (const call of given) {
      if (call.id !== 0) this.carrier.outstanding--;
      call.carrier = undefined;
    }
    return given;
  }
}
