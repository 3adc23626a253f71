// Watches that are told what is there before they are told what changes. What is there is read from the
// engine a page at a time, and between two pages the changes of what was already told are read from the
// history. A page shows the state at its position, so:
//
//   - it waits until all up to there is durable;
//   - changes up to there are told before it, of keys up to the cursor (those above it are in this page or
//     a later one), and of locks and sessions, which have no pages;
//   - at the last page's position the watch has been told all that was there: it is synced, and goes on
//     from there like one that catches up.

import { Fifo } from '../../ts/engine/fifo.js';
import { compareBytes } from '../../ts/wire/bytes.js';
import { CLASS_KEYS, EVENT_BYTES } from '../../ts/wire/layout.js';
import { EventKind } from '../../ts/wire/push.js';
import {
  WATCH_PAGE_ENTRIES,
  WATCH_PAGES_HELD_BYTES_MAX,
  WATCH_TURN_PAGE_BYTES,
  WATCH_TURN_PAGES,
  WATCH_TURN_RECORDS,
} from '../limits.js';
import { classOf, control, entry, eventOf, nameEnd } from './events.js';
import { type History, HistoryReader } from './history.js';
import type { Outbox } from './outbox.js';
import { type Watch, WatchState } from './watch.js';

export interface ScanEntry {
  readonly key: Uint8Array;
  /** Behind the key in the same memory; empty where only keys were asked for. */
  readonly value: Uint8Array;
  readonly revision: number;
}

/** A page of live keys, in byte order. */
export interface ScanPage {
  readonly entries: readonly ScanEntry[];
  /** The next page is of keys above this one; undefined: there is none. */
  readonly cursor: Uint8Array | undefined;
  /** The page shows the state after all records up to here. */
  readonly position: number;
  /** Of the memory that its entries keep. */
  readonly bytes: number;
}

/**
 * Reads a page: keys with the prefix that are greater than the cursor (empty: from the first), `limit` at
 * most. All records that it leads to have come by when it returns.
 */
export type Scan = (
  prefix: Uint8Array,
  cursor: Uint8Array,
  limit: number,
  keysOnly: boolean,
) => ScanPage;

/** Memory of a page that waits, beside its bytes. */
const PAGE_OVERHEAD_BYTES = 512;
const NO_BYTES = new Uint8Array(0);

class Snapshot {
  /** Keys up to here have been told; empty: none. */
  cursor: Uint8Array = NO_BYTES;
  /** Read and not yet told. */
  page: ScanPage | undefined;
  readonly reader: HistoryReader;

  constructor(
    readonly watch: Watch,
    history: History,
    /** Changes are told up to here. */
    public at: number,
  ) {
    this.reader = new HistoryReader(history);
  }
}

export interface SnapshotsOptions {
  readonly history: History;
  readonly outbox: Outbox;
  /** Stands in events without a record. */
  readonly ownPartition: number;
  readonly scan: Scan;
  readonly partitionOf: (key: Uint8Array) => number;
  /** Everything up to this position is durable. */
  readonly durable: () => number;
  readonly setState: (watch: Watch, state: WatchState, work?: object) => void;
  readonly goOn: (watch: Watch) => void;
  /** The peer has no room: the watch comes back when it has. */
  readonly park: (watch: Watch) => void;
  /** What the watch would go on with is forgotten. */
  readonly startOver: (watch: Watch) => void;
}

export class Snapshots {
  /** Those that can read their next page. */
  private readonly ready = new Fifo<Snapshot>();
  /** Those with a page, in the order in which they read it. */
  private readonly held = new Set<Snapshot>();
  private heldBytes = 0;

  constructor(private readonly options: SnapshotsOptions) {}

  /** Whether there is something to do before the log gets further or a peer reads. */
  get hasWork(): boolean {
    const { first } = this;
    if (first !== undefined && this.isTellable(first)) return true;
    return this.ready.length > 0 && this.heldBytes <= WATCH_PAGES_HELD_BYTES_MAX;
  }

  /** Begins a snapshot; changes are told from `position` on. */
  begin(watch: Watch, position: number): void {
    this.goOn(watch, new Snapshot(watch, this.options.history, position));
  }

  /** A watch comes back for which there was no room. */
  unpark(watch: Watch): void {
    this.goOn(watch, watch.work as Snapshot);
  }

  /** The watch ends, or goes elsewhere. */
  leave(watch: Watch): void {
    const snapshot = watch.work as Snapshot;
    if (snapshot.page !== undefined) this.release(snapshot);
  }

  /** Whether a parked watch is one of these. */
  has(watch: Watch): boolean {
    return watch.work instanceof Snapshot;
  }

  /** Tells pages whose time has come, and reads the next; bounded work. */
  step(): void {
    this.tellPages();
    let bytes = 0;
    for (let pages = 0; pages < WATCH_TURN_PAGES && bytes < WATCH_TURN_PAGE_BYTES; pages++) {
      if (this.heldBytes > WATCH_PAGES_HELD_BYTES_MAX) break;
      const snapshot = this.ready.shift();
      if (snapshot === undefined) break;
      bytes += this.read(snapshot);
    }
    this.tellPages();
    this.options.outbox.flushAll(false);
  }

