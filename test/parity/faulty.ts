// Engines with one deliberate fault each: the canaries that show that the parity run can see one.

import {
  type Engine,
  type EngineOptions,
  INPUT_WRITE_REFUSAL,
  OUTCOME_APPEND,
  OUTCOME_GATE,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_RECORD_BYTES,
} from '../../ts/engine/engine.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { HEADER_BYTES, RESULT_BYTES } from '../../ts/wire/layout.js';
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

export type Fault = (typeof FAULTS)[number];

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
  return {
    kind: 'ts',
    reply: engine.reply,
    records: engine.records,
    notices: engine.notices,
    openSession: (id, ttlMs, digest, now) => engine.openSession(id, ttlMs, digest, now),
    resumeSession: (id, digest, now) => engine.resumeSession(id, digest, now),
    outcome: engine.outcome,
    input: engine.input,
    counters: engine.counters,
    execute(frame, first, now) {
      const late = fault === 'an expiry one millisecond late' ? 1 : 0;
      const refusal = engine.input[INPUT_WRITE_REFUSAL] ?? 0;
      if (fault === 'writes taken although they are refused') engine.input[INPUT_WRITE_REFUSAL] = 0;
      const returned = engine.execute(frame, first, now - late);
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
