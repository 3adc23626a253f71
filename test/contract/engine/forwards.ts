// What a frame leaves to other workers: which operations, in which frames, with which bytes.

import { describe, expect, it } from 'vitest';
import {
  OUTCOME_COUNT,
  OUTCOME_FORWARD_BYTES,
  OUTCOME_NEXT,
  OUTCOME_RECORD_BYTES,
} from '../../../ts/engine/engine.js';
import { FORWARD_HEAD_BYTES } from '../../../ts/engine/workers.js';
import { OPERATIONS_PER_FRAME_MAX, RESULTS_PER_REPLY_MAX } from '../../../ts/wire/limits.js';
import { Status } from '../../../ts/wire/status.js';
import { lock, withId } from '../../drive/coordination.js';
import type { Drive } from '../../drive/drive.js';
import type { CreateEngine } from '../../drive/engines.js';
import { encodeRequest, get, type Operation, put, scan } from '../../drive/operations.js';
import { Random, seedOf } from '../../parity/random.js';
import { nodes } from './drives.js';

const SEED = seedOf(70_707);

/** The bytes of the entry of a frame, as written here anew. */
function entryOf(worker: number, operations: number, frame: ArrayBuffer): Buffer {
  const head = Buffer.alloc(FORWARD_HEAD_BYTES);
  const length = Math.ceil((FORWARD_HEAD_BYTES + frame.byteLength) / 8) * 8;
  head.writeUInt32LE(length, 0);
  head.writeUInt32LE(worker, 4);
  head.writeUInt32LE(operations, 8);
  head.writeUInt32LE(frame.byteLength, 12);
  const zeros = Buffer.alloc(length - FORWARD_HEAD_BYTES - frame.byteLength);
  return Buffer.concat([head, new Uint8Array(frame), zeros]);
}

/** What the last call left, as it stands in the buffer. */
function left({ engine }: Drive): Buffer {
  return Buffer.from(engine.forwards.slice(0, engine.outcome[OUTCOME_FORWARD_BYTES]));
}

