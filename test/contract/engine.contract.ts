// What every engine does, in the order of the headers of `ts/engine/engine.ts` and
// `ts/engine/coordination.ts`, then of `ts/engine/workers.ts`. An implementation's test calls this with a name and a way to make one; the parts are one file a subject.

import { describe } from 'vitest';
import type { CreateEngine } from '../drive/engines.js';
import { blockersContract } from './engine/blockers.js';
import { checksContract } from './engine/checks.js';
import { coordinationChecksContract } from './engine/coordination-checks.js';
import { coordinationFoldContract } from './engine/coordination-fold.js';
import { coordinationGateContract } from './engine/coordination-gate.js';
import { deadlockContract } from './engine/deadlock.js';
import { ephemeralContract } from './engine/ephemeral.js';
import { expiryContract } from './engine/expiry.js';
import { fencesContract } from './engine/fences.js';
import { foldContract } from './engine/fold.js';
import { forwardsContract } from './engine/forwards.js';
import { gateContract } from './engine/gate.js';
import { guestFoldContract } from './engine/guest-fold.js';
import { guestsContract } from './engine/guests.js';
import { heavySessionsContract } from './engine/heavy-sessions.js';
import { limitsContract } from './engine/limits.js';
import { lockGrantsContract } from './engine/lock-grants.js';
import { lockHoldsContract } from './engine/lock-holds.js';
import { lockListContract } from './engine/lock-list.js';
import { lockModelContract } from './engine/lock-model.js';
import { lockQueueContract } from './engine/lock-queue.js';
import { onceContract } from './engine/once.js';
import { operationsContract } from './engine/operations.js';
import { partitionsContract } from './engine/partitions.js';
import { refusalContract } from './engine/refusal.js';
import { restoreContract } from './engine/restore.js';
import { routingContract } from './engine/routing.js';
import { scanContract } from './engine/scan.js';
import { sessionBoundsContract } from './engine/session-bounds.js';
import { sessionsContract } from './engine/sessions.js';
import { watchesContract } from './engine/watches.js';
import { workersContract } from './engine/workers.js';
import { workersModelContract } from './engine/workers-model.js';

export function engineContract(name: string, create: CreateEngine): void {
  describe(`engine contract: ${name}`, () => {
    checksContract(create);
    operationsContract(create);
    expiryContract(create);
    scanContract(create);
    limitsContract(create);
    partitionsContract(create);
    foldContract(create);
    restoreContract(create);
    gateContract(create);
    refusalContract(create);
    coordinationChecksContract(create);
    sessionsContract(create);
    lockGrantsContract(create);
    lockQueueContract(create);
    lockHoldsContract(create);
    deadlockContract(create);
    lockListContract(create);
    fencesContract(create);
    ephemeralContract(create);
    onceContract(create);
    watchesContract(create);
    coordinationGateContract(create);
    sessionBoundsContract(create);
    coordinationFoldContract(create);
    lockModelContract(create);
    routingContract(create);
    forwardsContract(create);
    guestsContract(create);
    guestFoldContract(create);
    heavySessionsContract(create);
    blockersContract(create);
    workersContract(create);
    workersModelContract(create);
  });
}
