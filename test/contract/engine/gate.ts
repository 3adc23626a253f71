// The gate: what a reply must wait for. A reply that shows a record may not leave before that record is
// durable, and one that shows only what is settled does not wait for anybody else's.

import { describe, expect, it } from 'vitest';
import {
  type EngineOptions,
  INPUT_DURABLE,
  INPUT_LENGTH,
  OUTCOME_APPEND,
  OUTCOME_GATE,
  OUTCOME_NEXT,
  OUTCOME_RECORD_BYTES,
} from '../../../ts/engine/engine.js';
import {
  GATE_REMOVALS_EXAMINED_MAX,
  RESULTS_PER_REPLY_MAX,
  SCAN_BYTES_MAX,
  SCAN_EXPIRED_MAX,
} from '../../../ts/wire/limits.js';
import type { Drive } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import {
  del,
  encodeRequest,
  get,
  increment,
  type Operation,
  put,
  scan,
  touch,
} from '../../drive/operations.js';
import { drives } from './drives.js';

export function gateContract(create: CreateEngine): void {
  const anyDrive = drives(create);

  /** An engine before a log of which nothing is durable. One partition unless told otherwise. */
  const drive = (options: Partial<EngineOptions> = {}): Drive => {
    const made = anyDrive({ partitions: 1, ...options });
    made.engine.input[INPUT_DURABLE] = 0;
    return made;
  };
  const durable = (d: Drive, append: number) => {
    d.engine.input[INPUT_DURABLE] = append;
  };
  const append = (d: Drive) => d.engine.outcome[OUTCOME_APPEND];
  /** The gate of a frame that one call answers. */
  const gate = (d: Drive, ...operations: Operation[]) => {
    d.run(...operations);
    return d.engine.outcome[OUTCOME_GATE];
  };
  /** Puts each key in an append of its own. */
  const putEach = (d: Drive, ...keys: string[]) => {
    for (const key of keys) d.run(put(key, 'v'));
  };

  describe('appends', () => {
    it('are the calls that leave records, from 1 on', () => {
      const d = drive();
      expect(append(d)).toBe(0);
      d.run(get('a'));
      expect(append(d)).toBe(0);
      d.run(put('a', '1'), put('b', '1', { ttl: 10 }), del('a'));
      expect(append(d)).toBe(1);
      d.run(put('b', '2', { ifAbsent: true }));
      d.advance(d.now + 9);
      expect(append(d)).toBe(1);
      d.advance(d.now + 1);
      expect(append(d)).toBe(2);
      expect(d.frame(new ArrayBuffer(3)).results).toEqual([]);
      expect(append(d)).toBe(2);
    });

    it('are numbered without a log as well', () => {
      const d = anyDrive();
      putEach(d, 'a', 'b');
      expect(append(d)).toBe(2);
    });

    it('are neither fold nor restore', () => {
      const made = drive();
      const { recordBytes } = made.run(put('a', '1'));
      const d = drive();
      d.engine.fold(recordBytes);
      expect(append(d)).toBe(0);
      d.run(put('b', '1'));
      d.engine.restoreRevisions(Float64Array.of(9), 0);
      expect(append(d)).toBe(1);
    });
  });

  describe('input', () => {
    it('starts with nothing to wait for', () => {
      const d = anyDrive();
      const expected = new Array(INPUT_LENGTH).fill(0);
      expected[INPUT_DURABLE] = Infinity;
      expect([...d.engine.input]).toEqual(expected);
      expect(gate(d, put('a', '1'))).toBe(0);
      expect(gate(d, get('a'))).toBe(0);
      expect(gate(d, del('a'))).toBe(0);
      expect(gate(d, get('a'), scan(''))).toBe(0);
    });

    it('takes a durable number below an earlier one as the earlier one', () => {
      const d = drive();
      putEach(d, 'a', 'b', 'c');
      durable(d, 2);
      expect(gate(d, get('b'))).toBe(0);
      for (const lower of [1, 0, -5, Number.NaN, -Infinity]) {
        durable(d, lower);
        expect(gate(d, get('b'))).toBe(0);
        expect(gate(d, get('c'))).toBe(3);
      }
    });

    it('takes Infinity for good', () => {
      const d = drive();
      putEach(d, 'a');
      d.run(del('a'));
      durable(d, Infinity);
      expect(gate(d, get('a'), put('b', '1'))).toBe(0);
      durable(d, 0);
      expect(gate(d, put('b', '2'))).toBe(0);
      expect(gate(d, get('a'), get('b'), scan(''))).toBe(0);
    });
  });

  describe('the gate of a call that makes a record', () => {
    it('is its own append, whatever else it reads', () => {
      const d = drive();
      putEach(d, 'a', 'b');
      expect(gate(d, get('a'), put('c', '1'), get('b'))).toBe(3);
      durable(d, 2);
      expect(gate(d, increment('n', 1))).toBe(4);
      expect(gate(d, touch('a', 10))).toBe(5);
      expect(gate(d, del('b'))).toBe(6);
    });

    it('is that of the expire record that a read makes', () => {
      const d = drive();
      d.run(put('a', '1', { ttl: 5 }));
      durable(d, 1);
      d.now += 5;
      expect(gate(d, get('a'))).toBe(2);
      expect(gate(d, get('a'))).toBe(2);
      durable(d, 2);
      expect(gate(d, get('a'))).toBe(0);
    });

    it('is 0 where that append is durable already', () => {
      const d = drive();
      durable(d, 1);
      expect(gate(d, put('a', '1'))).toBe(0);
      expect(gate(d, put('a', '1'))).toBe(2);
    });
  });

  describe('the gate of what found its key', () => {
    const answers: Record<string, [Operation, string]> = {
      'a value': [get('text'), 'OK'],
      'a value left out': [get('text', { keysOnly: true }), 'OK'],
      ALREADY_EXISTS: [put('text', '', { ifAbsent: true }), 'ALREADY_EXISTS'],
      'REVISION_MISMATCH of a put': [put('text', '', { ifRevision: 99 }), 'REVISION_MISMATCH'],
      'REVISION_MISMATCH of a delete': [del('text', { ifRevision: 99 }), 'REVISION_MISMATCH'],
      NOT_A_NUMBER: [increment('text', 1), 'NOT_A_NUMBER'],
      NUMBER_OVERFLOW: [increment('most', 1), 'NUMBER_OVERFLOW'],
      RESOURCE_EXHAUSTED: [put('text', 'x'.repeat(900)), 'RESOURCE_EXHAUSTED'],
    };
    it.each(Object.entries(answers))(
      'is that of its newest record: %s',
      (_name, [asked, status]) => {
        const d = drive({ memoryBytesMax: 800 });
        putEach(d, 'other', 'text');
        d.run(put('most', '9223372036854775807'));
        d.run(touch('text'));
        d.run(touch('most'));
        putEach(d, 'other');
        const own = Buffer.from(asked.key).toString() === 'text' ? 4 : 5;
        expect(d.status(asked)).toBe(status);
        expect(d.engine.outcome[OUTCOME_GATE]).toBe(own);
        durable(d, own - 1);
        expect(gate(d, asked)).toBe(own);
        durable(d, own);
        expect(gate(d, asked)).toBe(0);
      },
    );

    it.each([1, 64, 65_536])('ignores what others wrote, %i partitions', (partitions) => {
      const d = drive({ partitions });
      const keys = Array.from({ length: 200 }, (_, index) => `{${index % 40}}key/${index}`);
      putEach(d, ...keys);
      for (let settled = 0; settled < keys.length; settled += 7) {
        durable(d, settled);
        const expected = keys.map((_, index) => (index + 1 > settled ? index + 1 : 0));
        expect(keys.map((key) => gate(d, get(key)))).toEqual(expected);
      }
    });

    it('is settled although a frame wrote many keys before it', () => {
      const d = drive();
      d.run(put('a', '1'), put('b', '1'), put('c', '1'));
      d.run(put('a', '2'), put('d', '1'));
      durable(d, 1);
      expect(['a', 'b', 'c', 'd'].map((key) => gate(d, get(key)))).toEqual([2, 0, 0, 2]);
    });

    it('is the highest of several', () => {
      const d = drive();
      putEach(d, 'a', 'b', 'c');
      expect(gate(d, get('c'), get('a'), get('x'))).toBe(3);
      durable(d, 3);
      expect(gate(d, get('c'), get('a'), get('x'))).toBe(0);
    });

    it('is 0 after fold and restore, between appends as well', () => {
      const records = (before: number) => {
        const made = drive();
        made.engine.restoreRevisions(Float64Array.of(before), 0);
        return made.run(put(`folded/${before}`, '1')).recordBytes;
      };
      const d = drive();
      d.engine.restore(records(4));
      expect(gate(d, get('folded/4'))).toBe(0);
      putEach(d, 'a');
      d.engine.fold(records(6));
      putEach(d, 'b');
      d.engine.fold(records(8));
      expect(['a', 'folded/6', 'b', 'folded/8'].map((key) => gate(d, get(key)))).toEqual([
        1, 0, 2, 0,
      ]);
      durable(d, 1);
      expect(gate(d, get('a'), get('folded/6'))).toBe(0);
      expect(gate(d, get('b'))).toBe(2);
      durable(d, 2);
      expect(gate(d, get('b'), get('folded/8'))).toBe(0);
    });
  });

  describe('the gate of what found no key', () => {
    const answers: Record<string, Operation> = {
      'get: NOT_FOUND': get('gone'),
      'delete: NOT_FOUND': del('gone'),
      'touch: NOT_FOUND': touch('gone', 5),
      'put: REVISION_MISMATCH with 0': put('gone', '', { ifRevision: 3 }),
      'put: RESOURCE_EXHAUSTED': put('gone', 'x'.repeat(900)),
    };
    it.each(Object.entries(answers))('is that of its removal: %s', (_name, asked) => {
      const d = drive({ memoryBytesMax: 800 });
      putEach(d, 'gone', 'other');
      d.run(del('gone'));
      d.run(del('other'));
      expect(gate(d, asked)).toBe(3);
      expect(append(d)).toBe(4);
      durable(d, 2);
      expect(gate(d, asked)).toBe(3);
      durable(d, 3);
      expect(gate(d, asked)).toBe(0);
    });

    it('is that of an expiry', () => {
      const d = drive();
      d.run(put('a', '1', { ttl: 5 }), put('b', '1', { ttl: 5 }));
      d.now += 5;
      d.run(get('a'));
      d.advance(d.now);
      expect([gate(d, get('a')), gate(d, get('b'))]).toEqual([2, 3]);
      durable(d, 2);
      expect([gate(d, get('a')), gate(d, get('b'))]).toEqual([0, 3]);
    });

    it('is 0 for a key that never was, or whose name another key begins with', () => {
      const d = drive();
      putEach(d, 'a/b');
      d.run(del('a/b'));
      expect(gate(d, get('a'), get('a/'), get('a/bc'), get('other'))).toBe(0);
    });

    it('goes by the newest removal, and by the key where it is back', () => {
      const d = drive();
      putEach(d, 'a');
      d.run(del('a'));
      putEach(d, 'a');
      expect(gate(d, get('a'))).toBe(3);
      durable(d, 3);
      expect(gate(d, get('a'))).toBe(0);
      d.run(del('a'));
      expect(gate(d, get('a'))).toBe(4);
      putEach(d, 'a');
      d.run(del('a'));
      expect(gate(d, get('a'))).toBe(6);
      durable(d, 4);
      expect(gate(d, get('a'))).toBe(6);
      durable(d, 6);
      expect(gate(d, get('a'))).toBe(0);
    });
  });

  describe('the gate of a scan', () => {
    it('is the newest record of what it returns', () => {
      const d = drive();
      putEach(d, 'b/1', 'a/1', 'a/2', 'c/1');
      expect(gate(d, scan('a/'))).toBe(3);
      expect(gate(d, scan('a/', { keysOnly: true }))).toBe(3);
      expect(gate(d, scan('b/'))).toBe(1);
      expect(gate(d, scan('a/', { cursor: 'a/2' }))).toBe(0);
      expect(gate(d, scan('x/'))).toBe(0);
      expect(gate(d, scan(''))).toBe(4);
      durable(d, 3);
      expect(gate(d, scan('a/'))).toBe(0);
      expect(gate(d, scan(''))).toBe(4);
    });

    it('counts the key that shows that there is more, and none behind it', () => {
      const d = drive();
      putEach(d, 'a', 'b', 'c', 'd');
      expect(gate(d, scan('', { limit: 1 }))).toBe(2);
      expect(gate(d, scan('', { limit: 2 }))).toBe(3);
      expect(gate(d, scan('', { limit: 4 }))).toBe(4);
    });

    it('counts the key that did not fit', () => {
      const d = drive();
      d.run(put('a', new Uint8Array(SCAN_BYTES_MAX)));
      putEach(d, 'b', 'c');
      expect(gate(d, scan(''))).toBe(2);
    });

    it('counts removals with its prefix', () => {
      const d = drive();
      putEach(d, 'a/1', 'a/2', 'b/1');
      d.run(del('a/1'));
      d.run(del('b/1'));
      durable(d, 3);
      expect(gate(d, scan('a/'))).toBe(4);
      expect(gate(d, scan('b/'))).toBe(5);
      expect(gate(d, scan('a'))).toBe(4);
      expect(gate(d, scan('a/2'))).toBe(0);
      expect(gate(d, scan('c/'))).toBe(0);
      durable(d, 4);
      expect(gate(d, scan('a/'))).toBe(0);
      expect(gate(d, scan(''))).toBe(5);
    });

    it('counts removals after its cursor only', () => {
      const d = drive();
      d.run(put('a', ''), put('b', ''), put('c', ''));
      d.run(del('b'));
      durable(d, 1);
      expect(gate(d, scan('', { cursor: 'a' }))).toBe(2);
      expect(gate(d, scan('', { cursor: 'b' }))).toBe(0);
      expect(gate(d, scan('', { cursor: 'c' }))).toBe(0);
    });

    it('counts removals up to the last key of a page that has more behind it', () => {
      const d = drive();
      d.run(...['a', 'b', 'c', 'd', 'e'].map((key) => put(key, '')));
      d.run(del('d'));
      durable(d, 1);
      expect(gate(d, scan('', { limit: 2 }))).toBe(0);
      expect(gate(d, scan('', { limit: 3 }))).toBe(0);
      expect(gate(d, scan('', { limit: 4 }))).toBe(2);
      d.run(del('b'));
      expect(gate(d, scan('', { limit: 1 }))).toBe(0);
      expect(gate(d, scan('', { limit: 2 }))).toBe(3);
    });

    it('counts expired keys that it passes over: a record says when they expire', () => {
      const d = drive();
      d.run(put('a', ''), put('b', ''), put('c', ''));
      d.run(touch('b', 5));
      durable(d, 1);
      expect(gate(d, scan('', { cursor: 'b' }))).toBe(0);
      d.now += 5;
      expect(gate(d, scan(''))).toBe(2);
      expect(gate(d, scan('', { cursor: 'b' }))).toBe(0);
      durable(d, 2);
      expect(gate(d, scan(''))).toBe(0);
    });

    it('counts the expired key that ends its page', () => {
      const d = drive();
      const key = (index: number) => `k/${`${index}`.padStart(5, '0')}`;
      for (let index = 0; index < SCAN_EXPIRED_MAX; index++) {
        d.run(put(key(index), '', { ttl: 5 }));
      }
      const passed = append(d) ?? 0;
      d.run(put(key(SCAN_EXPIRED_MAX), '', { ttl: 5 }));
      putEach(d, key(SCAN_EXPIRED_MAX + 1));
      durable(d, passed);
      d.now += 5;
      expect(gate(d, scan(''))).toBe(passed + 1);
      expect(d.page(scan('')).more).toBe(true);
      durable(d, passed + 1);
      expect(gate(d, scan(''))).toBe(0);
    });

    it('looks at a bounded number of removals and counts the next one', () => {
      const d = drive();
      putEach(d, 'a', 'z');
      d.run(del('a'));
      for (let index = 0; index < GATE_REMOVALS_EXAMINED_MAX; index++) {
        expect(gate(d, scan('a'))).toBe(3);
        expect(gate(d, scan('m'))).toBe(0);
        d.run(put('y', ''), del('y'));
      }
      // The removal of `a` is the first one beyond, and no longer looked at.
      expect(gate(d, scan('m'))).toBe(3);
      expect(gate(d, scan('y'))).toBe(3 + GATE_REMOVALS_EXAMINED_MAX);
      d.run(put('y', ''), del('y'));
      expect(gate(d, scan('m'))).toBe(4);
      durable(d, 4);
      expect(gate(d, scan('m'))).toBe(0);
    });
  });

  describe('the gate of what sees nothing', () => {
    it('is 0: operations that the static checks refuse', () => {
      const d = drive({ valueBytesMax: 4 });
      putEach(d, 'a');
      const refused: Operation[] = [
        { code: 99, key: Buffer.from('a') },
        { ...get('a'), limit: 1 },
        { ...touch('a'), ttlMs: 5 },
        get(new Uint8Array(1025)),
        get(''),
        put('a', '12345'),
        { ...scan(''), limit: 0 },
      ];
      for (const operation of refused) {
        const { results } = d.run(operation);
        expect(results[0]?.status).not.toBe('OK');
        expect(d.engine.outcome[OUTCOME_GATE]).toBe(0);
      }
    });

    it('is 0: a frame that is refused whole, and advance', () => {
      const d = drive();
      expect(gate(d, put('a', '1', { ttl: 1 }))).toBe(1);
      d.frame(new ArrayBuffer(3));
      expect(d.engine.outcome[OUTCOME_GATE]).toBe(0);
      expect(d.engine.outcome[OUTCOME_RECORD_BYTES]).toBe(0);
      expect(gate(d, get('a'))).toBe(1);
    });
  });

  describe('the gate of a frame in several replies', () => {
    it('is that of each call', () => {
      const d = drive();
      putEach(d, 'a', 'b');
      const count = RESULTS_PER_REPLY_MAX;
      const frame = encodeRequest([
        ...Array.from({ length: count }, () => get('a')),
        ...Array.from({ length: count }, () => get('none')),
        ...Array.from({ length: count - 1 }, () => get('a')),
        put('c', '1'),
        get('c'),
        get('b'),
      ]);
      const gates: (number | undefined)[] = [];
      for (let first = 0; first < count * 3 + 2; ) {
        d.engine.execute(frame, first, d.now);
        gates.push(d.engine.outcome[OUTCOME_GATE]);
        first = d.engine.outcome[OUTCOME_NEXT] ?? 0;
      }
      expect(gates).toEqual([1, 0, 3, 3]);
    });

    it('counts nothing of an operation that did not fit', () => {
      const d = drive();
      const large = new Uint8Array(1024 * 1024);
      d.run(put('a', large));
      d.run(put('b', large));
      durable(d, 1);
      const frame = encodeRequest([get('a'), get('a'), get('a'), get('b'), get('b')]);
      d.engine.execute(frame, 0, d.now);
      expect(d.engine.outcome[OUTCOME_NEXT]).toBe(3);
      expect(d.engine.outcome[OUTCOME_GATE]).toBe(0);
      d.engine.execute(frame, 3, d.now);
      expect(d.engine.outcome[OUTCOME_GATE]).toBe(2);
    });
  });

  it('agrees with a plain model over a random history', () => {
    for (const partitions of [1, 8, 64]) expectModel(drive({ partitions }));
  });

  /** The rules once more, by keys in a Map and removals in a list, and without a bound. */
  function expectModel(d: Drive): void {
    const newest = new Map<string, number>();
    const removals: { key: string; append: number }[] = [];
    let state = 0x1234567;
    const below = (bound: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * bound);
    };
    let settled = 0;
    const unsettled = (at: number) => (at > settled ? at : 0);
    const keyOf = (index: number) => `${'abc'[index % 3]}/${index}`;
    for (let step = 0; step < 4000; step++) {
      if (below(5) === 0) {
        settled = Math.max(settled, (append(d) ?? 0) - below(30));
        durable(d, settled);
      }
      const key = keyOf(below(40));
      const present = newest.get(key);
      const removed = removals.findLast((removal) => removal.key === key)?.append ?? 0;
      const seen = unsettled(present ?? removed);
      switch (below(6)) {
        case 0:
          expect(gate(d, put(key, 'v'))).toBe(append(d));
          newest.set(key, append(d) ?? 0);
          break;
        case 1:
          if (present === undefined) {
            expect(gate(d, del(key)), `step ${step}`).toBe(seen);
          } else {
            expect(gate(d, del(key))).toBe(append(d));
            newest.delete(key);
            removals.push({ key, append: append(d) ?? 0 });
          }
          break;
        case 2:
        case 3:
          expect(gate(d, get(key)), `step ${step}`).toBe(seen);
          break;
        default: {
          const prefix = ['', 'a/', 'b/1', 'c/'][below(4)] as string;
          const cursor = below(2) === 0 ? '' : keyOf(below(40));
          const limit = 1 + below(12);
          const candidates = [...newest.keys()]
            .filter((other) => other.startsWith(prefix) && other > cursor)
            .sort();
          const shown = candidates.slice(0, limit + 1).map((other) => newest.get(other) ?? 0);
          const last = candidates.length > limit ? (candidates[limit - 1] as string) : undefined;
          const gone = removals
            .filter((removal) => removal.key.startsWith(prefix) && removal.key > cursor)
            .filter((removal) => last === undefined || removal.key <= last)
            .map((removal) => removal.append);
          const expected = unsettled(Math.max(0, ...shown, ...gone));
          expect(gate(d, scan(prefix, { cursor, limit })), `step ${step}`).toBe(expected);
        }
      }
    }
  }
}
