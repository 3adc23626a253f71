// The lock table: what fits beside what, the queue, tokens, and the order of names.

import { expect, it } from 'vitest';
import { Hold, type Lock, Locks, nameText, Wait } from '../../ts/engine/locks.js';
import { Session } from '../../ts/engine/sessions.js';
import { LOCK_EXCLUSIVE, LOCK_PERMIT, LOCK_SHARED } from '../../ts/wire/layout.js';

const session = new Session(1, 0, 1000, new Uint8Array(16));

function lockOf(locks: Locks, name: string): Lock {
  const bytes = Buffer.from(name);
  return locks.take(nameText(bytes, 0, bytes.length), bytes, 0);
}

function hold(lock: Lock, token: number, mode: number): Hold {
  const made = new Hold(lock, token, session.id, token, mode, 1, 0, 0);
  lock.addHold(made);
  return made;
}

function wait(lock: Lock, id: number, mode: number, upgradeOf?: Hold): Wait {
  const made = new Wait(lock, session, id, mode, 1, 0, 0, 0, upgradeOf);
  lock.enqueue(made);
  return made;
}

function queueOf(lock: Lock): number[] {
  return Array.from(lock.queue(), ({ id }) => id);
}

it('knows which modes fit beside the holds', () => {
  const lock = lockOf(new Locks(), 'a');
  const fits = (): boolean[] => [
    lock.fits(LOCK_EXCLUSIVE, 0),
    lock.fits(LOCK_SHARED, 0),
    lock.fits(LOCK_PERMIT, 2),
  ];
  expect(fits()).toEqual([true, true, true]);
  const shared = hold(lock, 1, LOCK_SHARED);
  expect(fits()).toEqual([false, true, false]);
  lock.setMode(shared, LOCK_EXCLUSIVE);
  expect(fits()).toEqual([false, false, false]);
  lock.removeHold(shared);
  hold(lock, 2, LOCK_PERMIT);
  expect(fits()).toEqual([false, false, true]);
  hold(lock, 3, LOCK_PERMIT);
  expect(fits()).toEqual([false, false, false]);
});

it('finds holds by token, and the newest', () => {
  const lock = lockOf(new Locks(), 'a');
  expect(lock.newestToken).toBe(0);
  const holds = [5, 9, 12].map((token) => hold(lock, token, LOCK_SHARED));
  expect([5, 9, 12].map((token) => lock.holdOf(token))).toEqual(holds);
  expect([1, 6, 13].map((token) => lock.holdOf(token))).toEqual([undefined, undefined, undefined]);
  lock.removeHold(holds[2] as Hold);
  expect(lock.newestToken).toBe(9);
});

it('keeps the queue in order, an upgrade in front, and lets waits go from any place', () => {
  const lock = lockOf(new Locks(), 'a');
  const held = hold(lock, 1, LOCK_SHARED);
  const waits = [1, 2, 3].map((id) => wait(lock, id, LOCK_EXCLUSIVE));
  const upgrade = wait(lock, 4, LOCK_EXCLUSIVE, held);
  expect(queueOf(lock)).toEqual([4, 1, 2, 3]);
  expect(lock.upgrade).toBe(upgrade);
  lock.dequeue(waits[1] as Wait);
  lock.dequeue(waits[2] as Wait);
  expect(queueOf(lock)).toEqual([4, 1]);
  wait(lock, 5, LOCK_SHARED);
  lock.dequeue(upgrade);
  expect(queueOf(lock)).toEqual([1, 5]);
  expect([lock.upgrade, lock.waits]).toEqual([undefined, 2]);
});

it('gives an upgrade its turn where its own hold is the only one, or has ended', () => {
  const lock = lockOf(new Locks(), 'a');
  const own = hold(lock, 1, LOCK_SHARED);
  const other = hold(lock, 2, LOCK_SHARED);
  const upgrade = wait(lock, 3, LOCK_EXCLUSIVE, own);
  expect(lock.isTurnOf(upgrade)).toBe(false);
  lock.removeHold(other);
  expect(lock.isTurnOf(upgrade)).toBe(true);
  hold(lock, 4, LOCK_SHARED);
  lock.removeHold(own);
  expect(lock.isTurnOf(upgrade)).toBe(false);
  own.isEnded = true;
  expect(lock.isTurnOf(upgrade)).toBe(true);
});

it('lists names in byte order while locks come and go', () => {
  const locks = new Locks();
  const names = (): string[] => locks.inOrder().map(({ bytes }) => Buffer.from(bytes).toString());
  for (const name of ['b', 'ä', 'a', '\u{10000}', '\uffff', 'ab']) lockOf(locks, name);
  // UTF-16 units would have the last two the other way round.
  expect(names()).toEqual(['a', 'ab', 'b', 'ä', '\uffff', '\u{10000}']);
  locks.drop(lockOf(locks, 'b'));
  lockOf(locks, 'aa');
  expect(names()).toEqual(['a', 'aa', 'ab', 'ä', '\uffff', '\u{10000}']);
  locks.drop(lockOf(locks, 'aa'));
  expect(names()).toEqual(['a', 'ab', 'ä', '\uffff', '\u{10000}']);
});
