// The memory of the keys: blocks cut from chunks, so that millions of keys are a few hundred objects
// for the garbage collector and a block's number (its handle) is 32 bits. A chunk holds blocks of one
// size; one that has become empty is given back whole, unless it is the last of its size with room, so
// that a key that comes and goes does not make and drop a chunk each time.
//
// handle = chunk number * 2^17 + offset in the chunk / 16. Chunk 0 is never used: no handle is 0.

/** Blocks start on multiples of this. */
const UNIT_BYTES = 16;
const UNITS_PER_CHUNK_BITS = 17;
const UNITS_PER_CHUNK = 2 ** UNITS_PER_CHUNK_BITS;
const UNIT_MASK = UNITS_PER_CHUNK - 1;
/** The most that the 17 bits reach. */
const CHUNK_BYTES_MAX = UNITS_PER_CHUNK * UNIT_BYTES;
/** A size's first chunk; each further one doubles, up to the most. */
const CHUNK_BYTES_MIN = 64 * 1024;
const CHUNK_BLOCKS_MIN = 4;
const CHUNKS_MAX = 2 ** (32 - UNITS_PER_CHUNK_BITS);

// Sizes: every 16 bytes up to 1 KiB (classes 1 to 64), then eight to a doubling up to 256 KiB
// (classes 65 to 128), which wastes an eighth at most. A larger block is a chunk of its own (class 0).
const FINE_BYTES_MAX = 1024;
const CLASSED_BYTES_MAX = 256 * 1024;
const CLASS_COUNT = 129;

class Chunk {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** Blocks in use. */
  live = 0;
  /** Blocks that were handed out at least once; those after them are untouched. */
  touched = 0;
  /** Offset in units plus one of the first block given back, whose first word has the next; 0: none. */
  freeHead = 0;
  /** Place among the chunks of its class that have room; -1 where it is full. */
  roomAt = -1;

  constructor(
    readonly sizeClass: number,
    readonly blockBytes: number,
    readonly blocks: number,
  ) {
    const buffer = new ArrayBuffer(blockBytes * blocks);
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
  }
}

export class Arena {
  private readonly chunks: (Chunk | undefined)[] = [undefined];
  /** Numbers of chunks that were given back. */
  private readonly vacant: number[] = [];
  /** By class: the numbers of its chunks with room, and how many chunks it has. */
  private readonly withRoom: number[][] = Array.from({ length: CLASS_COUNT }, () => []);
  private readonly chunkCounts = new Uint32Array(CLASS_COUNT);

  /** Whether any block can still be allocated. */
  get hasRoom(): boolean {
    return this.vacant.length > 0 || this.chunks.length < CHUNKS_MAX;
  }

  /** A block of at least `bytes`, its content undefined. */
  allocate(bytes: number): number {
    const sizeClass = sizeClassOf(bytes);
    const room = this.withRoom[sizeClass] as number[];
    const number = room.at(-1) ?? this.addChunk(sizeClass, blockBytesFor(bytes));
    const chunk = this.chunks[number] as Chunk;
    let unit: number;
    if (chunk.freeHead !== 0) {
      unit = chunk.freeHead - 1;
      chunk.freeHead = chunk.words[unit * 4] as number;
    } else {
      unit = (chunk.touched * chunk.blockBytes) / UNIT_BYTES;
      chunk.touched++;
    }
    chunk.live++;
    if (chunk.live === chunk.blocks) this.leaveRoom(chunk);
    return number * UNITS_PER_CHUNK + unit;
  }

  /** Gives a block back. */
  free(handle: number): void {
    const number = handle >>> UNITS_PER_CHUNK_BITS;
    const chunk = this.chunks[number] as Chunk;
    const unit = handle & UNIT_MASK;
    chunk.words[unit * 4] = chunk.freeHead;
    chunk.freeHead = unit + 1;
    chunk.live--;
    if (chunk.roomAt < 0) this.enterRoom(chunk, number);
    const room = this.withRoom[chunk.sizeClass] as number[];
    if (chunk.live === 0 && (chunk.sizeClass === 0 || room.length > 1)) {
      this.leaveRoom(chunk);
      this.chunks[number] = undefined;
      this.vacant.push(number);
      this.chunkCounts[chunk.sizeClass] = (this.chunkCounts[chunk.sizeClass] as number) - 1;
    }
  }

  /** Bytes of a block. */
  blockBytes(handle: number): number {
    return (this.chunks[handle >>> UNITS_PER_CHUNK_BITS] as Chunk).blockBytes;
  }

  /** The bytes that the block is part of, from `byteAt(handle)` on. */
  bytes(handle: number): Uint8Array {
    return (this.chunks[handle >>> UNITS_PER_CHUNK_BITS] as Chunk).bytes;
  }

  /** The same memory as 32-bit words, from `wordAt(handle)` on. */
  words(handle: number): Uint32Array {
    return (this.chunks[handle >>> UNITS_PER_CHUNK_BITS] as Chunk).words;
  }

  private addChunk(sizeClass: number, blockBytes: number): number {
    const number = this.vacant.pop() ?? this.chunks.length;
    if (number >= CHUNKS_MAX) throw new Error('The arena has no chunk left; lower --memory-max.');
    const count = this.chunkCounts[sizeClass] as number;
    const wanted = Math.max(
      CHUNK_BYTES_MIN * 2 ** Math.min(count, 5),
      CHUNK_BLOCKS_MIN * blockBytes,
    );
    const blocks = sizeClass === 0 ? 1 : Math.floor(Math.min(wanted, CHUNK_BYTES_MAX) / blockBytes);
    const chunk = new Chunk(sizeClass, blockBytes, blocks);
    this.chunks[number] = chunk;
    this.chunkCounts[sizeClass] = count + 1;
    this.enterRoom(chunk, number);
    return number;
  }

  private enterRoom(chunk: Chunk, number: number): void {
    const room = this.withRoom[chunk.sizeClass] as number[];
    chunk.roomAt = room.length;
    room.push(number);
  }

  private leaveRoom(chunk: Chunk): void {
    if (chunk.roomAt < 0) return;
    const room = this.withRoom[chunk.sizeClass] as number[];
    const last = room.pop() as number;
    if (chunk.roomAt < room.length) {
      room[chunk.roomAt] = last;
      (this.chunks[last] as Chunk).roomAt = chunk.roomAt;
    }
    chunk.roomAt = -1;
  }
}

/** Where a block starts in `bytes(handle)`. */
export function byteAt(handle: number): number {
  return (handle & UNIT_MASK) * UNIT_BYTES;
}

/** Where a block starts in `words(handle)`. */
export function wordAt(handle: number): number {
  return (handle & UNIT_MASK) * (UNIT_BYTES / 4);
}

/** Bytes of the block that `bytes` are given. */
export function blockBytesFor(bytes: number): number {
  const step = stepOf(bytes);
  return Math.ceil(bytes / step) * step;
}

function sizeClassOf(bytes: number): number {
  if (bytes > CLASSED_BYTES_MAX) return 0;
  if (bytes <= FINE_BYTES_MAX) return Math.ceil(bytes / UNIT_BYTES);
  const step = stepOf(bytes);
  const doublings = Math.log2(step) - 7;
  return 64 + doublings * 8 + (Math.ceil(bytes / step) - 8);
}

/** Blocks near `bytes` differ by this. */
function stepOf(bytes: number): number {
  if (bytes <= FINE_BYTES_MAX || bytes > CLASSED_BYTES_MAX) return UNIT_BYTES;
  return 2 ** (28 - Math.clz32(bytes - 1));
}
