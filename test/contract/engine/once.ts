// Once: an operation that a session repeats is answered from memory and not done again.

import { describe, expect, it } from 'vitest';
import { INPUT_DURABLE, OUTCOME_APPEND, OUTCOME_GATE } from '../../../ts/engine/engine.js';
import { ANSWERS_REMEMBERED_MAX } from '../../../ts/wire/limits.js';
import {
  cancelLock,
  downgrade,
  endSession,
  ephemeral,
  extend,
  listLocks,
  lock,
  once,
  renew,
  unlock,
  unwatch,
  watch,
} from '../../drive/coordination.js';
import type { CreateEngine } from '../../drive/engines.js';
import { del, get, increment, type Operation, put, scan, touch } from '../../drive/operations.js';
import { agents, drives, foldedFrom } from './drives.js';

export function onceContract(create: CreateEngine): void {
  const agent = agents(create);

  describe('an operation with the flag once', () => {
    it.each<[string, Operation]>([
      ['put', put('k', 'v', { ttl: 500 })],
      ['put of an ephemeral key', ephemeral(put('k', 'v'))],
      ['delete', del('k')],
      ['increment', increment('n', 5, 300)],
      ['touch', touch('k', 400)],
      ['unlock', unlock('a', 2)],
      ['downgrade', downgrade('a', 2)],
      ['extend', extend('a', 2, 700)],
    ])('is answered again as the first time: %s', (_name, operation) => {
      const d = agent(1);
      d.as(1, lock('a', { id: 1 }));
      d.run(put('k', 'before'), put('n', '10'));
      const first = d.as(1, once(50, operation));
      expect(first.results).toMatchObject([{ id: 50, status: 'OK' }]);
      expect(first.records).toHaveLength(1);
      d.run(put('k', 'after'), increment('n', 100));
      d.now += 250;
      const again = d.as(1, once(50, operation));
      expect(again.results).toEqual(first.results);
      expect(again.records).toEqual([]);
      expect(d.asks(1, get('k'))).not.toEqual(['NOT_FOUND 0']);
    });

    it('is another operation under another id, or of another session', () => {
      const d = agent(2);
      expect(d.asks(1, once(5, increment('n', 1)), once(6, increment('n', 1)))).toEqual([
        'OK 3',
        'OK 4',
      ]);
      expect(d.asks(2, once(5, increment('n', 1)))).toEqual(['OK 5']);
      expect(d.asks(1, once(5, increment('n', 1)), { ...increment('n', 1), id: 6 })).toEqual([
        'OK 3',
        'OK 6',
      ]);
    });

    it('is done again where it made no record the first time', () => {
      const d = agent(1);
      d.run(put('k', 'v'));
      const write = once(5, put('k', 'w', { ifAbsent: true }));
      expect(d.asks(1, write)).toEqual(['ALREADY_EXISTS 2']);
      d.run(del('k'));
      expect(d.asks(1, write)).toEqual(['OK 4']);
      expect(d.asks(1, write)).toEqual(['OK 4']);
      expect(d.asks(1, once(6, del('none')), once(7, unlock('a', 9)))).toEqual([
        'NOT_FOUND 0',
        'NOT_HOLDER 0',
      ]);
      d.run(put('none', 'x'));
      expect(d.asks(1, once(6, del('none')))).toEqual(['OK 6']);
    });

    it('within one frame is remembered at once', () => {
      const d = agent(1);
      const frames = [increment('n', 1), increment('n', 1)].map((each) => once(5, each));
      expect(d.asks(1, frames[0]!, { ...increment('n', 1), id: 6 })).toEqual(['OK 2', 'OK 3']);
      expect(d.asks(1, frames[1]!)).toEqual(['OK 2']);
    });

    it(`is remembered for the newest ${ANSWERS_REMEMBERED_MAX}`, () => {
      const d = agent(2);
      const last = ANSWERS_REMEMBERED_MAX + 1;
      const writes = Array.from({ length: last }, (_, at) => once(at + 1, increment('n', 1)));
      d.as(1, ...writes.slice(0, -1));
      // What is answered from memory does not become newer by it.
      expect(d.asks(1, writes[0]!, writes[1]!)).toEqual(['OK 3', 'OK 4']);
      d.as(2, once(1, increment('n', 1)));
      d.as(1, writes[last - 1]!);
      expect(d.asks(1, writes[1]!, writes[last - 1]!)).toEqual(['OK 4', `OK ${3 + last}`]);
      expect(d.asks(1, writes[0]!)).toEqual([`OK ${4 + last}`]);
      expect(d.as(1, writes[1]!).records).toHaveLength(1);
    });

    it('needs a session', () => {
      const d = agent(1);
      expect(d.asks(0, once(5, put('k', 'v')))).toEqual(['SESSION_REQUIRED 0']);
      expect(d.asks(7, once(5, put('k', 'v')))).toEqual(['SESSION_UNKNOWN 0']);
      expect(d.asks(0, once(5, unlock('a', 1)))).toEqual(['SESSION_REQUIRED 0']);
      expect(d.asks(1, once(5, put('', 'v')))).toEqual(['INVALID_KEY 0']);
    });

    it.each<[string, Operation]>([
      ['get', get('k')],
      ['scan', scan('')],
      ['renew', renew()],
      ['end of session', endSession()],
      ['lock', lock('a')],
      ['cancel', cancelLock('a', 1)],
      ['list', listLocks('')],
      ['watch', watch('k')],
      ['unwatch', unwatch(1)],
    ])('is not there for a %s', (_name, operation) => {
      const d = agent(1);
      const outcome = d.as(1, once(5, operation));
      expect(outcome.results).toMatchObject([{ status: 'INVALID_ARGUMENT' }]);
      expect(outcome.notices).toEqual([]);
    });

    it('is forgotten with its session, and by a fold', () => {
      const d = agent(1);
      const write = once(5, increment('n', 1));
      expect(d.asks(1, write)).toEqual(['OK 2']);
      d.as(1, endSession());
      d.openSession(1);
      expect(d.asks(1, write)).toEqual(['OK 5']);
      const made = drives(create)({ partitions: 1 });
      const folded = foldedFrom(create, [
        made.openSession(1).recordBytes,
        made.as(1, write).recordBytes,
      ]);
      expect(folded.asks(1, write)).toEqual(['OK 3']);
    });

    it('shows the append of the first time', () => {
      const d = drives(create)({ partitions: 1 });
      d.engine.input[INPUT_DURABLE] = 0;
      d.openSession(1);
      d.engine.input[INPUT_DURABLE] = 1;
      d.as(1, once(5, increment('n', 1)));
      const append = d.figure(OUTCOME_APPEND);
      d.run(put('k', 'v'));
      d.as(1, once(5, increment('n', 1)));
      expect([d.figure(OUTCOME_GATE), d.figure(OUTCOME_APPEND)]).toEqual([append, append + 1]);
      d.engine.input[INPUT_DURABLE] = append;
      d.as(1, once(5, increment('n', 1)));
      expect(d.figure(OUTCOME_GATE)).toBe(0);
    });
  });
}
