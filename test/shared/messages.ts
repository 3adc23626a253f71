// Messages that both ends of a ring can make from a seed: what comes is compared with what must have been sent.

import type { RingReader, RingWriter } from '../../ts/shared/ring.js';
import { Random } from '../parity/random.js';

/** Tries before a thread lets others have its core. */
const SPINS_MAX = 2_000;
const idle = new Int32Array(new SharedArrayBuffer(4));

/** Calls until it is true, first in a tight loop, then with rests of a millisecond. */
export function until(isDone: () => boolean): void {
  for (let spins = 0; !isDone(); spins++) if (spins >= SPINS_MAX) Atomics.wait(idle, 0, 0, 1);
}

/** A message after the other, from a seed. */
export class Messages {
  readonly bytes: Uint8Array;
  index = -1;
  start = 0;
  end = 0;
  head1 = 0;
  head2 = 0;
  private readonly random: Random;

  /** Most are small; one in eight has any length up to `bytesMax`. */
  constructor(
    seed: number,
    private readonly bytesMax: number,
  ) {
    this.random = new Random(seed);
    this.bytes = new Uint8Array(bytesMax + 8);
  }

  next(): this {
    const { random, bytes } = this;
    this.index++;
    const most = random.oneIn(8) ? this.bytesMax : Math.min(this.bytesMax, 96);
    const length = random.oneIn(16) ? most : random.below(most + 1);
    this.start = random.below(8);
    this.end = this.start + length;
    this.head1 = random.u32();
    this.head2 = this.head1 / 3;
    for (let at = this.start; at < this.end; at++) bytes[at] = at * 7 + this.index;
    return this;
  }

  isWritten(writer: RingWriter): boolean {
    const { index, head1, head2, bytes, start, end } = this;
    return writer.tryWrite(index, head1, head2, bytes, start, end);
  }

  /** What is wrong with the message that the reader has come to; undefined: nothing. */
  faultOf(reader: RingReader): string | undefined {
    const { index, head1, head2, bytes, start, end } = this;
    if (reader.head0 !== index) return `message ${reader.head0} came in place of ${index}`;
    const isHead = reader.head1 === head1 && reader.head2 === head2;
    if (!isHead || reader.end - reader.start !== end - start) return `head of message ${index}`;
    if (reader.start % 8 !== 0) return `message ${index} is not aligned`;
    for (let at = start; at < end; at++) {
      if (reader.bytes[reader.start + at - start] !== bytes[at]) return `byte ${at} of ${index}`;
    }
    return undefined;
  }
}
