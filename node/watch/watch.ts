// A watch, and a connection that has some. There may be a million of them, so a watch is small and has no
// timer of its own.

import {
  CLASS_KEYS,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  OVERFLOW_MASK,
  START_MASK,
  START_REVISION,
} from '../../ts/wire/layout.js';
import type { Peer } from '../connection.js';
import type { WatchEvent } from './events.js';

export enum WatchState {
  /** Its answer waits for the log. */
  Starting = 0,
  /** Told every change as it becomes durable. */
  Live = 1,
  /** Live, but its peer does not read: see `overflow.ts`. */
  Lagging = 2,
  /** Goes through the history. */
  CatchingUp = 3,
  /** Is being told what is there. */
  Snapshot = 4,
  /** Goes on catching up or with its snapshot when its peer has read. */
  Parked = 5,
  Ended = 6,
}

export class Watch {
  state = WatchState.Starting;
  /** What the part that has it at present keeps of it; undefined while it is live. */
  work: object | undefined;

  constructor(
    readonly id: number,
    readonly owner: WatchedPeer,
    /** Key or prefix, one unit a byte. */
    readonly key: string,
    private flags: number,
    readonly classes: number,
    /** Told up to here: a position, or a revision of the key's partition (`isByRevision`). */
    public from: number,
  ) {}

  get isPrefix(): boolean {
    return (this.flags & FLAG_WATCH_PREFIX) !== 0;
  }

  get isKeysOnly(): boolean {
    return (this.flags & FLAG_WATCH_KEYS_ONLY) !== 0;
  }

  get hasKeys(): boolean {
    return (this.classes & CLASS_KEYS) !== 0;
  }

  get start(): number {
    return this.flags & START_MASK;
  }

  get overflow(): number {
    return this.flags & OVERFLOW_MASK;
  }

  /**
   * All that a whole key's watch is told comes from one partition (a lock of that name and a session of that
   * text are of the same one), so a revision can stand for its place.
   */
  get isByRevision(): boolean {
    return this.start === START_REVISION;
  }

  get keyBytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(Buffer.from(this.key, 'latin1'));
  }

  /** Goes on behind this position. */
  moveTo(position: number): void {
    this.flags &= ~START_MASK;
    this.from = position;
  }

  /** Goes on with this event, which it was not told. */
  moveBefore(event: WatchEvent): void {
    this.from = (this.isByRevision ? event.revision : event.position) - 1;
  }

  /** Whether it is not yet told of an event of these. */
  isBehind(revision: number, position: number): boolean {
    return (this.isByRevision ? revision : position) > this.from;
  }

  /** Whether it asked for `bytes[start, end)`, of a class. */
  covers(ofClass: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { key } = this;
    const length = end - start;
    if ((this.classes & ofClass) === 0) return false;
    if (this.isPrefix ? length < key.length : length !== key.length) return false;
    for (let index = 0; index < key.length; index++) {
      if (key.charCodeAt(index) !== bytes[start + index]) return false;
    }
    return true;
  }

  /** The event as it is told to this watch. */
  view(event: WatchEvent): WatchEvent {
    return this.isKeysOnly ? event.withoutValue : event;
  }
}

/** What the hub keeps of a connection that has, or had, watches. */
export class WatchedPeer {
  readonly watches = new Map<number, Watch>();
  /** Watches of it that are not plainly live: what they are told has no one place. */
  unsettled = 0;

  // Written by `outbox.ts`.
  /** Answers that were not sent yet: id, status and revision of each. */
  readonly answers: number[] = [];
  /** Events that were not sent yet, and the watch of each. */
  events: WatchEvent[] = [];
  receivers: Watch[] = [];
  /** Bytes of those events. */
  pendingBytes = 0;
  isPending = false;
  /** Bytes that the peer had not read at the last look. */
  unreadBytes = 0;

  // Written by `overflow.ts`.
  readonly lagging = new Set<Watch>();
  /** Watches that ended because the peer did not read, to be told so. */
  readonly overflowed: Watch[] = [];
  coalescedBytes = 0;

  /** Watches that go on when the peer has read. */
  readonly parked = new Set<Watch>();
  isResuming = false;

  // Written by `heartbeat.ts`.
  heartbeatSlot = -1;

  constructor(readonly peer: Peer) {}

  /** Whether something waits for the peer to read. */
  get isBehind(): boolean {
    return this.lagging.size > 0 || this.overflowed.length > 0 || this.parked.size > 0;
  }
}