  private get first(): Snapshot | undefined {
    return this.held.values().next().value;
  }

  private goOn(watch: Watch, snapshot: Snapshot): void {
    this.options.setState(watch, WatchState.Snapshot, snapshot);
    this.ready.push(snapshot);
  }

  private isCurrent(snapshot: Snapshot): boolean {
    const { watch } = snapshot;
    return watch.state === WatchState.Snapshot && watch.work === snapshot;
  }

  private isTellable({ page }: Snapshot): boolean {
    return page !== undefined && page.position <= this.options.durable();
  }

  /** Reads the next page. Returns its bytes. */
  private read(snapshot: Snapshot): number {
    const { outbox, scan, park } = this.options;
    const { watch } = snapshot;
    if (!this.isCurrent(snapshot)) return 0;
    if (!outbox.isReady(watch.owner, EVENT_BYTES)) {
      park(watch);
      return 0;
    }
    // The scan may lead to records: nothing that was made of older ones may wait meanwhile.
    outbox.flushAll(false);
    const limit = watch.isPrefix ? WATCH_PAGE_ENTRIES : 1;
    const page = watch.hasKeys
      ? scan(watch.keyBytes, snapshot.cursor, limit, watch.isKeysOnly)
      : emptyPage(this.options.history.end);
    // So may it have closed the connection.
    if (!this.isCurrent(snapshot)) return page.bytes;
    snapshot.page = page;
    // Where only keys are asked for, nothing is to be told before the first page.
    if (snapshot.cursor.length === 0 && watch.classes === CLASS_KEYS) snapshot.at = page.position;
    this.held.add(snapshot);
    this.heldBytes += page.bytes + PAGE_OVERHEAD_BYTES;
    return page.bytes;
  }

  private tellPages(): void {
    let left = WATCH_TURN_RECORDS;
    while (left > 0) {
      const snapshot = this.first;
      if (snapshot === undefined || !this.isTellable(snapshot)) return;
      left -= this.tellChanges(snapshot, left);
      if (snapshot !== this.first) continue;
      if (snapshot.at === snapshot.page?.position) left -= this.tellPage(snapshot);
    }
  }

  /** Tells what has changed up to the page's position. Returns the records that it read. */
  private tellChanges(snapshot: Snapshot, records: number): number {
    const { history, outbox } = this.options;
    const { watch, cursor, reader } = snapshot;
    const { position } = snapshot.page as ScanPage;
    if (snapshot.at < history.oldest) {
      this.release(snapshot);
      this.options.startOver(watch);
      return 1;
    }
    reader.seek(snapshot.at);
    let read = 0;
    while (snapshot.at < position && read < records && reader.next()) {
      read++;
      const end = nameEnd(reader);
      const ofClass = classOf(reader.kind);
      if (
        watch.covers(ofClass, reader.bytes, reader.keyAt, end) &&
        (ofClass !== CLASS_KEYS ||
          compareBytes(reader.bytes, reader.keyAt, end, cursor, 0, cursor.length) <= 0)
      ) {
        const event = eventOf(reader);
        if (!outbox.isReady(watch.owner, event.size)) {
          this.park(snapshot);
          return read;
        }
        outbox.push(watch, event, false);
      }
      snapshot.at = reader.position;
    }
    reader.release();
    return read;
  }

  /** Tells the page itself. Returns what it cost, in records. */
  private tellPage(snapshot: Snapshot): number {
    const { outbox, partitionOf, ownPartition } = this.options;
    const { watch } = snapshot;
    const page = snapshot.page as ScanPage;
    if (!outbox.isReady(watch.owner, page.bytes)) {
      this.park(snapshot);
      return 1;
    }
    this.release(snapshot);
    let told = 0;
    for (const { key, value, revision } of page.entries) {
      // A whole key's page may hold the key behind it instead.
      if (!watch.covers(CLASS_KEYS, key, 0, key.length)) continue;
      told++;
      outbox.push(watch, entry(key, value, partitionOf(key), revision, page.position), false);
    }
    if (page.cursor !== undefined && watch.isPrefix) {
      snapshot.cursor = page.cursor;
      this.ready.push(snapshot);
    } else {
      outbox.push(watch, control(EventKind.Synced, page.position, ownPartition), false);
      watch.moveTo(page.position);
      this.options.goOn(watch);
    }
    return told + 1;
  }

  /** Waits for the peer without its page, which would take memory meanwhile and is read anew. */
  private park(snapshot: Snapshot): void {
    this.release(snapshot);
    this.options.park(snapshot.watch);
  }

  private release(snapshot: Snapshot): void {
    if (this.held.delete(snapshot)) {
      this.heldBytes -= (snapshot.page as ScanPage).bytes + PAGE_OVERHEAD_BYTES;
    }
    snapshot.page = undefined;
    snapshot.reader.release();
  }
}

function emptyPage(position: number): ScanPage {
  return { entries: [], cursor: undefined, position, bytes: 0 };
}
