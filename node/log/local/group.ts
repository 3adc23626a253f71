// Whole appends that become one batch: room for its header, then the records. Buffers are kept and used
// again, so that appending allocates nothing in the long run.

import { copyBytes } from '../../../ts/wire/bytes.js';
import { BATCH_HEADER_BYTES } from './format.js';

/** Bytes that a new buffer has. */
const GROUP_BYTES_MIN = 64 * 1024;
/** Buffers kept for later groups: one is written while the next one fills. */
const FREE_GROUPS_MAX = 2;

export class Group {
  bytes = new Uint8Array(GROUP_BYTES_MIN);
  view = new DataView(this.bytes.buffer);
  /** With the header. */
  length = BATCH_HEADER_BYTES;
  records = 0;
  /** Of the newest record. Milliseconds since 1970. */
  time = 0;
  /** Number of the newest append. */
  lastAppend = 0;

  get bodyBytes(): number {
    return this.length - BATCH_HEADER_BYTES;
  }

  append(records: Uint8Array, length: number): void {
    if (this.length + length > this.bytes.length) this.grow(this.length + length);
    copyBytes(this.bytes, this.length, records, 0, length);
    this.length += length;
  }

  clear(): void {
    this.length = BATCH_HEADER_BYTES;
    this.records = 0;
  }

  private grow(length: number): void {
    const bytes = new Uint8Array(Math.max(length, this.bytes.length * 2));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
}

/** The groups on their way to the disk, in order of their appends. */
export class GroupQueue {
  private filling = new Group();
  private readonly full: Group[] = [];
  private readonly free: Group[] = [];

  constructor(private readonly bytesMax: number) {}

  get isEmpty(): boolean {
    return this.filling.records === 0 && this.full.length === 0;
  }

  /** `count` records, the last one of `time`, as the append `number`. */
  append(records: Uint8Array, length: number, count: number, time: number, number: number): void {
    if (this.filling.records > 0 && this.filling.bodyBytes + length > this.bytesMax) {
      this.full.push(this.filling);
      this.filling = this.free.pop() ?? new Group();
    }
    this.filling.append(records, length);
    this.filling.records += count;
    this.filling.time = time;
    this.filling.lastAppend = number;
  }

  take(): Group | undefined {
    const full = this.full.shift();
    if (full !== undefined) return full;
    if (this.filling.records === 0) return undefined;
    const group = this.filling;
    this.filling = this.free.pop() ?? new Group();
    return group;
  }

  /** Keeps the buffer of a group that was written, unless an unusual append made it large. */
  reuse(group: Group): void {
    if (this.free.length === FREE_GROUPS_MAX || group.bytes.length > this.bytesMax * 2) return;
    group.clear();
    this.free.push(group);
  }
}
