// The gate of what sessions and locks show: a grant may not be told before it is durable.

import { describe, expect, it } from 'vitest';
import {
  INPUT_DURABLE,
  OUTCOME_APPEND,
  OUTCOME_GATE,
  OUTCOME_NOTICE_BYTES,
} from '../../../ts/engine/engine.js';
import {
  cancelLock,
  digestOf,
  endSession,
  extend,
  fenced,
  listLocks,
  lock,
  renew,
  unlock,
  waitFor,
} from '../../drive/coordination.js';
import type { Drive } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { bytes, get, type Operation, put } from '../../drive/operations.js';
import { agents, drives } from './drives.js';

export function coordinationGateContract(create: CreateEngine): void {
  const drive = drives(create);
  const agent = agents(create);
  const gate = (d: Drive, session: number, ...operations: Operation[]) => {
    d.as(session, ...operations);
    return d.figure(OUTCOME_GATE);
  };
  const settled = (d: Drive, append = d.figure(OUTCOME_APPEND)) => {
    d.engine.input[INPUT_DURABLE] = append;
  };
  /** Sessions 1 and 2 before a log, one partition; two appends are made, `durable` of them durable. */
  const logged = (durable: number): Drive => {
    const d = drive({ partitions: 1 });
    d.engine.input[INPUT_DURABLE] = 0;
    d.openSession(1);
    d.openSession(2);
    settled(d, durable);
    return d;
  };

  describe('the gate of sessions and locks', () => {
    it('is the own append of what makes a record', () => {
      const d = logged(2);
      expect(gate(d, 1, lock('a', { id: 5 }))).toBe(3);
      expect(gate(d, 1, extend('a', 3, 50))).toBe(4);
      expect(gate(d, 1, unlock('a', 3))).toBe(5);
      expect(gate(d, 1, endSession())).toBe(6);
    });

    it('of what makes none is the newest record of the lock’s partition', () => {
      const d = logged(2);
      d.as(1, lock('a', { id: 5 }));
      for (const operation of [
        lock('a', { id: 6 }),
        unlock('a', 99),
        extend('b', 99, 1),
        cancelLock('a', 9),
        lock('a', { id: 6, waitMs: 50 }),
      ]) {
        expect(gate(d, 2, operation)).toBe(3);
      }
      settled(d);
      expect(gate(d, 2, lock('a', { id: 7 }))).toBe(0);
      d.run(put('k', 'v'));
      expect(gate(d, 2, lock('a', { id: 7 }))).toBe(4);
    });

    it('is not that of another partition, but of the session’s for RENEW and SESSION_UNKNOWN', () => {
      const d = drive({ partitions: 16 });
      d.engine.input[INPUT_DURABLE] = 0;
      d.openSession(1);
      d.as(1, lock('a', { id: 5 }));
      settled(d);
      const of = (key: string) => d.engine.partitionOf(bytes(key));
      const sessions = of('00000000000001');
      const apart = Array.from({ length: 99 }, (_, at) => `k${at}`).find(
        (key) => of(key) !== sessions && of(key) !== of('a'),
      )!;
      d.run(put(apart, 'v'));
      expect(gate(d, 1, lock('a', { id: 6 }))).toBe(0);
      expect(gate(d, 1, renew())).toBe(0);
      expect(gate(d, 1, lock(`{${apart}}`, { id: 7, upgrade: 9 }))).toBe(3);
      d.run(put('{00000000000001}', 'v'));
      expect(gate(d, 1, renew())).toBe(4);
      settled(d);
      d.as(1, endSession());
      expect(gate(d, 1, renew(), lock('a', { id: 8 }))).toBe(5);
    });

    it('of a list of locks and of FENCED is the newest append', () => {
      const d = drive({ partitions: 16 });
      d.engine.input[INPUT_DURABLE] = 0;
      d.run(put('anything', 'v'));
      expect(gate(d, 0, listLocks(''))).toBe(1);
      expect(gate(d, 0, fenced('a', 9, put('k', 'v')))).toBe(1);
      settled(d);
      expect(gate(d, 0, listLocks(''), fenced('a', 9, put('k', 'v')))).toBe(0);
    });

    it('of a wait that is refused without a session is nothing', () => {
      const d = logged(0);
      expect(gate(d, 0, lock('a', { id: 5 }))).toBe(0);
      expect(gate(d, 0, get('k'))).toBe(0);
    });

    it('leaves notices to wait for the newest append', () => {
      const d = logged(2);
      d.as(1, lock('a', { id: 5 }));
      d.as(2, waitFor('a', 6));
      expect(d.figure(OUTCOME_NOTICE_BYTES)).toBe(0);
      d.as(1, unlock('a', 3));
      expect(d.figure(OUTCOME_NOTICE_BYTES)).toBeGreaterThan(0);
      expect(d.figure(OUTCOME_APPEND)).toBe(4);
      d.as(1, get('k'));
      expect(d.figure(OUTCOME_NOTICE_BYTES)).toBe(0);
    });
  });

  describe('appends of sessions', () => {
    it('are made by openSession, and by due work in resumeSession', () => {
      const d = agent(0);
      d.openSession(1, 1000);
      expect(d.figure(OUTCOME_APPEND)).toBe(1);
      d.openSession(1, 1000);
      d.openSession(2);
      expect(d.figure(OUTCOME_APPEND)).toBe(2);
      expect(d.resumeSession(2).status).toBe('OK');
      expect(d.resumeSession(2, digestOf(3)).status).toBe('SESSION_FORBIDDEN');
      expect(d.figure(OUTCOME_APPEND)).toBe(2);
      d.now += 1000;
      expect(d.resumeSession(2).records).toHaveLength(1);
      expect(d.figure(OUTCOME_APPEND)).toBe(3);
    });
  });
}
