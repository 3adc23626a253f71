// Engines with one deliberate fault each: the canaries that show that the parity run can see one.

import {
  NOTICE_ANSWER,
  NOTICE_BYTES_AT,
  NOTICE_KIND_AT,
  NOTICE_SESSION_AT,
} from '../../ts/engine/coordination.js';
import {
  type Engine,
  type EngineOptions,
  INPUT_FORWARDED,
  INPUT_WRITE_REFUSAL,
  OUTCOME_APPEND,
  OUTCOME_FORWARD_BYTES,
  OUTCOME_GATE,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
} from '../../ts/engine/engine.js';
import {
  RECORD_HEADER_BYTES,
  RECORD_HOLD,
  RECORD_SESSION,
  recordBytes,
} from '../../ts/engine/records.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { ROUTING_STATES, WORKER_SERVING } from '../../ts/shared/layout.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_FENCED,
  FLAG_ONCE,
  HEADER_BYTES,
  OPERATION_BYTES,
  OPERATION_CODE,
  OPERATION_FLAGS,
  RESULT_BYTES,
} from '../../ts/wire/layout.js';
import { STATUS_COUNT, Status } from '../../ts/wire/status.js';

export const FAULTS = [
  'a reply byte',
  'a record byte',
  'a record left out',
  'a return value',
  'a scalar of the outcome',
  'a counter',
  'an expiry one millisecond late',
  'time that runs backwards',
  'a refused frame taken for another reason',
  'a revision',
  'a partition',
  'a gate that forgets what was read',
  'an append that counts twice',
  'writes taken although they are refused',
] as const;

/** Faults that only frames of sessions show. */
export const AGENT_FAULTS = [
  'a token that does not grow',
  'a waiter passed over',
  'a notice lost',
  'a session ended one millisecond late',
  'a session that its secret does not guard',
  'a lock that is released and kept',
  'a fence that is forgotten',
  'a repeated operation done again',
] as const;

/** Faults that only an engine among several shows. */
export const WORKER_FAULTS = [
  'a forward byte',
  'a forward left out',
  'a forward left out for a worker that does not serve',
  'a forwarded frame forwarded again',
  'a guest that is not admitted',
  'a guest that is not ended',
  'a guest left out',
  'a blocker left out',
  'a wait refused for another reason',
  'a revision that is not published',
] as const;

export type Fault =
  | (typeof FAULTS)[number]
  | (typeof AGENT_FAULTS)[number]
  | (typeof WORKER_FAULTS)[number];

