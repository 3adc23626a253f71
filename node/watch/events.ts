// What watches are told: events made of records, of entries of a snapshot, or of neither.

import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_HOLD,
  RECORD_HOLD_END,
  RECORD_PUT,
  RECORD_SESSION,
  RECORD_SESSION_END,
  RECORD_TOUCH,
  SPACE_HOLDS,
  SPACE_KEYS,
  SPACE_SESSIONS,
  spaceOf,
  suffixBytesOf,
} from '../../ts/engine/records.js';
import {
  CLASS_KEYS,
  CLASS_LOCKS,
  CLASS_SESSIONS,
  EVENT_BYTES,
  FLAG_SNAPSHOT,
  readU64,
} from '../../ts/wire/layout.js';
import { EventKind, type EventSource } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import type { HistoryReader } from './history.js';

const NO_BYTES = new Uint8Array(0);
const U32 = 2 ** 32;

export class WatchEvent implements EventSource {
  private bare: WatchEvent | undefined;

  /** Key and value are ranges of `bytes`, which stay as they are only until the history takes in more. */
  constructor(
    readonly kind: EventKind,
    readonly flags: number,
    readonly status: Status,
    readonly partition: number,
    readonly revision: number,
    readonly previous: number,
    readonly position: number,
    readonly bytes: Uint8Array,
    readonly keyAt: number,
    readonly keyEnd: number,
    readonly valueAt: number,
    readonly valueEnd: number,
  ) {}

  get dataBytes(): number {
    return this.keyEnd - this.keyAt + this.valueEnd - this.valueAt;
  }

  /** What it takes in a frame. */
  get size(): number {
    return EVENT_BYTES + this.dataBytes;
  }

  /** The same event without its value. */
  get withoutValue(): WatchEvent {
    if (this.valueAt === this.valueEnd) return this;
    this.bare ??= this.of(this.bytes, this.keyAt, this.keyEnd, this.keyEnd, this.keyEnd);
    return this.bare;
  }

  /** The same event with bytes of its own. */
  copy(): WatchEvent {
    const keyBytes = this.keyEnd - this.keyAt;
    const bytes = new Uint8Array(this.dataBytes);
    bytes.set(this.bytes.subarray(this.keyAt, this.keyEnd));
    bytes.set(this.bytes.subarray(this.valueAt, this.valueEnd), keyBytes);
    return this.of(bytes, 0, keyBytes, keyBytes, bytes.length);
  }

  private of(
    bytes: Uint8Array,
    keyAt: number,
    keyEnd: number,
    valueAt: number,
    valueEnd: number,
  ): WatchEvent {
    const { kind, flags, status, partition, revision, previous, position } = this;
    return new WatchEvent(
      kind,
      flags,
      status,
      partition,
      revision,
      previous,
      position,
      bytes,
      keyAt,
      keyEnd,
      valueAt,
      valueEnd,
    );
  }
}

/** The class of events that a kind of record belongs to; 0: it is never shown. */
export function classOf(kind: number): number {
  switch (spaceOf(kind)) {
    case SPACE_KEYS:
      return CLASS_KEYS;
    case SPACE_HOLDS:
      return CLASS_LOCKS;
    case SPACE_SESSIONS:
      return CLASS_SESSIONS;
    default:
      return 0;
  }
}

/** Where the key, name or session text of a record ends. */
export function nameEnd(record: HistoryReader): number {
  return record.keyEnd - suffixBytesOf(record.kind);
}

/** The event of a record whose class is not 0. */
export function eventOf(record: HistoryReader): WatchEvent {
  const { bytes, keyAt, keyEnd, valueEnd } = record;
  const [kind, previous] = kindAndPrevious(record);
  const end = nameEnd(record);
  // Only keys have values that are shown: the others' have a session's secret, or what `previous` says.
  const hasValue = kind === EventKind.Put;
  return new WatchEvent(
    kind,
    0,
    Status.Ok,
    record.partition,
    record.revision,
    previous,
    record.position,
    bytes,
    keyAt,
    end,
    hasValue ? keyEnd : end,
    hasValue ? valueEnd : end,
  );
}

function kindAndPrevious(record: HistoryReader): [kind: EventKind, previous: number] {
  switch (record.kind) {
    case RECORD_PUT:
      return [EventKind.Put, previousOf(record)];
    case RECORD_DELETE:
      return [EventKind.Delete, previousOf(record)];
    case RECORD_EXPIRE:
      return [EventKind.Expire, previousOf(record)];
    case RECORD_TOUCH:
      return [EventKind.Touch, previousOf(record)];
    case RECORD_SESSION:
      return [EventKind.SessionOpened, sessionOf(record)];
    case RECORD_SESSION_END:
      return [EventKind.SessionEnded, sessionOf(record)];
    case RECORD_HOLD: {
      const token = tokenOf(record);
      if (token !== record.revision) return [EventKind.LockChanged, token];
      return [EventKind.LockGranted, readU64(record.view, record.keyEnd)];
    }
    case RECORD_HOLD_END:
      return [EventKind.LockReleased, tokenOf(record)];
    default:
      return [EventKind.None, 0];
  }
}

/**
 * The key's revision before. One that is BACK_MAX or more revisions older is told as BACK_MAX older: the
 * record does not say more, and no key is told to have been absent that was there.
 */
function previousOf(record: HistoryReader): number {
  const { back } = record;
  return back === 0 ? 0 : record.revision - back;
}

function tokenOf({ view, keyEnd }: HistoryReader): number {
  return view.getUint32(keyEnd - 8) * U32 + view.getUint32(keyEnd - 4);
}

function sessionOf({ bytes, keyAt, keyEnd }: HistoryReader): number {
  return Number.parseInt(String.fromCharCode(...bytes.subarray(keyAt, keyEnd)), 16);
}

/** An event that is of no record, from the worker that has `partition`. */
export function control(
  kind: EventKind,
  position: number,
  partition: number,
  status = Status.Ok,
): WatchEvent {
  return new WatchEvent(kind, 0, status, partition, 0, 0, position, NO_BYTES, 0, 0, 0, 0);
}

/** An entry of a snapshot, as it is at `position`. */
export function entry(
  key: Uint8Array,
  value: Uint8Array,
  partition: number,
  revision: number,
  position: number,
): WatchEvent {
  // Key and value stand side by side in the reply that they come from.
  const bytes = new Uint8Array(key.buffer, key.byteOffset, key.length + value.length);
  return new WatchEvent(
    EventKind.Put,
    FLAG_SNAPSHOT,
    Status.Ok,
    partition,
    revision,
    0,
    position,
    bytes,
    0,
    key.length,
    key.length,
    bytes.length,
  );
}
