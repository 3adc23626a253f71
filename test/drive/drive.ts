// Drives an engine the way the node does: runs a frame of a session to its end over as many calls as it
// takes, and keeps copies of what came out, decoded.

import {
  type Engine,
  INPUT_FORWARDED,
  INPUT_SESSION,
  OUTCOME_COUNT,
  OUTCOME_FORWARD_BYTES,
  OUTCOME_KEYS,
  OUTCOME_MEMORY_BYTES,
  OUTCOME_NEXT,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_RECORD_BYTES,
} from '../../ts/engine/engine.js';
import { FLAG_ENTRY, FLAG_MORE } from '../../ts/wire/layout.js';
import { SCAN_ENTRIES_MAX } from '../../ts/wire/limits.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { STATUS_COUNT, Status, statusName } from '../../ts/wire/status.js';
import { digestOf } from './coordination.js';
import { effectsOf, effectText } from './effects.js';
import { decodeForwards, type Forward } from './forwards.js';
import { decodeNotices, type Notice, noticeText } from './notices.js';
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

/** What any call leaves. */
export interface Left {
  records: EffectRecord[];
  recordBytes: Uint8Array;
  notices: Notice[];
}

export interface Outcome extends Left {
  /** Ok, or why the whole frame was refused. */
  refusal: Status;
  results: Result[];
  /** Reply frames in order: one a call. */
  replies: Uint8Array[];
  /** What the first call left to other workers. */
  forwards: Forward[];
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

/** The records of a call in the brief form. */
export function effects({ recordBytes }: Left): string[] {
  return effectsOf(recordBytes).map(effectText);
}

/** The notices of a call in the brief form. */
export function told({ notices }: Left): string[] {
  return notices.map(noticeText);
}

export class Drive {
  now = 1_000_000;

  constructor(readonly engine: Engine) {}

  /** Runs a frame of a session (0: of none), forwarded by another worker or not, until it is done. */
  frame(frame: ArrayBuffer, session = 0, isForwarded = false): Outcome {
    const { engine } = this;
    engine.input[INPUT_SESSION] = session;
    engine.input[INPUT_FORWARDED] = isForwarded ? 1 : 0;
    const outcome: Outcome = {
      refusal: Status.Ok,
      results: [],
      records: [],
      recordBytes: new Uint8Array(0),
      notices: [],
      replies: [],
      forwards: [],
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
      const { recordBytes, notices } = this.left();
      recordParts.push(recordBytes);
      outcome.notices.push(...notices);
      // A call that does not get past the first operation leaves none, and is made again.
      if (first === 0) outcome.forwards = this.forwards();
      else if (this.figure(OUTCOME_FORWARD_BYTES) !== 0)
        throw new Error('forwards of a later call');
      const next = engine.outcome[OUTCOME_NEXT] ?? 0;
      const isStuck = next === first && recordBytes.length === 0 && notices.length === 0;
      if (next < first || isStuck) {
        throw new Error(`no progress: resumed at ${first}, stopped at ${next}`);
      }
      first = next;
    } while (first < (engine.outcome[OUTCOME_COUNT] ?? 0));
    outcome.recordBytes = Buffer.concat(recordParts);
    outcome.records = decodeRecords(outcome.recordBytes);
    return outcome;
  }

  /** What the last call left. */
  left(): Left {
    const { engine } = this;
    const recordBytes = engine.records.slice(0, engine.outcome[OUTCOME_RECORD_BYTES]);
    const noticeBytes = engine.notices.slice(0, engine.outcome[OUTCOME_NOTICE_BYTES]);
    const records = decodeRecords(recordBytes);
    return { records, recordBytes, notices: decodeNotices(noticeBytes) };
  }

  /** What the last call left to other workers. */
  forwards(): Forward[] {
    const length = this.figure(OUTCOME_FORWARD_BYTES);
    return length === 0 ? [] : decodeForwards(this.engine.forwards.slice(0, length));
  }

  run(...operations: Operation[]): Outcome {
    return this.frame(encodeRequest(operations));
  }

  /** Runs the operations as a frame of this session. */
  as(session: number, ...operations: Operation[]): Outcome {
    return this.frame(encodeRequest(operations), session);
  }

  /** The answers to a frame of this session, each as `OK 3`: status and revision. */
  asks(session: number, ...operations: Operation[]): string[] {
    const { results } = this.as(session, ...operations);
    return results.map(({ status, revision }) => `${status} ${revision}`);
  }

  openSession(id: number, ttlMs = 10_000, digest = digestOf(id)): Left & { status: string } {
    const status = statusName(this.engine.openSession(id, ttlMs, digest, this.now));
    return { status, ...this.left() };
  }

  resumeSession(id: number, digest = digestOf(id)): Left & { status: string } {
    const status = statusName(this.engine.resumeSession(id, digest, this.now));
    return { status, ...this.left() };
  }

  endGuest(id: number): Left & { status: string } {
    const status = statusName(this.engine.endGuest(id, this.now));
    return { status, ...this.left() };
  }

  /** The blockers of these sessions in brief. */
  blockers(...sessions: number[]): string[] {
    const count = this.engine.listBlockers(Float64Array.from(sessions));
    const { notices } = this.left();
    if (notices.length !== Math.max(count, 0)) throw new Error(`${count} blockers`);
    return notices.map(noticeText);
  }

  refuseWait(session: number, id: number, detail = 'a cycle'): Left & { isRefused: boolean } {
    const isRefused = this.engine.refuseWait(session, id, Buffer.from(detail), this.now);
    return { isRefused, ...this.left() };
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
  advance(now: number): Left & { expired: number } {
    this.now = Math.max(this.now, now);
    const expired = this.engine.advance(now);
    return { expired, ...this.left() };
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

  /** A figure of the last call's outcome. */
  figure(index: number): number {
    return this.engine.outcome[index] ?? 0;
  }

  /** How often an operation of this code has ended so. */
  counted(code: number, status: Status): number {
    return this.engine.counters[code * STATUS_COUNT + status] ?? 0;
  }
}
