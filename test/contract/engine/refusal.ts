// Write refusal: while the caller says so, every write is answered with one status and changes nothing,
// and no record is made for any other reason either.

import { describe, expect, it } from 'vitest';
import {
  INPUT_DURABLE,
  INPUT_WRITE_REFUSAL,
  OUTCOME_APPEND,
  OUTCOME_GATE,
} from '../../../ts/engine/engine.js';
import { OperationCode } from '../../../ts/wire/generated/rondo/wire/operation-code.js';
import { STATUS_COUNT, Status } from '../../../ts/wire/status.js';
import type { Drive } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { del, get, increment, type Operation, put, scan, touch } from '../../drive/operations.js';
import { drives } from './drives.js';

export function refusalContract(create: CreateEngine): void {
  const drive = drives(create);
  const refuse = (d: Drive, status: number) => {
    d.engine.input[INPUT_WRITE_REFUSAL] = status;
  };
  const gateOf = (d: Drive) => d.engine.outcome[OUTCOME_GATE];

  describe('a write refusal', () => {
    const writes: Record<string, Operation> = {
      'put of a key that is there': put('held', '2'),
      'put of another': put('other', '1'),
      'put that asks for absence': put('held', '2', { ifAbsent: true }),
      'delete of a key that is there': del('held'),
      'delete of another': del('other'),
      increment: increment('held', 1),
      touch: touch('held', 5),
      'touch of no key': touch('other'),
    };
    it.each(Object.entries(writes))('answers a %s', (_name, operation) => {
      const d = drive();
      d.engine.input[INPUT_DURABLE] = 0;
      d.run(put('held', '1'));
      const before = [d.state(), d.keys, d.memoryBytes, d.engine.outcome[OUTCOME_APPEND]];
      refuse(d, Status.ResourceExhausted);
      const { results, records } = d.run(operation);
      expect(results).toEqual([
        expect.objectContaining({ status: 'RESOURCE_EXHAUSTED', revision: 0, ttlMs: 0 }),
      ]);
      expect(results[0]?.value).toHaveLength(0);
      expect(records).toEqual([]);
      expect(gateOf(d)).toBe(0);
      expect(d.counted(operation.code, Status.ResourceExhausted)).toBe(1);
      expect([d.state(), d.keys, d.memoryBytes, d.engine.outcome[OUTCOME_APPEND]]).toEqual(before);
      refuse(d, Status.Ok);
      expect(d.status(operation)).not.toBe('RESOURCE_EXHAUSTED');
    });

    it('leaves the static checks their answers', () => {
      const d = drive({ valueBytesMax: 4 });
      refuse(d, Status.Unavailable);
      expect(d.status(put('', '1'))).toBe('INVALID_KEY');
      expect(d.status(put('k', '12345'))).toBe('VALUE_TOO_LARGE');
      expect(d.status({ code: 77, key: Buffer.from('k') })).toBe('UNKNOWN_OPERATION');
      expect(d.status(put('k', '1234'))).toBe('UNAVAILABLE');
    });

    it('leaves reads as they are, with their gates', () => {
      const d = drive();
      d.engine.input[INPUT_DURABLE] = 0;
      d.run(put('a', '1'));
      d.run(put('b', '2'));
      d.run(del('b'));
      refuse(d, Status.Unavailable);
      expect(d.brief(get('a'))).toBe('OK 1');
      expect(gateOf(d)).toBe(1);
      expect(d.status(get('b'))).toBe('NOT_FOUND');
      expect(gateOf(d)).toBe(3);
      expect(d.page(scan('')).keys).toEqual(['a']);
      expect(gateOf(d)).toBe(3);
      d.run(put('c', '3'), get('a'), del('a'));
      expect(gateOf(d)).toBe(1);
    });

    it('makes a get of an expired key see the entry and leave it', () => {
      const d = drive({ partitions: 1 });
      d.engine.input[INPUT_DURABLE] = 0;
      d.run(put('other', ''));
      d.run(put('a', '1'));
      d.run(touch('a', 5));
      d.now += 5;
      refuse(d, Status.Unavailable);
      const { results, records } = d.run(get('a'));
      expect([results[0]?.status, results[0]?.revision]).toEqual(['NOT_FOUND', 0]);
      expect(records).toEqual([]);
      expect([gateOf(d), d.keys]).toEqual([3, 2]);
      d.engine.input[INPUT_DURABLE] = 3;
      expect(d.status(get('a'))).toBe('NOT_FOUND');
      expect([gateOf(d), d.keys]).toEqual([0, 2]);
      refuse(d, Status.Ok);
      expect(d.run(get('a')).records).toHaveLength(1);
      expect([gateOf(d), d.keys]).toEqual([4, 1]);
    });

    it('makes advance move time and expire nothing', () => {
      const d = drive();
      d.run(put('a', '1', { ttl: 5 }));
      refuse(d, Status.Unavailable);
      const later = d.now + 5;
      expect(d.advance(later)).toMatchObject({ expired: 0, records: [] });
      expect(d.keys).toBe(1);
      d.now = 0;
      expect(d.status(get('a'))).toBe('NOT_FOUND');
      refuse(d, Status.Ok);
      expect(d.advance(0).expired).toBe(1);
      expect(d.keys).toBe(0);
    });

    it('holds without a log too, and is none where it is no status', () => {
      const d = drive();
      for (const none of [0, -1, 0.5, Number.NaN, STATUS_COUNT, 1e9, Infinity]) {
        refuse(d, none);
        expect(d.status(put('a', '1'))).toBe('OK');
      }
      refuse(d, STATUS_COUNT - 1);
      expect(d.status(put('a', '1'))).toBe(`STATUS_${STATUS_COUNT - 1}`);
      expect(d.counted(OperationCode.Put, STATUS_COUNT - 1)).toBe(1);
    });
  });
}
