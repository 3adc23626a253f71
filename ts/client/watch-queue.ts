// The events of one watch that its consumer has not taken yet. A socket of the platform cannot be told to
// wait, so what comes is bounded here, by the same overflow policies that the node has. The snapshot is
// finite and must be whole: it has a bound of its own, above which the watch ends.

import { EventKind } from '../wire/generated/rondo/wire/event-kind.js';
import { isOfKey, type Pushed, placeEvent } from './watch-events.js';

/** Changes that wait for the consumer, unless the watch is told otherwise; and their bytes. */
export const WATCH_QUEUE_MAX_DEFAULT = 65_536;
export const WATCH_QUEUE_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes of snapshots that wait for the consumer. */
export const WATCH_SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024;
/** What an event costs beside key and value. */
const EVENT_OVERHEAD_BYTES = 128;
/** Taken events in front of the others that are not worth cutting off. */
const TAKEN_MAX = 1024;

/** What is done with changes that do not fit any more; see `WatchOptions.overflow`. */
export type Overflow = 'gap' | 'coalesce' | 'disconnect';

export class WatchQueue {
  private events: Pushed[] = [];
  /** Events at the front of `events` that have been taken. */
  private taken = 0;
  private changes = 0;
  private changeBytes = 0;
  private snapshotBytes = 0;

  constructor(
    private readonly overflow: Overflow,
    private readonly changesMax: number,
    private readonly changeBytesMax = WATCH_QUEUE_BYTES_MAX,
    private readonly snapshotBytesMax = WATCH_SNAPSHOT_BYTES_MAX,
  ) {}

  get isEmpty(): boolean {
    return this.taken === this.events.length;
  }

  /** False where there is no room and the watch must end; what is there stays. */
  add(event: Pushed): boolean {
    this.count(event, 1);
    this.events.push(event);
    if (this.snapshotBytes > this.snapshotBytesMax) return this.takeBack();
    if (this.changes <= this.changesMax && this.changeBytes <= this.changeBytesMax) return true;
    if (this.overflow === 'disconnect') return this.takeBack();
    // Where most keys have changed once, coalescing would be done again at the next event.
    if (this.overflow === 'gap' || !this.coalesce()) this.drop();
    return true;
  }

  take(): Pushed | undefined {
    const event = this.events[this.taken];
    if (event === undefined) return undefined;
    this.count(event, -1);
    this.taken++;
    const { length } = this.events;
    if (this.taken === length || (this.taken > TAKEN_MAX && this.taken * 2 > length)) {
      this.events.splice(0, this.taken);
      this.taken = 0;
    }
    return event;
  }

  clear(): void {
    this.replace([]);
  }

  private takeBack(): false {
    const event = this.events.pop();
    if (event !== undefined) this.count(event, -1);
    return false;
  }

  /** Leaves of each key its newest event, and whether there is room again: a quarter of the bound. */
  private coalesce(): boolean {
    const seen = new Set<string>();
    const touched = new Set<string>();
    const kept: Pushed[] = [];
    for (let index = this.events.length - 1; index >= this.taken; index--) {
      const event = this.events[index] as Pushed;
      if (isChange(event) && isOfKey(event.kind)) {
        const { key } = event;
        // A touch says nothing of the value, so that a put before it is still news.
        const isTouch = event.kind === EventKind.Touch;
        if (seen.has(key) || (isTouch && touched.has(key))) continue;
        (isTouch ? touched : seen).add(key);
      }
      kept.push(event);
    }
    this.replace(kept.reverse());
    return this.changes <= this.changesMax * 0.75 && this.changeBytes <= this.changeBytesMax * 0.75;
  }

  /** Drops all changes, with one `gap` in place of the last. */
  private drop(): void {
    const kept: Pushed[] = [];
    let gapAt = 0;
    let last: Pushed | undefined;
    for (let index = this.taken; index < this.events.length; index++) {
      const event = this.events[index] as Pushed;
      if (isChange(event)) {
        last = event;
        gapAt = kept.length;
      } else {
        kept.push(event);
      }
    }
    if (last !== undefined) {
      const { origin, position, places } = last;
      kept.splice(gapAt, 0, placeEvent(EventKind.Gap, origin, position, places));
    }
    this.replace(kept);
  }

  private replace(events: Pushed[]): void {
    this.events = events;
    this.taken = 0;
    this.changes = this.changeBytes = this.snapshotBytes = 0;
    for (const event of events) this.count(event, 1);
  }

  private count(event: Pushed, sign: 1 | -1): void {
    const bytes = EVENT_OVERHEAD_BYTES + event.key.length + (event.value?.length ?? 0);
    if (isChange(event)) {
      this.changes += sign;
      this.changeBytes += sign * bytes;
    } else {
      this.snapshotBytes += sign * bytes;
    }
  }
}

/** What may be dropped: all but a snapshot and the marks around it. */
function isChange(event: Pushed): boolean {
  const { kind } = event;
  return !event.isSnapshot && kind !== EventKind.Synced && kind !== EventKind.Compacted;
}
