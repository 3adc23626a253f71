// A node as its watches see it: an engine that makes records, a log that makes them durable when it is told
// to, and peers that read when they are told to. All of it simulated; the records are real.

import { SimulatedClock } from '../../node/clock.js';
import { ConnectionState, type Peer } from '../../node/connection.js';
import { History, type HistoryBounds, WATCH_HISTORY } from '../../node/watch/history.js';
import { WatchHub } from '../../node/watch/hub.js';
import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_FENCE,
  RECORD_HOLD,
  RECORD_HOLD_END,
  RECORD_PUT,
  RECORD_SESSION,
  RECORD_SESSION_END,
  RECORD_TOUCH,
  RecordWriter,
} from '../../ts/engine/records.js';
import {
  CLASS_KEYS,
  CLASS_LOCKS,
  CLASS_SESSIONS,
  RESUME_BYTES,
  writeU64,
} from '../../ts/wire/layout.js';
import { EventKind, PushReader } from '../../ts/wire/push.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { bytes, copyOf } from '../drive/operations.js';

export const PARTITIONS = 4;
/** What the node names in events without a record. */
export const OWN_PARTITION = 3;
export const NODE = 2 ** 52 + 7;
export const SESSION = 0xabcdef;
export const SESSION_TEXT = '00000000abcdef';

/** What a record says, as a watch is to be told it. */
export interface Told {
  readonly ofClass: number;
  readonly kind: EventKind;
  readonly key: string;
  readonly value: string;
  readonly partition: number;
  readonly revision: number;
  readonly previous: number;
  readonly position: number;
}

export interface Received {
  readonly id: number;
  readonly kind: EventKind;
  readonly flags: number;
  readonly status: number;
  readonly key: string;
  readonly value: string;
  readonly partition: number;
  readonly revision: number;
  readonly previous: number;
  readonly position: number;
}

export interface Answer {
  readonly id: number;
  readonly status: number;
  readonly revision: number;
}

export class FakePeer {
  readonly data = new ConnectionState(undefined);
  readonly remoteAddress = 'test';
  isOpen = true;
  bufferedBytes = 0;
  /** Whether what is sent is read at once. */
  isReading = true;
  frames = 0;
  bufferedBytesMost = 0;
  readonly answers: Answer[] = [];
  readonly events: Received[] = [];
  /** Answers and events in their order, as `answer <id>` and `event <id>`. */
  readonly order: string[] = [];
  private readonly unread: ArrayBuffer[] = [];

  constructor(
    readonly id: number,
    private readonly world: World,
  ) {}

  get peer(): Peer {
    return this as unknown as Peer;
  }

  send(frame: Uint8Array): 'sent' | 'buffered' {
    this.frames++;
    if (this.isReading && this.unread.length === 0) {
      this.take(copyOf(frame));
      return 'sent';
    }
    this.unread.push(copyOf(frame));
    this.bufferedBytes += frame.length;
    this.bufferedBytesMost = Math.max(this.bufferedBytesMost, this.bufferedBytes);
    return 'buffered';
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.world.hub.onClose(this.peer);
  }

  /** Reads all that waits, and says so. */
  read(): void {
    if (this.unread.length === 0) return;
    for (const frame of this.unread.splice(0)) this.take(frame);
    this.bufferedBytes = 0;
    this.world.hub.onDrain(this.peer);
  }

  of(id: number): Received[] {
    return this.events.filter((event) => event.id === id);
  }

  private take(frame: ArrayBuffer): void {
    const push = new PushReader();
    if (push.open(frame)) {
      while (push.next()) {
        const { id, kind, flags, status, partition, revision, previous, position } = push;
        const [key, value] = [latin1(push.key), latin1(push.value)];
        this.order.push(`event ${id}`);
        if (kind >= EventKind.Synced && partition !== OWN_PARTITION) {
          throw new Error(`an event of kind ${kind} names partition ${partition}`);
        }
        this.events.push({
          id,
          kind,
          flags,
          status,
          key,
          value,
          partition,
          revision,
          previous,
          position,
        });
      }
      return;
    }
    const reply = new ReplyReader();
    if (!reply.open(frame)) throw new Error('neither a push nor a reply');
    while (reply.next()) {
      this.order.push(`answer ${reply.id}`);
      this.answers.push({ id: reply.id, status: reply.status, revision: reply.revision });
    }
  }
}

export interface WorldOptions {
  readonly sendBufferBytesMax?: number;
  readonly historyBounds?: HistoryBounds;
  readonly watchesMax?: number;
}

