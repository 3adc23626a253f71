// What becomes of calls when their connection, or a worker behind it, is lost: which are sent again, under which
// ids, and which fail, because the node may or may not have carried them out.

import { FLAG_ENTRY } from '../wire/layout.js';
import type { ReplyReader } from '../wire/reply.js';
import { type Call, type Carrier, RESTING, Repeat, SENT, UNSENT } from './call.js';
import { RondoError } from './errors.js';
import { lost } from './failures.js';
import type { Outstanding } from './outstanding.js';
import type { Queue } from './queue.js';

/** Times that a read which was refused, or has no session, is repeated, whatever its deadline. */
export const REPEATS_MAX = 8;

export class Recovery {
  /**
   * Ids of calls that went with a worker behind the connection. Where the node took one after it told of the loss,
   * an answer comes all the same.
   */
  private readonly strays = new Set<number>();

  constructor(
    private readonly carrier: Carrier,
    /** Of the connection. */
    readonly queue: Queue,
    private readonly outstanding: Outstanding,
    /** Ids of locks that may be answered after their caller has gone. */
    private readonly echoes: Set<number>,
    private readonly failFast: boolean,
    private readonly fail: (call: Call, error: RondoError) => void,
  ) {}

  /** What was sent and has no answer: back to the head of the queue, or it fails. */
  takeBack(
    reason: RondoError,
    mayRepeat: boolean,
    hasSession: boolean,
    isLost: (call: Call) => boolean,
  ): void {
    const { outstanding } = this;
    const again: Call[] = [];
    for (const call of outstanding.inOrder(this.carrier)) {
      // What waits to be sent again goes on waiting.
      if (call.state === UNSENT || call.state === RESTING || !isLost(call)) continue;
      const isAgain = mayRepeat && !this.failFast && call.state === SENT;
      // Its deadline alone bounds how often: one that waits for a lock outlives any number of connections.
      if (isAgain && hasSession && call.repeatable !== Repeat.Never) {
        call.repeatAs(UNSENT, true);
        again.push(call);
        continue;
      }
      outstanding.remove(call);
      if (call.isDeferred && hasSession) this.echoes.add(call.id);
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

  /** A worker behind the connection is gone, with what it was sent and what it remembered. */
  lostWorker(reason: RondoError, hasSession: boolean, isLost: (call: Call) => boolean): void {
    const { outstanding } = this;
    const sent = outstanding
      .inOrder(this.carrier)
      .filter((call) => call.state !== UNSENT && call.state !== RESTING && isLost(call))
      .map((call) => ({ call, id: call.id }));
    this.takeBack(reason, true, hasSession, isLost);
    this.decide(true, reason, isLost);
    for (const { call, id } of sent) if (outstanding.get(id) !== call) this.strays.add(id);
  }

  /** Whether the current result is of a call that was given up with its worker. */
  isStray({ id, flags }: ReplyReader): boolean {
    const isLast = (flags & FLAG_ENTRY) === 0;
    return isLast ? this.strays.delete(id) : this.strays.has(id);
  }

  /** The connection is gone, and with it what could still come. */
  forgetStrays(): void {
    this.strays.clear();
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
    const { outstanding } = this;
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