/** A TypeScript engine that goes wrong in this way now and then. */
export function faultyEngine(options: EngineOptions, fault: Fault): Engine {
  const engine = createTsEngine(options);
  let calls = 0;
  const due = (every: number) => ++calls % every === 0;
  const spoil = (): void => {
    const length = engine.outcome[OUTCOME_RECORD_BYTES] ?? 0;
    if (length === 0) return;
    if (fault === 'a record byte') engine.records[length - 1]! ^= 1;
    if (fault === 'a record left out') engine.outcome[OUTCOME_RECORD_BYTES] = 0;
  };
  const digests = new Map<number, Uint8Array>();
  return {
    kind: 'ts',
    reply: engine.reply,
    records: engine.records,
    notices: engine.notices,
    forwards: engine.forwards,
    admitSession(id) {
      return fault === 'a guest that is not admitted' && due(5)
        ? Status.Ok
        : engine.admitSession(id);
    },
    endGuest(id, now) {
      return fault === 'a guest that is not ended' && due(5) ? Status.Ok : engine.endGuest(id, now);
    },
    guests() {
      return engine.guests().slice(fault === 'a guest left out' ? 1 : 0);
    },
    listBlockers(sessions) {
      return engine.listBlockers(fault === 'a blocker left out' ? sessions.slice(1) : sessions);
    },
    refuseWait(session, id, detail, now) {
      const isOther = fault === 'a wait refused for another reason';
      return engine.refuseWait(session, id, isOther ? detail.slice(1) : detail, now);
    },
    openSession(id, ttlMs, digest, now) {
      const isLate = fault === 'a session ended one millisecond late' && due(3);
      const returned = engine.openSession(id, isLate ? ttlMs + 1 : ttlMs, digest, now);
      if (returned === Status.Ok) digests.set(id, digest);
      // The record is right; only the engine's own clock is not.
      if (isLate)
        patchRecords(engine, RECORD_SESSION, (view, _, at) => view.setUint32(at, ttlMs, true));
      spoilNotices(engine, fault, due);
      return returned;
    },
    resumeSession(id, digest, now) {
      const isOpen = fault === 'a session that its secret does not guard';
      const known = isOpen ? digests.get(id) : undefined;
      const returned = engine.resumeSession(id, known ?? digest, now);
      spoilNotices(engine, fault, due);
      return returned;
    },
    outcome: engine.outcome,
    input: engine.input,
    counters: engine.counters,
    execute(frame, first, now) {
      const late = fault === 'an expiry one millisecond late' ? 1 : 0;
      const refusal = engine.input[INPUT_WRITE_REFUSAL] ?? 0;
      if (fault === 'writes taken although they are refused') engine.input[INPUT_WRITE_REFUSAL] = 0;
      spoilFrame(frame, fault, due);
      if (fault === 'a forwarded frame forwarded again') engine.input[INPUT_FORWARDED] = 0;
      const returned = engine.execute(frame, first, now - late);
      if (returned >= 0) spoilNotices(engine, fault, due);
      const forwardBytes = engine.outcome[OUTCOME_FORWARD_BYTES] ?? 0;
      if (fault === 'a forward left out' && due(20)) engine.outcome[OUTCOME_FORWARD_BYTES] = 0;
      if (fault === 'a forward left out for a worker that does not serve') {
        engine.outcome[OUTCOME_FORWARD_BYTES] = bytesToServing(engine, options);
      }
      if (fault === 'a forward byte' && forwardBytes > 0) engine.forwards[forwardBytes - 9]! ^= 1;
      if (fault === 'a revision that is not published' && due(20)) {
        options.routing?.revisions.fill(0n);
      }
      if (fault === 'a token that does not grow') {
        patchRecords(engine, RECORD_HOLD, (view, _, at) => {
          if (due(20)) view.setUint8(at - 1, view.getUint8(at - 1) - 1);
        });
      }
      engine.input[INPUT_WRITE_REFUSAL] = refusal;
      // A reply without records of its own would leave before those that it shows.
      const readOnly = engine.outcome[OUTCOME_RECORD_BYTES] === 0;
      if (fault === 'a gate that forgets what was read' && readOnly)
        engine.outcome[OUTCOME_GATE] = 0;
      if (returned < 0) {
        const other = fault === 'a refused frame taken for another reason' && due(3);
        return other ? -Status.FrameTooLarge : returned;
      }
      if (!due(200)) return returned;
      spoil();
      if (fault === 'a reply byte') engine.reply[HEADER_BYTES + RESULT_BYTES - 1]! ^= 0x80;
      if (fault === 'a scalar of the outcome') engine.outcome[OUTCOME_MEMORY_BYTES]! += 1;
      if (fault === 'an append that counts twice') engine.outcome[OUTCOME_APPEND]! += 1;
      if (fault === 'a counter') engine.counters[STATUS_COUNT]! += 1;
      return fault === 'a return value' ? returned + 1 : returned;
    },
    advance(now) {
      // An engine that forgets its clock would take `now` as it comes; here a step back is believed.
      const returned = engine.advance(fault === 'time that runs backwards' ? now + 1 : now);
      spoilNotices(engine, fault, due);
      return returned;
    },
    fold: (records) => engine.fold(records),
    restore: (records) => engine.restore(records),
    restoreRevisions: (revisions, time) => engine.restoreRevisions(revisions, time),
    revisionOf: (partition) => engine.revisionOf(partition) + (fault === 'a revision' ? 1 : 0),
    partitionOf: (key) => engine.partitionOf(key) ^ (fault === 'a partition' ? 1 : 0),
    close: () => engine.close(),
  };
}

