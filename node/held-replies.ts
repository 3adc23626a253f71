// Replies that wait until what they show is durable, by the append that they wait for. Kept in a ring of
// one slot an append, since appends become durable in order: holding and releasing cost the same
// however many wait. Their bytes are copied to pieces of memory that are used again and again. What else
// must not be seen before, such as that a session has ended, waits in line with them as an action.

import type { Peer, Send } from './connection.js';
import { HELD_CHUNK_BYTES } from './limits.js';

interface Chunk {
  readonly bytes: Uint8Array<ArrayBuffer>;
  used: number;
  /** Replies in it that still wait. */
  waiting: number;
}

interface HeldReply {
  /** Undefined: an action that concerns none. */
  readonly peer: Peer | undefined;
  readonly bytes: Uint8Array;
  /** Operations that it answers. */
  readonly operations: number;
  readonly chunk: Chunk | undefined;
  /** In place of sending. */
  readonly action: (() => void) | undefined;
  next: HeldReply | undefined;
}

interface Slot {
  first: HeldReply | undefined;
  last: HeldReply | undefined;
}

const NO_BYTES = new Uint8Array(0);

/** Slots at the start; a power of two. */
const SLOTS = 1024;

export class HeldReplies {
  /** Bytes of the replies that wait. */
  bytes = 0;
  /** Replies that wait. */
  count = 0;
  private slots = newSlots(SLOTS);
  /** Replies to this append and all before have left. */
  private released = 0;
  private newest = 0;
  private chunk = newChunk();
  private readonly spare: Chunk[] = [];

  /** Keeps a copy of a reply until `append` is released. */
  hold(append: number, peer: Peer, reply: Uint8Array, operations: number): void {
    const { bytes, chunk } = this.copy(reply);
    this.enqueue(append, { peer, bytes, operations, chunk, action: undefined, next: undefined });
  }

  /** Keeps an action, which may concern a peer as an answer to so many operations, until `append` is released. */
  holdAction(append: number, peer: Peer | undefined, operations: number, action: () => void): void {
    const held = { peer, bytes: NO_BYTES, operations, chunk: undefined, action, next: undefined };
    this.enqueue(append, held);
  }

  private enqueue(append: number, held: HeldReply): void {
    if (append > this.newest) this.newest = append;
    while (this.newest - this.released > this.slots.length) this.grow();
    const { peer, bytes, operations } = held;
    const slot = this.slots[append & (this.slots.length - 1)] as Slot;
    if (slot.last === undefined) slot.first = held;
    else slot.last.next = held;
    slot.last = held;
    this.bytes += bytes.length;
    this.count++;
    if (peer === undefined) return;
    peer.data.held += operations;
    peer.data.heldBytes += bytes.length;
  }

  /** Hands out the replies, and does the actions, that waited for appends up to `durable`, in the order of those. */
  release(durable: number, send: Send): void {
    if (this.count === 0) {
      this.released = Math.max(this.released, durable);
      return;
    }
    while (this.released < durable) {
      this.released++;
      const slot = this.slots[this.released & (this.slots.length - 1)] as Slot;
      let held = slot.first;
      slot.first = undefined;
      slot.last = undefined;
      for (; held !== undefined; held = held.next) {
        const { peer, bytes, operations, chunk, action } = held;
        this.bytes -= bytes.length;
        this.count--;
        if (peer !== undefined) {
          peer.data.held -= operations;
          peer.data.heldBytes -= bytes.length;
        }
        if (action !== undefined) action();
        else if (peer !== undefined) send(peer, bytes, operations);
        if (chunk !== undefined) this.free(chunk);
      }
    }
  }

  private copy(reply: Uint8Array): { bytes: Uint8Array; chunk: Chunk | undefined } {
    const { length } = reply;
    if (length > HELD_CHUNK_BYTES / 4) return { bytes: reply.slice(), chunk: undefined };
    if (this.chunk.used + length > HELD_CHUNK_BYTES) {
      const full = this.chunk;
      this.chunk = this.spare.pop() ?? newChunk();
      if (full.waiting === 0) this.recycle(full);
    }
    const { chunk } = this;
    const bytes = chunk.bytes.subarray(chunk.used, chunk.used + length);
    bytes.set(reply);
    chunk.used += length;
    chunk.waiting++;
    return { bytes, chunk };
  }

  private free(chunk: Chunk): void {
    chunk.waiting--;
    if (chunk.waiting > 0) return;
    if (chunk === this.chunk) chunk.used = 0;
    else this.recycle(chunk);
  }

  private recycle(chunk: Chunk): void {
    chunk.used = 0;
    if (this.spare.length < 8) this.spare.push(chunk);
  }

  private grow(): void {
    const grown = newSlots(this.slots.length * 2);
    for (let append = this.released + 1; append <= this.released + this.slots.length; append++) {
      const slot = this.slots[append & (this.slots.length - 1)] as Slot;
      grown[append & (grown.length - 1)] = slot;
    }
    this.slots = grown;
  }
}

function newSlots(length: number): Slot[] {
  return Array.from({ length }, () => ({ first: undefined, last: undefined }));
}

function newChunk(): Chunk {
  return { bytes: new Uint8Array(HELD_CHUNK_BYTES), used: 0, waiting: 0 };
}