/** What is asked of a watch; the rest is 0 or empty. */
export interface Ask {
  readonly id: number;
  readonly flags?: number;
  readonly classes?: number;
  readonly key?: string;
  readonly revision?: number;
  readonly token?: Uint8Array;
}

export class World {
  readonly clock = new SimulatedClock();
  readonly hub: WatchHub;
  readonly history: History;
  /** Everything that was ever recorded, in order. */
  readonly log: Told[] = [];
  append = 0;
  durable = 0;
  scans = 0;
  /** Entries of a page at most, like a page that is full of bytes. */
  pageEntries = Infinity;
  /** Everything up to here is durable. */
  durablePosition = 0;
  /** Called within a scan: what else an engine call may do. */
  duringScan: () => void = () => undefined;
  private readonly store = new Map<string, { value: string; revision: number }>();
  private readonly revisions = new Array<number>(PARTITIONS).fill(0);
  private readonly buffer = new Uint8Array(8 * 1024 * 1024);
  private readonly writer = new RecordWriter(this.buffer);
  private readonly ends: number[] = [0];
  private peers = 0;

  constructor(options: WorldOptions = {}) {
    this.history = new History(
      options.historyBounds ?? WATCH_HISTORY,
      (partition) => this.revisions[partition] as number,
    );
    this.hub = new WatchHub({
      clock: this.clock,
      send: (peer, frame) => void peer.send(frame),
      scan: (prefix, cursor, limit, keysOnly) => this.scan(prefix, cursor, limit, keysOnly),
      node: NODE,
      partitions: PARTITIONS,
      ownPartition: OWN_PARTITION,
      history: this.history,
      sendBufferBytesMax: options.sendBufferBytesMax ?? 64 * 1024 * 1024,
      revisionOf: (partition) => this.revisions[partition] as number,
      partitionOf: (key) => partitionOf(latin1(key)),
      onError: (error) => {
        throw error;
      },
      ...(options.watchesMax && { watchesMax: options.watchesMax }),
    });
  }

  get position(): number {
    return this.log.length;
  }

  connect(): FakePeer {
    return new FakePeer(++this.peers, this);
  }

  /** One call of the engine: `change` makes records, if any. */
  call(change: () => void): void {
    const before = this.position;
    this.writer.clear();
    change();
    if (this.writer.length === 0) return;
    this.ends.push(this.position);
    const records = this.buffer.subarray(0, this.writer.length);
    this.hub.onRecords(++this.append, records, before, this.position);
    // The engine's buffer is overwritten by its next call.
    this.buffer.fill(0xee, 0, this.writer.length);
  }

  put(key: string, value: string): void {
    const previous = this.store.get(key)?.revision ?? 0;
    const revision = this.key(RECORD_PUT, EventKind.Put, key, value, previous);
    this.store.set(key, { value, revision });
  }

  touch(key: string): void {
    const entry = this.store.get(key);
    if (entry === undefined) return;
    entry.revision = this.key(RECORD_TOUCH, EventKind.Touch, key, '', entry.revision);
  }

  remove(key: string, expires = false): void {
    const entry = this.store.get(key);
    if (entry === undefined) return;
    const [record, event] = expires
      ? [RECORD_EXPIRE, EventKind.Expire]
      : [RECORD_DELETE, EventKind.Delete];
    this.key(record, event, key, '', entry.revision);
    this.store.delete(key);
  }

  /** A grant, or a change of it. Returns the token. */
  hold(name: string, token = 0): number {
    const value = new Uint8Array(24);
    writeU64(new DataView(value.buffer), 0, SESSION);
    const granted = token === 0;
    const next = (this.revisions[partitionOf(name)] as number) + 1;
    const held = granted ? next : token;
    const kind = granted ? EventKind.LockGranted : EventKind.LockChanged;
    const previous = granted ? SESSION : held;
    this.record(RECORD_HOLD, CLASS_LOCKS, kind, name, tokenBytes(held), value, '', previous);
    return held;
  }

  release(name: string, token: number): void {
    const suffix = tokenBytes(token);
    const none = new Uint8Array(0);
    const kind = EventKind.LockReleased;
    this.record(RECORD_HOLD_END, CLASS_LOCKS, kind, name, suffix, none, '', token);
  }

  session(ends = false): void {
    const value = ends ? new Uint8Array(0) : new Uint8Array(24).fill(0x5e);
    const [record, kind] = ends
      ? [RECORD_SESSION_END, EventKind.SessionEnded]
      : [RECORD_SESSION, EventKind.SessionOpened];
    const none = new Uint8Array(0);
    this.record(record, CLASS_SESSIONS, kind, SESSION_TEXT, none, value, '', SESSION);
  }

