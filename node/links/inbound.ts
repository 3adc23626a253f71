// The other direction of a link: takes messages out of the ring of one worker and joins those that came in parts.

import type { RingReader } from '../../ts/shared/ring.js';
import { NOTHING } from './links.js';
import { kindOf, PART_BYTES, PART_HEAD, partOf } from './outbound.js';

/** A message of which parts have come. */
interface Partial {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  bytes: Uint8Array;
}

export class Inbound {
  // The message that `take` has read.
  kind = 0;
  a = 0;
  b = 0;
  /** Valid until the next call of `next`. */
  bytes: Uint8Array = NOTHING;
  private partial: Partial | undefined;

  constructor(private readonly ring: RingReader) {
    // What is left from before was for an earlier incarnation of this worker.
    ring.skipAll();
  }

  get hasMore(): boolean {
    return this.ring.hasNext();
  }

  /** Forgets the parts of a message whose rest will not come. */
  clear(): void {
    this.partial = undefined;
  }

  /** Goes on to the next message of the ring, and gives back the room of the one before. Its head; -1: none. */
  next(): number {
    const { ring } = this;
    ring.release();
    return ring.next() ? ring.head0 : -1;
  }

  /** Reads what `next` has found. False: it is a part of a message that is not whole yet. */
  take(): boolean {
    const { ring } = this;
    const { head0, bytes, start, end } = ring;
    const part = partOf(head0);
    if (part === PART_HEAD) {
      this.partial = { kind: kindOf(head0), a: ring.head1, b: ring.head2, bytes: NOTHING };
      return false;
    }
    if (part === PART_BYTES) return this.join(bytes.subarray(start, end), ring.head1, ring.head2);
    this.kind = kindOf(head0);
    this.a = ring.head1;
    this.b = ring.head2;
    this.bytes = start === end ? NOTHING : bytes.subarray(start, end);
    return true;
  }

  private join(part: Uint8Array, length: number, start: number): boolean {
    const { partial } = this;
    if (partial === undefined) return false;
    if (start === 0) partial.bytes = new Uint8Array(length);
    partial.bytes.set(part, start);
    if (start + part.length < length) return false;
    this.kind = partial.kind;
    this.a = partial.a;
    this.b = partial.b;
    this.bytes = partial.bytes;
    this.partial = undefined;
    return true;
  }
}
