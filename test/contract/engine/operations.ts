// Step 6: what each operation does to a key that is there, and to one that is not.

import { describe, expect, it } from 'vitest';
import { OPERATION_CODE_COUNT } from '../../../ts/engine/engine.js';
import { OperationCode } from '../../../ts/wire/generated/rondo/wire/operation-code.js';
import { STATUS_COUNT, Status } from '../../../ts/wire/status.js';
import { type Drive, text } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, del, get, increment, put, scan, touch } from '../../drive/operations.js';
import { RECORD_KINDS } from '../../drive/records.js';
import { drives } from './drives.js';

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

export function operationsContract(create: CreateEngine): void {
  const drive = drives(create);

  describe('get', () => {
    it('answers NOT_FOUND for a key that is not there', () => {
      const result = drive().one(get('k'));
      expect(result).toMatchObject({ status: 'NOT_FOUND', revision: 0, ttlMs: 0, flags: 0 });
      expect(result.value).toHaveLength(0);
    });

    it('answers with value, revision and time to live', () => {
      const d = drive();
      d.one(put('k', 'value', { ttl: 500 }));
      d.now += 200;
      const result = d.one(get('k'));
      expect(result).toMatchObject({ status: 'OK', revision: 1, ttlMs: 300, flags: 0, count: 0 });
      expect(text(result.value)).toBe('value');
      expect(result.key).toHaveLength(0);
    });

    it('leaves the value out under keys_only', () => {
      const d = drive();
      d.one(put('k', 'value', { ttl: 500 }));
      const result = d.one(get('k', { keysOnly: true }));
      expect(result).toMatchObject({ status: 'OK', revision: 1, ttlMs: 500 });
      expect(result.value).toHaveLength(0);
    });

    it('makes no record', () => {
      const d = drive();
      d.one(put('k', 'v'));
      expect(d.run(get('k'), get('none')).records).toEqual([]);
    });
  });

  describe('put', () => {
    it('makes a key, replaces its value and counts revisions', () => {
      const d = drive();
      expect(d.brief(put('k', 'a'))).toBe('OK 1');
      expect(d.brief(put('k', 'longer than before'))).toBe('OK 2');
      expect(text(d.one(get('k')).value)).toBe('longer than before');
      expect(d.brief(put('k', 'b'))).toBe('OK 3');
      expect(text(d.one(get('k')).value)).toBe('b');
      expect(d.brief(put('k', ''))).toBe('OK 4');
      expect(d.one(get('k')).value).toHaveLength(0);
      expect(d.keys).toBe(1);
    });

    it('keeps every byte value', () => {
      const d = drive();
      const value = Uint8Array.from({ length: 256 }, (_, index) => index);
      d.one(put('k', value));
      expect(d.one(get('k')).value).toEqual(value);
    });

    it('if absent: refuses a live key with its revision', () => {
      const d = drive();
      expect(d.brief(put('k', 'a', { ifAbsent: true }))).toBe('OK 1');
      expect(d.brief(put('k', 'b', { ifAbsent: true }))).toBe('ALREADY_EXISTS 1');
      expect(text(d.one(get('k')).value)).toBe('a');
      d.one(del('k'));
      expect(d.brief(put('k', 'c', { ifAbsent: true }))).toBe('OK 3');
    });

    it('if revision: refuses another revision with the present one', () => {
      const d = drive();
      d.one(put('k', 'a'));
      expect(d.brief(put('k', 'b', { ifRevision: 2 }))).toBe('REVISION_MISMATCH 1');
      expect(d.brief(put('k', 'b', { ifRevision: 1 }))).toBe('OK 2');
      expect(d.brief(put('k', 'c', { ifRevision: 1 }))).toBe('REVISION_MISMATCH 2');
      expect(text(d.one(get('k')).value)).toBe('b');
    });

    it('if revision 0: asks for absence', () => {
      const d = drive();
      expect(d.brief(put('k', 'a', { ifRevision: 0 }))).toBe('OK 1');
      expect(d.brief(put('k', 'b', { ifRevision: 0 }))).toBe('REVISION_MISMATCH 1');
      expect(d.brief(put('none', 'b', { ifRevision: 4 }))).toBe('REVISION_MISMATCH 0');
      expect(d.keys).toBe(1);
    });

    it('ttl none clears, set replaces, keep leaves an expiry', () => {
      const d = drive();
      expect(d.one(put('k', 'a', { ttl: 1000 })).ttlMs).toBe(1000);
      d.now += 100;
      expect(d.one(put('k', 'b', { ttl: 'keep' })).ttlMs).toBe(900);
      expect(d.one(put('k', 'c', { ttl: 300 })).ttlMs).toBe(300);
      expect(d.one(put('k', 'd')).ttlMs).toBe(0);
      expect(d.one(put('k', 'e', { ttl: 'keep' })).ttlMs).toBe(0);
      expect(d.one(put('new', 'f', { ttl: 'keep' })).ttlMs).toBe(0);
      d.now += 10_000;
      expect(d.one(get('k')).status).toBe('OK');
    });

    it('shows no ttl with a refusal', () => {
      const d = drive();
      d.one(put('k', 'a', { ttl: 1000 }));
      expect(d.one(put('k', 'b', { ifAbsent: true })).ttlMs).toBe(0);
      expect(d.one(put('k', 'b', { ifRevision: 9 })).ttlMs).toBe(0);
    });

    it('changes neither value nor expiry where the condition fails', () => {
      const d = drive();
      d.one(put('k', 'a', { ttl: 1000 }));
      expect(
        d.run(put('k', 'b', { ifAbsent: true }), put('k', 'b', { ifRevision: 7 })).records,
      ).toEqual([]);
      expect(d.one(get('k'))).toMatchObject({ revision: 1, ttlMs: 1000 });
    });
  });

  describe('delete', () => {
    it('removes the key and answers with the revision of the deletion', () => {
      const d = drive();
      d.one(put('k', 'a', { ttl: 50 }));
      expect(d.one(del('k'))).toMatchObject({ status: 'OK', revision: 2, ttlMs: 0 });
      expect(d.one(get('k')).status).toBe('NOT_FOUND');
      expect(d.brief(del('k'))).toBe('NOT_FOUND 0');
      expect(d.keys).toBe(0);
      expect(d.memoryBytes).toBe(0);
    });

    it('never gives a revision twice', () => {
      const d = drive();
      d.one(put('k', 'a'));
      d.one(del('k'));
      expect(d.brief(put('k', 'b'))).toBe('OK 3');
    });

    it('if revision: only the present one, and 0 matches nothing', () => {
      const d = drive();
      d.one(put('k', 'a'));
      expect(d.brief(del('k', { ifRevision: 0 }))).toBe('REVISION_MISMATCH 1');
      expect(d.brief(del('k', { ifRevision: 2 }))).toBe('REVISION_MISMATCH 1');
      expect(d.brief(del('k', { ifRevision: 1 }))).toBe('OK 2');
      expect(d.brief(del('k', { ifRevision: 2 }))).toBe('NOT_FOUND 0');
      expect(d.brief(del('k', { ifRevision: 0 }))).toBe('NOT_FOUND 0');
    });
  });

  describe('increment', () => {
    const added = (d: Drive, delta: number | bigint) => {
      const result = d.one(increment('n', delta));
      return `${result.status} ${text(result.value)}`;
    };

    it('counts from 0 and shows the new number', () => {
      const d = drive();
      expect(added(d, 5)).toBe('OK 5');
      expect(added(d, -7)).toBe('OK -2');
      expect(added(d, 2)).toBe('OK 0');
      expect(added(d, 0)).toBe('OK 0');
      expect(d.one(get('n')).revision).toBe(4);
      expect(text(d.one(get('n')).value)).toBe('0');
    });

    it('reaches both ends of 64 bits and goes no further', () => {
      const d = drive();
      expect(added(d, INT64_MAX)).toBe('OK 9223372036854775807');
      expect(d.one(increment('n', 1))).toMatchObject({
        status: 'NUMBER_OVERFLOW',
        revision: 1,
        ttlMs: 0,
      });
      expect(added(d, INT64_MIN)).toBe('OK -1');
      expect(added(d, INT64_MIN + 1n)).toBe('OK -9223372036854775808');
      expect(added(d, -1)).toBe('NUMBER_OVERFLOW ');
      expect(added(d, INT64_MIN)).toBe('NUMBER_OVERFLOW ');
      expect(added(d, INT64_MAX)).toBe('OK -1');
    });

    it.each(['0', '7', '-1', '10', '9223372036854775807', '-9223372036854775808'])(
      'takes the stored text %j as a number',
      (stored) => {
        const d = drive();
        d.one(put('n', stored));
        expect(added(d, 0)).toBe(`OK ${stored}`);
      },
    );

    it.each([
      '',
      '-',
      '+1',
      '01',
      '-0',
      '-01',
      '00',
      ' 1',
      '1 ',
      '1\n',
      '1.0',
      '1e3',
      '0x10',
      '1_000',
      '--1',
      '1-',
      '٣',
      '９',
      '9223372036854775808',
      '-9223372036854775809',
      '18446744073709551616',
      '99999999999999999999',
      '-99999999999999999999',
      '123456789012345678901234567890',
      'NaN',
      '\u0000',
    ])('refuses the stored text %j', (stored) => {
      const d = drive();
      d.one(put('n', stored));
      const { results, records } = d.run(increment('n', 1));
      expect(results[0]).toMatchObject({ status: 'NOT_A_NUMBER', revision: 1, ttlMs: 0 });
      expect(records).toEqual([]);
      expect(d.one(get('n')).value).toEqual(bytes(stored));
    });

    it('ttl none clears, set replaces, keep leaves an expiry', () => {
      const d = drive();
      expect(d.one(increment('n', 1, 'keep')).ttlMs).toBe(0);
      expect(d.one(increment('n', 1, 400)).ttlMs).toBe(400);
      d.now += 50;
      expect(d.one(increment('n', 1, 'keep')).ttlMs).toBe(350);
      expect(d.one(increment('n', 1)).ttlMs).toBe(0);
    });

    it('grows and shrinks the text within one key', () => {
      const d = drive();
      for (let step = 0; step < 12; step++) d.one(increment('n', 9n * 10n ** BigInt(step)));
      expect(text(d.one(get('n')).value)).toBe('9'.repeat(12));
      expect(added(d, 1)).toBe('OK 1000000000000');
      expect(added(d, -(10n ** 12n))).toBe('OK 0');
      expect(d.memoryBytes).toBe(96 + 1 + 1);
    });
  });

  describe('touch', () => {
    it('answers NOT_FOUND for a key that is not there', () => {
      expect(drive().brief(touch('k', 10))).toBe('NOT_FOUND 0');
    });

    it('sets, replaces and clears the expiry under a new revision', () => {
      const d = drive();
      d.one(put('k', 'value'));
      expect(d.one(touch('k', 100))).toMatchObject({ status: 'OK', revision: 2, ttlMs: 100 });
      expect(d.one(touch('k', 40))).toMatchObject({ status: 'OK', revision: 3, ttlMs: 40 });
      d.now += 39;
      expect(d.one(touch('k'))).toMatchObject({ status: 'OK', revision: 4, ttlMs: 0 });
      d.now += 1000;
      const result = d.one(get('k'));
      expect(result).toMatchObject({ status: 'OK', revision: 4, ttlMs: 0 });
      expect(text(result.value)).toBe('value');
    });
  });

  describe('records', () => {
    it('hold the effect: kind, key, value, revision, time, expiry as absolute time', () => {
      const d = drive();
      const { now } = d;
      const partition = d.engine.partitionOf(bytes('k'));
      const { records } = d.run(
        put('k', 'v', { ttl: 5 }),
        increment('{k}n', 41),
        touch('k', 9),
        get('k'),
        put('k', 'w', { ttl: 'keep' }),
        touch('k'),
        del('k'),
        del('k'),
        put('k', 'x', { ifRevision: 99 }),
      );
      expect(
        records.map(({ flags: _flags, back: _back, ...record }) => ({
          ...record,
          kind: RECORD_KINDS[record.kind],
          key: text(record.key),
          value: text(record.value),
        })),
      ).toEqual(
        [
          { kind: 'put', key: 'k', value: 'v', expiresAt: now + 5 },
          { kind: 'put', key: '{k}n', value: '41', expiresAt: 0 },
          { kind: 'touch', key: 'k', value: '', expiresAt: now + 9 },
          { kind: 'put', key: 'k', value: 'w', expiresAt: now + 9 },
          { kind: 'touch', key: 'k', value: '', expiresAt: 0 },
          { kind: 'delete', key: 'k', value: '', expiresAt: 0 },
        ].map((record, index) => ({ ...record, partition, revision: index + 1, time: now })),
      );
      expect(d.engine.revisionOf(partition)).toBe(6);
    });

    it('are whole multiples of 8 bytes with zeroes between', () => {
      const d = drive();
      for (let length = 0; length < 17; length++) {
        d.one(put('key', new Uint8Array(40).fill(0xff)));
        const { recordBytes } = d.run(put('key', new Uint8Array(length).fill(0xff)));
        expect(recordBytes).toHaveLength(40 + Math.ceil((3 + length) / 8) * 8);
        expect(recordBytes.subarray(40 + 3 + length).every((byte) => byte === 0)).toBe(true);
      }
    });
  });

  describe('counters', () => {
    it('count operations by code and status, and nothing else', () => {
      const d = drive();
      d.run(get('k'), put('k', '1'), get('k'), get('k'), increment('k', 1), del('z'), scan(''));
      d.run({ ...get('k'), code: 99 }, put('k', 'w', { ifAbsent: true }));
      expect(d.counted(OperationCode.Get, Status.Ok)).toBe(2);
      expect(d.counted(OperationCode.Get, Status.NotFound)).toBe(1);
      expect(d.counted(OperationCode.Put, Status.Ok)).toBe(1);
      expect(d.counted(OperationCode.Put, Status.AlreadyExists)).toBe(1);
      expect(d.counted(OperationCode.Increment, Status.Ok)).toBe(1);
      expect(d.counted(OperationCode.Delete, Status.NotFound)).toBe(1);
      expect(d.counted(OperationCode.Scan, Status.Ok)).toBe(1);
      expect(d.counted(0, Status.UnknownOperation)).toBe(1);
      expect(d.engine.counters).toHaveLength(OPERATION_CODE_COUNT * STATUS_COUNT);
      expect(d.engine.counters.reduce((sum, count) => sum + count)).toBe(9);
    });

    it('outcome tells keys and memory', () => {
      const d = drive();
      d.run(put('a', '12'), put('bb', '345'));
      expect(d.keys).toBe(2);
      expect(d.memoryBytes).toBe(96 + 1 + 2 + 96 + 2 + 3);
    });
  });
}