  fence(name: string): void {
    const value = new Uint8Array(8);
    this.record(RECORD_FENCE, 0, EventKind.None, name, new Uint8Array(4), value, '', 0);
  }

  settle(append = this.append): void {
    this.durable = Math.max(this.durable, append);
    this.durablePosition = this.ends[this.durable] as number;
    this.hub.onDurable(append);
    // Told in a turn of its own, behind whatever else comes in.
    this.turn();
  }

  turn(): void {
    this.clock.advance(0);
  }

  watch(peer: FakePeer, ask: Ask): void {
    this.hub.watch(
      peer.peer,
      {
        id: ask.id,
        flags: ask.flags ?? 0,
        classes: ask.classes ?? CLASS_KEYS,
        expectedRevision: ask.revision ?? 0,
        key: bytes(ask.key ?? ''),
        value: ask.token ?? new Uint8Array(0),
      },
      this.append,
      this.position,
    );
  }

  unwatch(peer: FakePeer, id: number, target: number): void {
    const none = new Uint8Array(0);
    const fields = { flags: 0, classes: 0, key: none, value: none };
    this.hub.unwatch(peer.peer, { id, expectedRevision: target, ...fields });
  }

  /** The keys that a watch covers, as they were behind a position. */
  stateAt(position: number, covers: (key: string) => boolean): Map<string, string> {
    const state = new Map<string, string>();
    for (const told of this.log.slice(0, position)) {
      if (told.ofClass !== CLASS_KEYS || !covers(told.key)) continue;
      if (told.kind === EventKind.Put) state.set(told.key, told.value);
      else if (told.kind !== EventKind.Touch) state.delete(told.key);
    }
    return state;
  }

  revisionOf(partition: number): number {
    return this.revisions[partition] as number;
  }

  private scan(prefix: Uint8Array, cursor: Uint8Array, limit: number, keysOnly: boolean) {
    this.scans++;
    const [start, behind] = [latin1(prefix), latin1(cursor)];
    const keys = [...this.store.keys()]
      .filter((key) => key.startsWith(start) && (behind === '' || key > behind))
      .sort();
    const page = keys.slice(0, Math.min(limit, this.pageEntries));
    const entries = page.map((key) => {
      const { value, revision } = this.store.get(key)!;
      const content = bytes(key + (keysOnly ? '' : value));
      const [keyBytes, valueBytes] = [
        content.subarray(0, key.length),
        content.subarray(key.length),
      ];
      return { key: keyBytes, value: valueBytes, revision };
    });
    const next = keys.length > page.length ? bytes(page.at(-1)!) : undefined;
    const { position } = this;
    this.duringScan();
    return { entries, cursor: next, position, bytes: 64 + 32 * entries.length };
  }

  private key(kind: number, told: EventKind, key: string, value: string, previous: number): number {
    const none = new Uint8Array(0);
    return this.record(kind, CLASS_KEYS, told, key, none, bytes(value), value, previous);
  }

  private record(
    kind: number,
    ofClass: number,
    told: EventKind,
    name: string,
    suffix: Uint8Array,
    content: Uint8Array,
    value: string,
    previous: number,
  ): number {
    const partition = partitionOf(name);
    const revision = ++this.revisions[partition]!;
    const key = new Uint8Array([...bytes(name), ...suffix]);
    const isKey = ofClass === CLASS_KEYS;
    const back = isKey && previous > 0 ? revision - previous : 0;
    this.writer.append(
      kind,
      partition,
      revision,
      1,
      0,
      key,
      0,
      key.length,
      content,
      0,
      content.length,
      back,
    );
    const position = this.log.length + 1;
    this.log.push({
      ofClass,
      kind: told,
      key: name,
      value,
      partition,
      revision,
      previous,
      position,
    });
    return revision;
  }
}

export function partitionOf(key: string): number {
  let sum = 0;
  for (let at = 0; at < key.length; at++) sum = (sum * 31 + key.charCodeAt(at)) >>> 0;
  return sum % PARTITIONS;
}

export function token(position: number, node = NODE, partitions = PARTITIONS): Uint8Array {
  const content = new Uint8Array(RESUME_BYTES);
  const view = new DataView(content.buffer);
  writeU64(view, 0, node);
  view.setUint32(8, partitions, true);
  writeU64(view, 16, position);
  return content;
}

function tokenBytes(value: number): Uint8Array {
  const content = new Uint8Array(8);
  new DataView(content.buffer).setBigUint64(0, BigInt(value));
  return content;
}

function latin1(content: Uint8Array): string {
  return Buffer.from(content).toString('latin1');
}
