// Drives an engine the way the node does: runs a frame to its end over as many calls as it takes, and
// keeps copies of what came out, decoded.

import {
  type Engine,
  OUTCOME_COUNT,
  OUTCOME_KEYS,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NEXT,
  OUTCOME_RECORD_BYTES,
} from '../../ts/engine/engine.js';
import { FLAG_ENTRY, FLAG_MORE } from '../../ts/wire/layout.js';
import { SCAN_ENTRIES_MAX } from '../../ts/wire/limits.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { STATUS_COUNT, Status, statusName } from '../../ts/wire/status.js';
import { copyOf, encodeRequest, type Operation, scan } from './operations.js';
import { decodeRecords, type EffectRecord } from './records.js';

export interface Result {
  id: number;
  /** The name, such as `NOT_FOUND`. */
  status: string;
  flags: number;
  key: Uint8Array;
  value: Uint8Array;
  count: number;
  revision: number;
  ttlMs: number;
}

export interface Outcome {
  /** Ok, or why the whole frame was refused. */
  refusal: Status;
  results: Result[];
  records: EffectRecord[];
  recordBytes: Uint8Array;
  /** Reply frames in order: one a call. */
  replies: Uint8Array[];
}

/** One key as a scan shows it, with its time to live. */
export interface Held {
  key: string;
  value: string;
  revision: number;
  ttlMs: number;
}

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** The results of a reply frame. */
export function decodeReply(frame: Uint8Array): Result[] {
  const reader = new ReplyReader();
  if (!reader.open(copyOf(frame))) throw new Error('the reply is not a valid frame');
  const results: Result[] = [];
  while (reader.next()) {
    results.push({
      id: reader.id,
      status: statusName(reader.status),
      flags: reader.flags,
      key: reader.key.slice(),
      value: reader.value.slice(),
      count: reader.count,
      revision: reader.revision,
      ttlMs: reader.ttlMs,
    });
  }
  return results;
}

export class Drive {
  now = 1_000_000;

  constructor(readonly engine: Engine) {}

  /** Runs a frame until it is done. */
  frame(frame: ArrayBuffer): Outcome {
    const { engine } = this;
    const outcome: Outcome = {
      refusal: Status.Ok,
      results: [],
      records: [],
      recordBytes: new Uint8Array(0),
      replies: [],
    };
    const recordParts: Uint8Array[] = [];
    let first = 0;
    do {
      const length = engine.execute(frame, first, this.now);
      if (length < 0) {
        if (first > 0) throw new Error(`refused when resumed at ${first}: ${-length}`);
        outcome.refusal = -length;
        break;
      }
      const reply = engine.reply.slice(0, length);
      outcome.replies.push(reply);
      outcome.results.push(...decodeReply(reply));
      recordParts.push(engine.records.slice(0, engine.outcome[OUTCOME_RECORD_BYTES]));
      const next = engine.outcome[OUTCOME_NEXT] ?? 0;
      if (next <= first) throw new Error(`no progress: resumed at ${first}, stopped at ${next}`);
      first = next;
    } while (first < (engine.outcome[OUTCOME_COUNT] ?? 0));
    outcome.recordBytes = Buffer.concat(recordParts);
    outcome.records = decodeRecords(outcome.recordBytes);
    return outcome;
  }

  run(...operations: Operation[]): Outcome {
    return this.frame(encodeRequest(operations));
  }

  /** The one result of an operation that has one. */
  one(operation: Operation): Result {
    const { results } = this.run(operation);
    if (results.length !== 1) throw new Error(`${results.length} results instead of one`);
    return results[0]!;
  }

  /** `OK 3`: status and revision, the short form of a result. */
  brief(operation: Operation): string {
    const { status, revision } = this.one(operation);
    return `${status} ${revision}`;
  }

  status(operation: Operation): string {
    return this.one(operation).status;
  }

  /** Expires what is due at `now` and returns the records. */
  advance(now: number): { expired: number; records: EffectRecord[]; recordBytes: Uint8Array } {
    this.now = Math.max(this.now, now);
    const expired = this.engine.advance(now);
    const recordBytes = this.engine.records.slice(0, this.engine.outcome[OUTCOME_RECORD_BYTES]);
    return { expired, records: decodeRecords(recordBytes), recordBytes };
  }

  /** The keys of one scan and whether there are more. */
  page(operation: Operation): { keys: string[]; more: boolean; cursor: Uint8Array } {
    const { results } = this.run(operation);
    const closing = results.at(-1)!;
    const entries = results.slice(0, -1);
    if (closing.status !== 'OK') throw new Error(`the scan ended with ${closing.status}`);
    if ((closing.flags & FLAG_ENTRY) !== 0) throw new Error('the closing result is an entry');
    if (closing.count !== entries.length) throw new Error('the closing count is wrong');
    if (entries.some((entry) => (entry.flags & FLAG_ENTRY) === 0)) {
      throw new Error('a result before the closing one is no entry');
    }
    return {
      keys: entries.map((entry) => Buffer.from(entry.key).toString()),
      more: (closing.flags & FLAG_MORE) !== 0,
      cursor: closing.value,
    };
  }

  /** Every live key, over as many pages as it takes. Changes nothing but counters. */
  state(): Held[] {
    const held: Held[] = [];
    let cursor: Uint8Array = new Uint8Array(0);
    for (;;) {
      const { results } = this.run(scan('', { limit: SCAN_ENTRIES_MAX, cursor }));
      const closing = results.pop()!;
      for (const { key, value, revision, ttlMs } of results) {
        held.push({ key: text(key), value: text(value), revision, ttlMs });
      }
      if ((closing.flags & FLAG_MORE) === 0) return held;
      cursor = closing.value;
    }
  }

  get keys(): number {
    return this.engine.outcome[OUTCOME_KEYS] ?? 0;
  }

  get memoryBytes(): number {
    return this.engine.outcome[OUTCOME_MEMORY_BYTES] ?? 0;
  }

  /** How often an operation of this code has ended so. */
  counted(code: number, status: Status): number {
    return this.engine.counters[code * STATUS_COUNT + status] ?? 0;
  }
}