export function forwardsContract(create: CreateEngine): void {
  const node = nodes(create);

  describe('forwards', () => {
    it('of one worker are the frame as it came', () => {
      const n = node(3);
      const frame = encodeRequest([put(n.key(2, 'a'), 'one'), get(n.key(2, 'b')), lock(n.key(2))]);
      // Bytes behind the frame's parts are nobody's, and come along.
      const longer = new ArrayBuffer(frame.byteLength + 5);
      new Uint8Array(longer).fill(0xee).set(new Uint8Array(frame));
      for (const whole of [frame, longer]) {
        const outcome = n.at(0).frame(whole);
        expect(outcome.results).toEqual([]);
        expect(left(n.at(0))).toEqual(entryOf(2, 3, whole));
        expect([n.at(0).figure(OUTCOME_NEXT), n.at(0).figure(OUTCOME_COUNT)]).toEqual([3, 3]);
      }
    });

    it('of several are frames as a client writes them, by ascending worker', () => {
      const n = node(4);
      const operations = [3, 0, 1, 3, 1, 0, 3].map((worker, at) =>
        withId(at * 10, put(n.key(worker, `${at}`), 'x'.repeat(at))),
      );
      const d = n.at(2);
      const outcome = d.frame(encodeRequest([...operations, withId(90, get(n.key(2)))]));
      expect(outcome.results).toMatchObject([{ id: 90, status: 'NOT_FOUND' }]);
      const of = (...ids: number[]) => encodeRequest(ids.map((at) => operations[at] as Operation));
      const bytes = Buffer.concat([
        entryOf(0, 2, of(1, 5)),
        entryOf(1, 2, of(2, 4)),
        entryOf(3, 3, of(0, 3, 6)),
      ]);
      expect(left(d)).toEqual(bytes);
      // Also where there was more before.
      d.frame(encodeRequest([...operations, withId(90, get(n.key(2)))]));
      expect(left(d)).toEqual(bytes);
    });

    it('keep every field, addresses and what no client would send', () => {
      const n = node(2);
      const odd = withId(2 ** 32 - 1, {
        ...put(n.key(1), 'v'),
        flags: 255,
        limit: 2 ** 32 - 1,
        ttlMs: 2n ** 64n - 1n,
        expectedRevision: 2n ** 63n,
      });
      const asked = withId(7, { ...scan('x', { cursor: 'y' }), ttlMs: 2 });
      const d = n.at(0);
      d.frame(encodeRequest([withId(1, get(n.key(0))), asked, odd]));
      expect(left(d)).toEqual(entryOf(1, 2, encodeRequest([asked, odd])));
    });

    it('of a frame that is refused, or of any other call, there are none', () => {
      const n = node(2);
      const d = n.at(0);
      const forwarded = () => {
        d.run(get(n.key(1)));
        expect(d.figure(OUTCOME_FORWARD_BYTES)).toBeGreaterThan(0);
      };
      forwarded();
      expect(d.run(withId(2, get(n.key(1))), withId(2, get(n.key(1)))).refusal).toBe(
        Status.DuplicateId,
      );
      expect(d.figure(OUTCOME_FORWARD_BYTES)).toBe(0);
      const calls = [
        () => d.advance(d.now),
        () => d.openSession(n.session(0)),
        () => d.resumeSession(n.session(0)),
        () => d.run(get(n.key(0))),
        () => d.engine.fold(new Uint8Array(0)),
      ];
      for (const call of calls) {
        forwarded();
        call();
        expect(d.figure(OUTCOME_FORWARD_BYTES)).toBe(0);
      }
    });

    it('leave no record and count in no counter here', () => {
      const n = node(2);
      const d = n.at(0);
      d.run(put(n.key(1), 'v'), lock(n.key(1)), { code: 77, key: Buffer.from(n.key(1)) });
      expect(d.figure(OUTCOME_RECORD_BYTES)).toBe(0);
      expect(d.engine.counters.every((figure) => figure === 0)).toBe(true);
    });

    it('all go with the first call of a frame, and need no room in a reply', () => {
      const n = node(2);
      const count = OPERATIONS_PER_FRAME_MAX;
      const own = n.key(0);
      const other = n.key(1);
      const operations = Array.from({ length: count }, (_, at) => get(at % 2 === 0 ? own : other));
      const { results, replies, forwards } = n.at(0).run(...operations);
      expect(results).toHaveLength(count / 2);
      expect(replies).toHaveLength(count / 2 / RESULTS_PER_REPLY_MAX);
      expect(forwards).toMatchObject([{ worker: 1 }]);
      expect(forwards[0]?.operations.map(({ id }) => id)).toEqual(
        Array.from({ length: count / 2 }, (_, at) => 2 * at + 2),
      );
    });

    it('are in one call where nothing is left to do here', () => {
      const n = node(2);
      const operations = Array.from({ length: OPERATIONS_PER_FRAME_MAX }, () => get(n.key(1)));
      for (const isServing of [true, false]) {
        n.setServing(1, isServing);
        const { replies, forwards } = n.at(0).run(...operations);
        expect(replies).toHaveLength(1);
        expect(forwards).toMatchObject([{ worker: 1 }]);
      }
      const forwarded = n.at(0).frame(encodeRequest(operations), 0, true);
      expect(forwarded.replies).toHaveLength(OPERATIONS_PER_FRAME_MAX / RESULTS_PER_REPLY_MAX);
      expect(forwarded.results.every(({ status }) => status === 'UNAVAILABLE')).toBe(true);
    });

    it('of the largest frame have room', () => {
      const n = node(4);
      const value = new Uint8Array(1024 * 1024);
      const large = [1, 2, 3].map((worker) => put(n.key(worker), value));
      const { forwards } = n.at(0).run(get(n.key(0)), ...large);
      expect(forwards.map(({ frame }) => frame.byteLength > value.length)).toEqual([
        true,
        true,
        true,
      ]);
    });

    it(`of random frames are its operations, each once, RONDO_SEED=${SEED}`, () => {
      const random = new Random(SEED);
      for (let round = 0; round < 60; round++) {
        const n = node(random.between(2, 6));
        const operations = Array.from({ length: random.between(1, 40) }, (_, at) =>
          withId(at, put(n.key(random.below(n.count), `${random.below(9)}`), random.bytes(at))),
        );
        const d = n.at(random.below(n.count));
        const { results, forwards } = d.run(...operations);
        const shares = n.drives.map((_, worker) =>
          operations.filter(({ key }) => n.ownerOf(key) === worker),
        );
        const own = n.drives.indexOf(d);
        expect(results.map(({ id }) => id)).toEqual(shares[own]?.map(({ id }) => id));
        const others = shares.flatMap((share, worker) =>
          worker === own || share.length === 0 ? [] : [{ worker, frame: encodeRequest(share) }],
        );
        expect(forwards.map(({ worker, frame }) => ({ worker, frame }))).toEqual(others);
      }
    });
  });
}
