// One direction of a link: what goes into the ring to one worker. A message that the ring takes whole is one
// message of the ring; a larger one goes in parts behind a head that says what it is. What has no room waits here,
// in order.
//
// Each message of the ring bears the incarnation of both workers, so that what was meant for an earlier one, or is
// left of one, is told apart. Head 0, from the low bits on: 8 kind, 2 part, 11 epoch of the sender, 11 of the
// receiver. Heads 1 and 2 are `a` and `b`; in a part the bytes of the whole message and where the part begins.

import type { RingWriter } from '../../ts/shared/ring.js';

/** A message in one piece. */
export const PART_NONE = 0;
/** What a message in parts is; without bytes. */
export const PART_HEAD = 1;
export const PART_BYTES = 2;

const EPOCH_MASK = 0x7ff;

export function kindOf(head: number): number {
  return head & 0xff;
}

export function partOf(head: number): number {
  return (head >>> 8) & 3;
}

/** Whether a message is from this incarnation of its sender to this one of its receiver. */
export function isBetween(head: number, senderEpoch: number, receiverEpoch: number): boolean {
  return head >>> 10 === stampOf(senderEpoch, receiverEpoch) >>> 10;
}

function stampOf(senderEpoch: number, receiverEpoch: number): number {
  return (((receiverEpoch & EPOCH_MASK) << 21) | ((senderEpoch & EPOCH_MASK) << 10)) >>> 0;
}

/** A message without room. */
interface Waiting {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly bytes: Uint8Array;
  /** Whether its head is written, and how many of its bytes. */
  isBegun: boolean;
  written: number;
}

export class Outbound {
  /** Bytes written that the receiver does not see yet; each message counts as a few more. */
  unpublishedBytes = 0;
  waitingBytes = 0;
  private readonly waiting: Waiting[] = [];
  private stamp = 0;

  constructor(private readonly ring: RingWriter) {}

  get isWaiting(): boolean {
    return this.waiting.length > 0;
  }

  /** Whether there is room for what waits, though the last attempt found none. */
  get hasRoom(): boolean {
    return this.isWaiting && this.ring.hasMoreRoom();
  }

  /** What is sent from here on is between these incarnations. */
  begin(senderEpoch: number, receiverEpoch: number): void {
    this.clear();
    this.stamp = stampOf(senderEpoch, receiverEpoch);
  }

  /** Forgets what waits. */
  clear(): void {
    this.waiting.length = 0;
    this.waitingBytes = 0;
  }

  send(kind: number, a: number, b: number, bytes: Uint8Array): void {
    const { length } = bytes;
    const isWhole = this.waiting.length === 0 && length <= this.ring.messageBytesMax;
    if (isWhole && this.write(kind | (PART_NONE << 8), a, b, bytes, 0, length)) return;
    this.waiting.push({ kind, a, b, bytes: bytes.slice(), isBegun: false, written: 0 });
    this.waitingBytes += length;
    this.pump();
  }

  /** Writes what waits, as far as there is room. Whether something was written. */
  pump(): boolean {
    let done = 0;
    let hasWritten = false;
    for (const message of this.waiting) {
      const before = message.written;
      const isDone = this.writeOn(message);
      this.waitingBytes -= message.written - before;
      hasWritten ||= isDone || message.written > before;
      if (!isDone) break;
      done++;
    }
    if (done > 0) this.waiting.splice(0, done);
    return hasWritten;
  }

  /** Makes visible what was written. False: there was nothing. A ring without room has done so by itself. */
  publish(): boolean {
    if (this.unpublishedBytes === 0) return false;
    this.unpublishedBytes = 0;
    this.ring.publish();
    return true;
  }

  /** Goes on with a message that waits. False: there is no room for the rest. */
  private writeOn(message: Waiting): boolean {
    const { kind, a, b, bytes } = message;
    const { length } = bytes;
    const { messageBytesMax } = this.ring;
    if (length <= messageBytesMax) {
      if (!this.write(kind | (PART_NONE << 8), a, b, bytes, 0, length)) return false;
      message.written = length;
      return true;
    }
    if (!message.isBegun) {
      if (!this.write(kind | (PART_HEAD << 8), a, b, bytes, 0, 0)) return false;
      message.isBegun = true;
    }
    while (message.written < length) {
      const start = message.written;
      const end = Math.min(length, start + messageBytesMax);
      if (!this.write(kind | (PART_BYTES << 8), length, start, bytes, start, end)) return false;
      message.written = end;
    }
    return true;
  }

  private write(
    head: number,
    a: number,
    b: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (!this.ring.tryWrite((this.stamp | head) >>> 0, a, b, bytes, start, end)) return false;
    this.unpublishedBytes += MESSAGE_OVERHEAD_BYTES + end - start;
    return true;
  }
}

/** What a message counts beside its bytes, so that one without any counts too. */
const MESSAGE_OVERHEAD_BYTES = 24;