/** Bytes of the forwards before the first for a worker that does not serve. */
function bytesToServing({ forwards, outcome }: Engine, { routing }: EngineOptions): number {
  const { buffer, byteOffset } = forwards;
  const length = outcome[OUTCOME_FORWARD_BYTES] ?? 0;
  const view = new DataView(buffer, byteOffset, length);
  let at = 0;
  while (at < length) {
    const state = routing?.table[ROUTING_STATES + view.getUint32(at + 4, true)];
    if (state !== WORKER_SERVING) break;
    at += view.getUint32(at, true);
  }
  return at;
}

/** Changes records of a kind that the last call left; `valueAt` is where the key ends. */
function patchRecords(
  engine: Engine,
  kind: number,
  patch: (view: DataView, keyAt: number, valueAt: number) => void,
): void {
  const { buffer, byteOffset } = engine.records;
  const length = engine.outcome[OUTCOME_RECORD_BYTES] ?? 0;
  const view = new DataView(buffer, byteOffset, length);
  for (let at = 0; at < length; ) {
    const [valueLength, keyLength] = [view.getUint32(at, true), view.getUint16(at + 4, true)];
    const keyAt = at + RECORD_HEADER_BYTES;
    if (view.getUint8(at + 6) === kind) patch(view, keyAt, keyAt + keyLength);
    at += recordBytes(keyLength, valueLength);
  }
}

/** An answer that goes to another session, or no notice at all. */
function spoilNotices(engine: Engine, fault: Fault, due: (every: number) => boolean): void {
  const length = engine.outcome[OUTCOME_NOTICE_BYTES] ?? 0;
  if (length === 0) return;
  const { buffer, byteOffset } = engine.notices;
  const view = new DataView(buffer, byteOffset, length);
  if (fault === 'a notice lost' && due(20)) {
    engine.outcome[OUTCOME_NOTICE_BYTES] = length - view.getUint32(NOTICE_BYTES_AT, true);
  }
  const isAnswer = view.getUint8(NOTICE_KIND_AT) === NOTICE_ANSWER;
  if (fault === 'a waiter passed over' && isAnswer && due(10)) {
    const session = view.getUint8(NOTICE_SESSION_AT);
    view.setUint8(NOTICE_SESSION_AT, (session % 5) + 1);
  }
}

/** An operation that does something else than it says, with the same answer as far as may be. */
function spoilFrame(frame: ArrayBuffer, fault: Fault, due: (every: number) => boolean): void {
  if (frame.byteLength < HEADER_BYTES + OPERATION_BYTES) return;
  const view = new DataView(frame);
  const codeAt = HEADER_BYTES + OPERATION_CODE;
  const flagsAt = HEADER_BYTES + OPERATION_FLAGS;
  const flags = view.getUint8(flagsAt);
  const isWrite = [OperationCode.Put, OperationCode.Unlock].includes(view.getUint8(codeAt));
  if (fault === 'a repeated operation done again' && isWrite && due(3)) {
    view.setUint8(flagsAt, flags & ~FLAG_ONCE);
  }
  if (fault === 'a lock that is released and kept' && due(3)) {
    if (view.getUint8(codeAt) === OperationCode.Unlock)
      view.setUint8(codeAt, OperationCode.Downgrade);
  }
  const isFenced = (flags & FLAG_FENCED) !== 0 && isWrite;
  if (fault === 'a fence that is forgotten' && isFenced && due(2)) {
    view.setUint8(flagsAt, flags & ~FLAG_FENCED);
  }
}
