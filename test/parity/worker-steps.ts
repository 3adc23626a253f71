// Random steps of an engine that is one of several: guests come and go, workers serve or do not, frames are
// forwarded or not, and what goes by prefix names a worker.

import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_WATCH_PREFIX } from '../../ts/wire/layout.js';
import type { Operation } from '../drive/operations.js';
import { SESSIONS } from './agent-steps.js';
import type { Random } from './random.js';
import type { Step } from './steps.js';

/** The worker whose engines are compared; the others have none. */
export const OWN_WORKER = 1;

/** A call about guests or waits, or a change of the routing table. */
export function workerStep(random: Random, elapsed: number, workers: number): Step {
  const session = random.oneIn(20)
    ? random.pick([0, -1, 1.5, 2 ** 53])
    : random.between(1, SESSIONS);
  switch (random.below(9)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return { kind: 'admit', elapsed, session };
    case 4:
      return { kind: 'end-guest', elapsed, session };
    case 5:
      return { kind: 'blockers', elapsed, sessions: [1, 2, 3, 4, 5, session] };
    case 6:
      return { kind: 'refuse', elapsed, session, pick: random.below(50) };
    case 7:
      return { kind: 'guests', elapsed };
    default: {
      const worker = random.below(workers);
      return { kind: 'serving', elapsed, worker, isServing: !random.oneIn(3) };
    }
  }
}

/** The operation with the name of a worker, where it takes one; now and then of one that there is not. */
export function addressed(random: Random, operation: Operation, workers: number): Operation {
  const { code, flags = 0 } = operation;
  const isPrefix =
    code === OperationCode.Scan ||
    code === OperationCode.ListLocks ||
    code === OperationCode.Unwatch ||
    (code === OperationCode.Watch && (flags & FLAG_WATCH_PREFIX) !== 0);
  if (!isPrefix || random.oneIn(6)) return operation;
  const ttlMs = random.oneIn(3) ? random.below(workers + 2) : OWN_WORKER + 1;
  return { ...operation, ttlMs };
}
