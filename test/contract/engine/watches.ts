// WATCH and UNWATCH: the engine checks them and hands them to the node.

import { describe, expect, it } from 'vitest';
import { OperationCode } from '../../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  CLASS_KEYS,
  CLASS_LOCKS,
  CLASS_SESSIONS,
  CLASSES_ALL,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  OVERFLOW_COALESCE,
  OVERFLOW_DISCONNECT,
  RESUME_BYTES,
  START_POSITION,
  START_REVISION,
  START_SNAPSHOT,
} from '../../../ts/wire/layout.js';
import { Status } from '../../../ts/wire/status.js';
import { unwatch, watch, withId } from '../../drive/coordination.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, get, type Operation, put } from '../../drive/operations.js';
import { agents } from './drives.js';

export function watchesContract(create: CreateEngine): void {
  const agent = agents(create);
  const resume = new Uint8Array(RESUME_BYTES).fill(7);

  describe('a watch', () => {
    const valid: [string, Operation][] = [
      ['from now', watch('k')],
      ['of a prefix', watch('k', { flags: FLAG_WATCH_PREFIX })],
      ['of everything', watch('', { flags: FLAG_WATCH_PREFIX, limit: CLASSES_ALL })],
      [
        'of a prefix that ends inside a character',
        watch(Uint8Array.of(0xc3), { flags: FLAG_WATCH_PREFIX }),
      ],
      ['with a snapshot', watch('k', { flags: START_SNAPSHOT | OVERFLOW_COALESCE })],
      ['after a revision', watch('k', { flags: START_REVISION, expectedRevision: 2 ** 53 - 1 })],
      ['after revision 0', watch('k', { flags: START_REVISION })],
      [
        'after a position',
        watch('k', { flags: START_POSITION | OVERFLOW_DISCONNECT, value: resume }),
      ],
      ['of keys only', watch('k', { flags: FLAG_WATCH_KEYS_ONLY | FLAG_WATCH_PREFIX })],
      ['of locks', watch('job', { limit: CLASS_LOCKS })],
      ['of sessions', watch('00', { limit: CLASS_SESSIONS, flags: FLAG_WATCH_PREFIX })],
    ];
    it.each(valid)('%s is left to the node as it came, and has no result', (_name, operation) => {
      for (const session of [0, 1]) {
        const d = agent(1);
        const asked = withId(70, operation);
        const outcome = d.as(session, withId(3, put('k', 'v')), asked, withId(71, get('k')));
        expect(outcome.results.map(({ id }) => id)).toEqual([3, 71]);
        expect(outcome.notices).toEqual([
          {
            kind: 'request',
            session: 0,
            operation: {
              id: 70,
              code: OperationCode.Watch,
              flags: operation.flags ?? 0,
              key: operation.key,
              value: operation.value ?? bytes(''),
              limit: operation.limit ?? 0,
              ttlMs: 0,
              expectedRevision: Number(operation.expectedRevision ?? 0),
            },
          },
        ]);
        expect(outcome.records).toHaveLength(1);
      }
    });

    it.each<[string, Operation, string?]>([
      ['bit 6', watch('k', { flags: 64 })],
      ['bit 7', watch('k', { flags: 128 })],
      ['overflow 3', watch('k', { flags: 0b110 })],
      ['no class', watch('k', { limit: 0 })],
      ['a class of a later version', watch('k', { limit: CLASSES_ALL + 1 })],
      ['a ttl', watch('k', { ttlMs: 1 })],
      ['a worker that there is not', watch('k', { flags: FLAG_WATCH_PREFIX, ttlMs: 2 })],
      ['a value', watch('k', { value: resume })],
      ['a value with a snapshot', watch('k', { flags: START_SNAPSHOT, value: bytes('x') })],
      ['a position without a value', watch('k', { flags: START_POSITION })],
      ['a short position', watch('k', { flags: START_POSITION, value: resume.subarray(1) })],
      ['a long position', watch('k', { flags: START_POSITION, value: new Uint8Array(25) })],
      ['a revision from now on', watch('k', { expectedRevision: 1 })],
      ['a revision of 2^53', watch('k', { flags: START_REVISION, expectedRevision: 2n ** 53n })],
      [
        'a revision with a position',
        watch('k', { flags: START_POSITION, value: resume, expectedRevision: 1 }),
      ],
      ['a revision of a prefix', watch('k', { flags: START_REVISION | FLAG_WATCH_PREFIX })],
      ['a revision of locks', watch('k', { flags: START_REVISION, limit: CLASS_LOCKS })],
      ['nothing', watch(''), 'INVALID_KEY'],
      ['a key that is no UTF-8', watch(Uint8Array.of(0xc3)), 'INVALID_KEY'],
      ['a key too long', watch('x'.repeat(1025)), 'KEY_TOO_LONG'],
      ['a prefix too long', watch('x'.repeat(1025), { flags: 1 }), 'KEY_TOO_LONG'],
    ])('with %s is refused', (_name, operation, expected = 'INVALID_ARGUMENT') => {
      const d = agent(1);
      const outcome = d.as(1, operation);
      expect(outcome.results).toMatchObject([{ status: expected }]);
      expect([outcome.notices, outcome.records]).toEqual([[], []]);
    });

    it('of keys and more goes from a revision too', () => {
      const d = agent(1);
      const operation = watch('k', { flags: START_REVISION, limit: CLASS_KEYS | CLASS_LOCKS });
      expect(d.as(1, operation).notices).toHaveLength(1);
    });
  });

  describe('an unwatch', () => {
    it('is left to the node, in the order of the frame', () => {
      const d = agent(1);
      const { results, notices } = d.run(
        watch('k'),
        unwatch(0),
        get('k'),
        unwatch(2 ** 32 - 1),
        watch('l'),
      );
      expect(results.map(({ id }) => id)).toEqual([3]);
      expect(notices.map((notice) => notice.kind === 'request' && notice.operation.id)).toEqual([
        1, 2, 4, 5,
      ]);
      expect(notices[3]).toMatchObject({ operation: { key: bytes('l') } });
    });

    it.each<[string, Operation]>([
      ['an id of 2^32', unwatch(2 ** 32)],
      ['a key', { ...unwatch(1), key: bytes('k') }],
      ['a value', { ...unwatch(1), value: bytes('k') }],
      ['a limit', { ...unwatch(1), limit: 1 }],
      ['a worker that there is not', { ...unwatch(1), ttlMs: 2 }],
      ['a ttl in the high half', { ...unwatch(1), ttlMs: 2n ** 32n }],
      ['a flag', { ...unwatch(1), flags: 1 }],
    ])('with %s is refused', (_name, operation) => {
      const d = agent(1);
      const outcome = d.run(operation);
      expect(outcome.results).toMatchObject([{ status: 'INVALID_ARGUMENT' }]);
      expect(outcome.notices).toEqual([]);
      expect(d.counted(OperationCode.Unwatch, Status.InvalidArgument)).toBe(1);
    });
  });
}
