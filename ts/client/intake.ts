// What all connections of a client share: whether calls are taken, what is under way, and the ids, of which there
// is one sequence, since a session knows an operation by its id whichever connection it comes over.

import { Activity } from './activity.js';
import { type Call, type Carrier, SENT, SETTLED } from './call.js';
import type { RondoError } from './errors.js';
import { cancelled } from './failures.js';
import { Outstanding } from './outstanding.js';
import type { Queue } from './queue.js';
import { Signals } from './signals.js';

/** More than a node lets a client have under way at once. */
const ECHOES_MAX = 100_000;

export class Intake {
  /** Why no call is taken any more. */
  refusal: RondoError | undefined;
  /** Why no call is taken any more but those of a whole that is under way. */
  draining: RondoError | undefined;
  /** What was sent before then may be forgotten at the node, whatever a later welcome says. */
  forgottenAt = 0;
  /** What a drain waits for. */
  readonly activity = new Activity();
  readonly outstanding: Outstanding;
  readonly signals = new Signals((call, signal) =>
    call.carrier?.giveUp(call, cancelled(call, signal)),
  );
  /** Ids that may be answered once more, or after their caller has gone; the newest. */
  readonly echoes = new Set<number>();
  /** One a connection. */
  readonly queues: Queue[] = [];

  constructor(idFirst: number) {
    this.outstanding = new Outstanding(idFirst);
  }

  /** A connection is no more, and nothing waits for it. */
  forget(queue: Queue): void {
    const index = this.queues.indexOf(queue);
    if (index >= 0) this.queues.splice(index, 1);
  }

  /** Calls that wait to be sent, over whichever connection. */
  get waiting(): number {
    let waiting = 0;
    for (const queue of this.queues) waiting += queue.waiting;
    return waiting;
  }

  /** What was sent over a connection to a worker and has no answer, other than waits for locks. */
  sentTo(worker: number, carrier: Carrier): Call[] {
    const calls: Call[] = [];
    this.outstanding.forEach(carrier, (call) => {
      if (call.worker === worker && call.state === SENT && !call.isDeferred) calls.push(call);
    });
    return calls;
  }

  /**
   * The operation that an answer over this connection is for; undefined where it asked for none such. A wait is
   * answered over whichever connection its worker had last.
   */
  asked(id: number, over: Carrier): Call | undefined {
    const call = this.outstanding.get(id);
    if (call === undefined || (call.state !== SENT && call.state !== SETTLED)) return undefined;
    const { carrier } = call;
    if (carrier === over) return call;
    if (!call.isDeferred || carrier === undefined) return undefined;
    carrier.outstanding--;
    over.outstanding++;
    call.carrier = over;
    return call;
  }

  expectEcho(id: number): void {
    this.echoes.add(id);
    const [oldest = 0] = this.echoes;
    if (this.echoes.size > ECHOES_MAX) this.echoes.delete(oldest);
  }

  /** Whether an answer to what asks no more, or will ask again, is nothing to wonder at. */
  isEcho(id: number): boolean {
    return this.echoes.has(id) || this.outstanding.get(id)?.isDeferred === true;
  }

  /** The caller has been told. */
  settled(call: Call): void {
    call.state = SETTLED;
    if (call.signal !== undefined) this.signals.remove(call, call.signal);
    this.activity.end();
  }

  /**
   * Runs what is made of several calls, one after another: a drain waits for the whole, whose calls
   * are taken until it has ended.
   */
  async whole<R>(run: () => Promise<R>): Promise<R> {
    if (this.draining !== undefined) throw this.draining;
    this.activity.begin();
    try {
      return await run();
    } finally {
      this.activity.end();
    }
  }
}
