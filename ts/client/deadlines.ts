// A look at every call of a connection: which are late, when the next one will be, and since when answers are due.

import { type Call, type Carrier, RESTING, SETTLED, UNSENT } from './call.js';
import type { Outstanding } from './outstanding.js';
import type { Queue } from './queue.js';

export interface Overdue {
  readonly late: readonly Call[];
  /** The nearest deadline of the others. */
  readonly nearest: number;
  /** When the oldest call was sent whose answer is due; `now` where there is none. */
  readonly oldestSentAt: number;
}

export function overdue(
  queue: Queue,
  outstanding: Outstanding,
  carrier: Carrier,
  now: number,
): Overdue {
  const late: Call[] = [];
  let nearest = Number.POSITIVE_INFINITY;
  let oldestSentAt = now;
  const look = (call: Call): void => {
    if (call.state === SETTLED) return;
    if (call.deadline <= now) late.push(call);
    else if (call.deadline < nearest) nearest = call.deadline;
  };
  queue.forEach(look);
  outstanding.forEach(carrier, (call) => {
    // It waits in the queue as well, to be sent again.
    if (call.state === UNSENT || call.state === RESTING) return;
    // A lock that nobody frees is no silence.
    if (call.sentAt < oldestSentAt && !call.isDeferred) oldestSentAt = call.sentAt;
    look(call);
  });
  return { late, nearest, oldestSentAt };
}
