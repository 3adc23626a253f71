// A ring of variable-length messages in shared memory, from one thread to one other: one writer, one reader,
// no locks. A message has two 32-bit numbers, a double and bytes; its bytes are contiguous, so the reader
// reads them in place.
//
// Memory: control words, each side's on cache lines of its own so that neither takes the other's away, then
// `capacity` bytes of messages, a power of two. Positions are bytes since the ring was made, modulo 2^32, multiples
// of 8; the place of a position is its low bits. A message, little-endian:
//
//    0  i32 bytes; -1: nothing from here to the end of the memory, the message begins at its start
//    4  u32 head0     8  f64 head2     16  u32 head1     20  u32 zero     24  the bytes, zeros to 8
//
// MEMORY ORDER. Messages are written and read by plain access; the positions, by Atomics, order them:
// - The writer stores `written` behind a batch of messages, the reader loads it before it reads them. Without
//   the pair the reader could see the new position and old bytes: the compiler and the processor may move plain
//   stores past each other.
// - The reader stores `read` behind the last access to what it gives back, the writer loads it before it writes
//   there. Without it the writer could overwrite a message whose bytes are still being loaded.
// - `starved`: a writer without room sets it and looks at `read` once more; the reader stores `read` and then looks
//   at `starved`. All four are sequentially consistent, so one of the two sees the other (Dekker). With weaker
//   order both could miss it, and the writer would wait for a word that never comes.
// Each side keeps what it has last seen of the other's position, so that a message costs no Atomics at all while
// there is room, or something to read.
//
// What a writer has not published when it dies stands behind `written`: nobody sees it, and the next writer,
// which begins there, writes over it.

/** Bytes before the messages. Two cache lines apart: processors fetch them in pairs. */
export const RING_CONTROL_BYTES = 384;
/** Bytes of a message before its own. */
export const RING_HEAD_BYTES = 24;

// Indices of the control words.
export const RING_WRITTEN = 0;
export const RING_READ = 32;
const RING_STARVED = 64;

const PADDING = -1;
/** Bytes from which the engine's own copy is faster than a loop, from where it lies aligned or askew. */
const BULK_BYTES_MIN = 80;
const BULK_ASKEW_BYTES_MIN = 192;
/** Bytes that are moved straight at a time. */
const STRAIGHTEN_BYTES = 16 * 1024;

/** The views of a ring; throws where its memory is none. */
class RingMemory {
  readonly control: Int32Array;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;
  readonly capacity: number;

  constructor(buffer: SharedArrayBuffer) {
    const capacity = buffer.byteLength - RING_CONTROL_BYTES;
    if (capacity < 256 || (capacity & (capacity - 1)) !== 0 || capacity > 2 ** 30) {
      throw new RangeError(`a ring cannot have ${buffer.byteLength} bytes`);
    }
    this.capacity = capacity;
    this.control = new Int32Array(buffer, 0, RING_CONTROL_BYTES / 4);
    this.words = new Int32Array(buffer, RING_CONTROL_BYTES);
    this.doubles = new Float64Array(buffer, RING_CONTROL_BYTES);
    this.bytes = new Uint8Array(buffer, RING_CONTROL_BYTES);
  }
}

export class RingWriter {
  /** Bytes of a message at most. A quarter of the ring, so that one is read while the next is written. */
  readonly messageBytesMax: number;
  private readonly control: Int32Array;
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly bytes: Uint8Array;
  private readonly capacity: number;
  private readonly mask: number;
  /** Behind the last message written. */
  private position: number;
  /** Behind the last message that the reader can see. */
  private published: number;
  /** The reader's position as last seen. */
  private read: number;
  private readonly straight = new Uint8Array(STRAIGHTEN_BYTES);

  constructor(buffer: SharedArrayBuffer) {
    const { control, words, doubles, bytes, capacity } = new RingMemory(buffer);
    this.control = control;
    this.words = words;
    this.doubles = doubles;
    this.bytes = bytes;
    this.capacity = capacity;
    this.mask = capacity - 1;
    this.messageBytesMax = capacity / 4 - RING_HEAD_BYTES;
    this.position = Atomics.load(control, RING_WRITTEN);
    this.published = this.position;
    this.read = Atomics.load(control, RING_READ);
  }

  /**
   * Writes a message with `bytes` from `start` to `end`; it is seen after `publish`. False: there is no room,
   * nothing was written, and what was is published; the reader's `onRoom` comes when there is some.
   */
  tryWrite(
    head0: number,
    head1: number,
    head2: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const length = end - start;
    if (length > this.messageBytesMax) {
      throw new RangeError(`a message of ${length} bytes; ${this.messageBytesMax} fit`);
    }
    const taken = (RING_HEAD_BYTES + length + 7) & ~7;
    let at = this.position & this.mask;
    const left = this.capacity - at;
    const padding = taken > left ? left : 0;
    const limit = this.capacity - taken - padding;
    if (((this.position - this.read) | 0) > limit && !this.findRoom(limit)) return false;
    const { words } = this;
    if (padding > 0) {
      words[at >> 2] = PADDING;
      at = 0;
    }
    const word = at >> 2;
    words[word] = length;
    words[word + 1] = head0;
    this.doubles[(at + 8) >> 3] = head2;
    words[word + 4] = head1;
    words[word + 5] = 0;
    if (length > 0) this.copy(at + RING_HEAD_BYTES, bytes, start, end);
    this.position = (this.position + padding + taken) | 0;
    return true;
  }

