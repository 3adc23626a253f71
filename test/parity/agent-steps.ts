// Random operations of several sessions for the lockstep run: locks, fenced and ephemeral writes, repeats
// under the same id, watches; and the calls that open and resume sessions.

import { RESUME_BYTES, WAIT_FOREVER } from '../../ts/wire/layout.js';
import {
  LEASE_MS_MAX,
  PERMITS_MAX,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
} from '../../ts/wire/limits.js';
import {
  cancelLock,
  downgrade,
  endSession,
  ephemeral,
  extend,
  fenced,
  listLocks,
  lock,
  renew,
  unlock,
  unwatch,
  watch,
} from '../drive/coordination.js';
import { bytes, del, increment, type Operation, put, touch } from '../drive/operations.js';
import type { Random } from './random.js';
import type { PlannedOperation, Step } from './steps.js';

/** Sessions that frames are of; the highest is never opened. */
export const SESSIONS = 6;
const NAMES = ['l/a', 'l/a', 'l/a', 'l/b', 'l/c', 'l/{t}d', 'l/é', 'l', `l/${'n'.repeat(1000)}`];

/** A call about a session. */
export function sessionStep(random: Random, elapsed: number): Step {
  const session = random.between(1, SESSIONS - 1);
  if (random.oneIn(3)) {
    return { kind: 'resume', elapsed, session, isForged: random.oneIn(4) };
  }
  const odd = [0, SESSION_TTL_MS_MIN - 1, SESSION_TTL_MS_MAX + 1, SESSION_TTL_MS_MAX];
  const ttlMs = random.oneIn(12) ? random.pick(odd) : random.between(1000, 4000);
  // 2^53 - 1, 0 and more: ids that few frames are of.
  const id = random.oneIn(30) ? random.pick([0, -1, 1.5, 2 ** 53, 2 ** 53 - 1]) : session;
  return { kind: 'open', elapsed, session: id, ttlMs };
}

/** Whose frame it is; 0 now and then: nobody's. */
export function sessionOf(random: Random): number {
  return random.oneIn(12) ? random.pick([0, SESSIONS]) : random.between(1, SESSIONS - 1);
}

/** Sets the flag once on a write now and then. */
export function maybeOnce(random: Random, operation: Operation): Operation {
  return random.oneIn(4) ? { ...operation, flags: (operation.flags ?? 0) | 0x80 } : operation;
}

export function agentOperation(random: Random, keys: readonly Uint8Array[]): PlannedOperation {
  const name = random.pick(NAMES);
  const pick = random.below(50);
  // Mostly what the session holds itself.
  const held = { hold: pick, anybodys: random.oneIn(8) };
  const leaseMs = randomLease(random);
  switch (random.below(26)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return { operation: randomLock(random, name) };
    case 5:
    case 23:
    case 24: {
      const waitMs = random.pick([0, 900, WAIT_FOREVER, WAIT_FOREVER]);
      return { operation: lock(name, { waitMs, upgrade: 1, leaseMs }), ...held };
    }
    case 6:
    case 7:
    case 8:
    case 9:
      return { operation: maybeOnce(random, unlock(name, random.between(1, 40))), ...held };
    case 10:
      return { operation: maybeOnce(random, downgrade(name, random.between(1, 40))), ...held };
    case 11:
      return { operation: maybeOnce(random, extend(name, 1, leaseMs)), ...held };
    case 12:
      return {
        operation: cancelLock(name, random.below(60)),
        wait: pick,
        granted: random.oneIn(3),
      };
    case 13:
      return { operation: random.oneIn(5) ? endSession() : renew() };
    case 14:
    case 15: {
      const prefix = random.pick(['', 'l', 'l/', 'l/{t}', 'x']);
      const limit = random.oneIn(4) ? random.between(1, 3) : 100;
      return { operation: listLocks(prefix, { limit }), goOn: random.oneIn(3) };
    }
    case 16:
    case 17:
    case 18: {
      const write = randomWrite(random, random.pick(keys));
      const token = random.oneIn(4) ? random.below(60) : 1;
      const of = { operation: maybeOnce(random, write), fence: { name, token, pick } };
      return random.oneIn(20) ? { operation: fenced(name, 2n ** 53n, write) } : of;
    }
    case 19:
    case 20: {
      const condition = random.oneIn(4) ? { ifAbsent: true } : {};
      return { operation: maybeOnce(random, ephemeral(put(random.pick(keys), 'e', condition))) };
    }
    case 21:
      return { operation: randomWatch(random, random.pick(keys)) };
    case 22:
      return { operation: unwatch(random.pick([0, 7, 2 ** 32 - 1, 2 ** 32])) };
    default:
      return { operation: maybeOnce(random, randomWrite(random, random.pick(keys))) };
  }
}

function randomLock(random: Random, name: string): Operation {
  const options = random.pick([
    {},
    {},
    { shared: true },
    { shared: true },
    { shared: true },
    { permits: random.pick([1, 2, 3, PERMITS_MAX, PERMITS_MAX + 1]) },
  ]);
  const waitMs = random.pick([0, 0, 1, 40, 700, WAIT_FOREVER, WAIT_FOREVER, WAIT_FOREVER]);
  return lock(name, {
    ...options,
    waitMs,
    leaseMs: randomLease(random),
    reentrant: random.oneIn(5),
  });
}

function randomLease(random: Random): number {
  if (random.oneIn(20)) return random.pick([LEASE_MS_MAX, LEASE_MS_MAX + 1]);
  return random.oneIn(3) ? random.between(1, 500) : 0;
}

function randomWrite(random: Random, key: Uint8Array): Operation {
  switch (random.below(5)) {
    case 0:
      return del(key);
    case 1:
      return touch(key, random.oneIn(2) ? random.between(1, 900) : undefined);
    case 2:
      return increment(key, 1, random.oneIn(3) ? 'keep' : undefined);
    default:
      return put(key, 'fenced or not', random.oneIn(4) ? { ttl: 'keep' } : {});
  }
}

function randomWatch(random: Random, key: Uint8Array): Operation {
  const flags = random.below(random.oneIn(4) ? 256 : 64);
  const value = random.oneIn(3) ? new Uint8Array(RESUME_BYTES) : bytes('');
  const limit = random.oneIn(6) ? random.below(12) : random.between(1, 7);
  return watch(key, { flags, value, limit, expectedRevision: random.pick([0, 0, 0, 5]) });
}
