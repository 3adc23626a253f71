// Steps 1 to 3 for the operations of sessions and locks: fields that they do not use or that are out of range.

import { describe, expect, it } from 'vitest';
import { INPUT_DURABLE, OUTCOME_GATE } from '../../../ts/engine/engine.js';
import { OperationCode } from '../../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_REENTRANT, FLAG_UPGRADE, LOCK_PERMIT, LOCK_SHARED } from '../../../ts/wire/layout.js';
import { PERMITS_MAX } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import {
  cancelLock,
  downgrade,
  endSession,
  extend,
  listLocks,
  lock,
  renew,
  unlock,
} from '../../drive/coordination.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, type Operation } from '../../drive/operations.js';
import { agents } from './drives.js';

const NAMED: [string, Operation][] = [
  ['lock', lock('a')],
  ['unlock', unlock('a', 3)],
  ['downgrade', downgrade('a', 3)],
  ['extend', extend('a', 3, 5)],
  ['cancel', cancelLock('a', 3)],
];
const NAMELESS: [string, Operation][] = [
  ['renew', renew()],
  ['end of session', endSession()],
];
const LIST: [string, Operation] = ['list', listLocks('')];
const ALL = [...NAMED, ...NAMELESS, LIST];

/** Flag bits that an operation takes, by code. */
const BITS: Partial<Record<number, number>> = {
  [OperationCode.Lock]: 0b1111,
  [OperationCode.Unlock]: 0b1000_0000,
  [OperationCode.Downgrade]: 0b1000_0000,
  [OperationCode.Extend]: 0b1000_0000,
};

const invalid: [string, Operation][] = [
  ...ALL.flatMap(([name, operation]) =>
    Array.from({ length: 8 }, (_, bit) => bit)
      .filter((bit) => ((BITS[operation.code] ?? 0) & (1 << bit)) === 0)
      .map((bit): [string, Operation] => [
        `${name} with flag bit ${bit}`,
        { ...operation, flags: (operation.flags ?? 0) | (1 << bit) },
      ]),
  ),
  ...[...NAMED, ...NAMELESS].flatMap(([name, operation]): [string, Operation][] => [
    [`${name} with a value`, { ...operation, value: bytes('x') }],
    ...(operation.code === OperationCode.Lock
      ? []
      : [[`${name} with a limit`, { ...operation, limit: 1 }] as [string, Operation]]),
  ]),
  ...ALL.filter(([name]) => name !== 'lock' && name !== 'extend').flatMap(
    ([name, operation]): [string, Operation][] => [
      // Of a list it is the address of a worker, of which there is one.
      [`${name} with a ttl`, { ...operation, ttlMs: name === 'list' ? 2 : 1 }],
      [`${name} with a ttl in the high half`, { ...operation, ttlMs: 2n ** 32n }],
    ],
  ),
  ...[...NAMELESS, LIST].map(([name, operation]): [string, Operation] => [
    `${name} with an expected revision`,
    { ...operation, expectedRevision: 1 },
  ]),
  ...NAMELESS.map(([name, operation]): [string, Operation] => [
    `${name} with a key`,
    { ...operation, key: bytes('k') },
  ]),
  ...[...NAMED.slice(1)].map(([name, operation]): [string, Operation] => [
    `${name} with an expected revision of 2^53`,
    { ...operation, expectedRevision: 2n ** 53n },
  ]),
  ['lock with mode 3', { ...lock('a'), flags: 3 }],
  ['lock, exclusive, with permits', { ...lock('a'), expectedRevision: 1 }],
  ['lock, shared, with permits', { ...lock('a', { shared: true }), expectedRevision: 1 }],
  ['lock of 0 permits', { ...lock('a'), flags: LOCK_PERMIT }],
  ['lock of too many permits', lock('a', { permits: PERMITS_MAX + 1 })],
  ['lock of 2^32 + 1 permits', lock('a', { permits: 2 ** 32 + 1 })],
  ['lock of 2^63 permits', { ...lock('a', { permits: 1 }), expectedRevision: 2n ** 63n }],
  ['upgrade with token 0', lock('a', { upgrade: 0 })],
  ['upgrade with token 2^53', { ...lock('a', { upgrade: 1 }), expectedRevision: 2n ** 53n }],
  ['upgrade to shared', { ...lock('a', { upgrade: 1 }), flags: FLAG_UPGRADE | LOCK_SHARED }],
  ['upgrade to a permit', { ...lock('a', { upgrade: 1 }), flags: FLAG_UPGRADE | LOCK_PERMIT }],
  ['a re-entrant upgrade', { ...lock('a', { upgrade: 1 }), flags: FLAG_UPGRADE | FLAG_REENTRANT }],
];

const badNames: [string, Uint8Array, string][] = [
  ['empty', bytes(''), 'INVALID_KEY'],
  ['no UTF-8', Uint8Array.of(0xc3), 'INVALID_KEY'],
  ['of 1,025 bytes', new Uint8Array(1025).fill(97), 'KEY_TOO_LONG'],
  ['of 1,025 bytes that are no UTF-8', new Uint8Array(1025).fill(255), 'KEY_TOO_LONG'],
];

export function coordinationChecksContract(create: CreateEngine): void {
  const agent = agents(create);

  describe('checks of sessions and locks', () => {
    it.each(invalid)('%s is an invalid argument', (_name, operation) => {
      // Before a session is asked for, and before the name is looked at.
      for (const session of [0, 1, 9]) {
        const d = agent(1);
        const outcome = d.as(session, operation);
        expect(outcome.results).toMatchObject([
          { status: 'INVALID_ARGUMENT', revision: 0, count: 0, ttlMs: 0 },
        ]);
        expect([outcome.records, outcome.notices]).toEqual([[], []]);
        expect(d.counted(operation.code, Status.InvalidArgument)).toBe(1);
      }
      const d = agent(1);
      const long = { ...operation, key: new Uint8Array(1025).fill(97) };
      expect(d.asks(1, long)).toEqual(['INVALID_ARGUMENT 0']);
    });

    it.each(NAMED)('the name of a %s is checked as a key', (_name, operation) => {
      const d = agent(1);
      for (const [name, key, expected] of badNames) {
        expect(d.asks(0, { ...operation, key }), name).toEqual([`${expected} 0`]);
      }
      const longest = { ...operation, key: new Uint8Array(1024).fill(97) };
      expect(d.asks(0, longest)).toEqual(['SESSION_REQUIRED 0']);
    });

    it('what is refused saw nothing', () => {
      const d = agent(1);
      d.engine.input[INPUT_DURABLE] = 0;
      d.as(1, lock('a'));
      expect(d.asks(1, { ...unlock('a', 2), limit: 1 })).toEqual(['INVALID_ARGUMENT 0']);
      expect(d.figure(OUTCOME_GATE)).toBe(0);
      expect(d.asks(1, unlock('', 2))).toEqual(['INVALID_KEY 0']);
      expect(d.figure(OUTCOME_GATE)).toBe(0);
    });

    it('an id of a cancelled wait below 2^53 is looked for', () => {
      const d = agent(1);
      expect(d.asks(1, cancelLock('a', 2 ** 53 - 1))).toEqual(['NOT_FOUND 0']);
      expect(d.asks(1, cancelLock('a', 0))).toEqual(['NOT_FOUND 0']);
    });

    it.each([7, 15, 26, 31, 32, 255])('code %i is not known', (code) => {
      const d = agent(1);
      expect(d.asks(1, { code, key: bytes('a') })).toEqual(['UNKNOWN_OPERATION 0']);
      expect(d.counted(0, Status.UnknownOperation)).toBe(1);
    });
  });
}