  /** Shows the reader all that was written. One store, so that a batch costs what a message does. */
  publish(): void {
    if (this.position === this.published) return;
    this.published = this.position;
    Atomics.store(this.control, RING_WRITTEN, this.position);
  }

  /** Whether the reader has given anything back since `tryWrite` found no room: to be asked before waiting for it. */
  hasMoreRoom(): boolean {
    return Atomics.load(this.control, RING_READ) !== this.read;
  }

  private findRoom(limit: number): boolean {
    this.read = Atomics.load(this.control, RING_READ);
    if (((this.position - this.read) | 0) <= limit) return true;
    // The reader gives back only what it can see.
    this.publish();
    Atomics.store(this.control, RING_STARVED, 1);
    this.read = Atomics.load(this.control, RING_READ);
    return ((this.position - this.read) | 0) <= limit;
  }

  /** `set` into shared memory takes words where both sides are aligned alike, and else single bytes. */
  private copy(at: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const isAskew = ((bytes.byteOffset + start) & 7) !== 0;
    if (length < (isAskew ? BULK_ASKEW_BYTES_MIN : BULK_BYTES_MIN)) {
      this.copyWords(at, bytes, start, end);
    } else if (isAskew) {
      for (let done = 0; done < length; done += STRAIGHTEN_BYTES) {
        const part = bytes.subarray(start + done, Math.min(start + done + STRAIGHTEN_BYTES, end));
        this.straight.set(part);
        this.bytes.set(this.straight.subarray(0, part.length), at + done);
      }
    } else {
      const isWhole = start === 0 && end === bytes.length;
      this.bytes.set(isWhole ? bytes : bytes.subarray(start, end), at);
    }
  }

  private copyWords(at: number, bytes: Uint8Array, start: number, end: number): void {
    const { words } = this;
    let word = at >> 2;
    let from = start;
    for (; from + 4 <= end; from += 4) {
      words[word++] =
        bytes[from]! |
        (bytes[from + 1]! << 8) |
        (bytes[from + 2]! << 16) |
        (bytes[from + 3]! << 24);
    }
    for (let to = word << 2; from < end; ) this.bytes[to++] = bytes[from++]!;
  }
}

export class RingReader {
  // Of the current message, as the writer gave them.
  head0 = 0;
  head1 = 0;
  head2 = 0;
  /** The ring's memory; the message has it from `start` to `end` until `release`. `start` is a multiple of 8. */
  readonly bytes: Uint8Array;
  start = 0;
  end = 0;
  private readonly control: Int32Array;
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly capacity: number;
  private readonly mask: number;
  /** Bytes that are given back at once: the writer's cache line is taken away that much less often. */
  private readonly releaseBytes: number;
  /** Behind the current message. */
  private position: number;
  /** Behind the last message that was released, and behind the last that the writer knows of. */
  private released: number;
  private givenBack: number;
  /** The writer's position as last seen. */
  private written: number;

  /** `onRoom`: there is room again after the writer was told that there is none; wake it. */
  constructor(
    buffer: SharedArrayBuffer,
    private readonly onRoom: () => void = () => {},
  ) {
    const { control, words, doubles, bytes, capacity } = new RingMemory(buffer);
    this.control = control;
    this.words = words;
    this.doubles = doubles;
    this.bytes = bytes;
    this.capacity = capacity;
    this.mask = capacity - 1;
    this.releaseBytes = capacity / 8;
    this.position = Atomics.load(control, RING_READ);
    this.released = this.position;
    this.givenBack = this.position;
    this.written = Atomics.load(control, RING_WRITTEN);
  }

  /** Whether there is a message behind the current one. */
  hasNext(): boolean {
    if (this.position !== this.written) return true;
    this.written = Atomics.load(this.control, RING_WRITTEN);
    return this.position !== this.written;
  }

  /** Goes on to the next message. False: there is none, and all that was released is given back. */
  next(): boolean {
    if (this.position === this.written && !this.hasNext()) {
      if (this.released !== this.givenBack) this.giveBack();
      return false;
    }
    const { words } = this;
    let at = this.position & this.mask;
    let length = words[at >> 2]!;
    if (length === PADDING) {
      this.position = (this.position + this.capacity - at) | 0;
      at = 0;
      length = words[0]!;
    }
    const word = at >> 2;
    this.head0 = words[word + 1]! >>> 0;
    this.head1 = words[word + 4]! >>> 0;
    this.head2 = this.doubles[(at + 8) >> 3]!;
    this.start = at + RING_HEAD_BYTES;
    this.end = this.start + length;
    this.position = (this.position + ((RING_HEAD_BYTES + length + 7) & ~7)) | 0;
    return true;
  }

  /** Gives back all messages up to and with the current one, some time later where they are few. */
  release(): void {
    this.released = this.position;
    if (((this.released - this.givenBack) | 0) >= this.releaseBytes) this.giveBack();
  }

  /** Passes over all messages: a new incarnation of the reader is not meant by what is there. */
  skipAll(): void {
    this.written = Atomics.load(this.control, RING_WRITTEN);
    this.position = this.written;
    this.released = this.position;
    this.giveBack();
  }

  private giveBack(): void {
    this.givenBack = this.released;
    Atomics.store(this.control, RING_READ, this.released);
    if (Atomics.load(this.control, RING_STARVED) === 0) return;
    Atomics.store(this.control, RING_STARVED, 0);
    this.onRoom();
  }
}
