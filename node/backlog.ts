// What is left of a frame whose answers fill more than one reply, and the frames that came behind it.
// Such a frame goes on in later turns of the event loop, one reply a turn, so that it neither keeps
// other connections waiting nor outruns a peer that does read.

import type { Peer } from './connection.js';
import { SEND_PAUSE_BYTES } from './limits.js';

export class Backlog {
  /** A `resume` is on its way. */
  isScheduled = false;
  private readonly frames: ArrayBuffer[] = [];
  private bytes = 0;

  /** Takes a copy of `frame`, as the transport takes it back; `next` is the operation to go on with. */
  constructor(
    frame: ArrayBuffer,
    public next: number,
  ) {
    this.push(frame);
  }

  /** The frame to go on with; undefined when all are done. */
  get frame(): ArrayBuffer | undefined {
    return this.frames[0];
  }

  /** Queues a copy of a frame. Returns the bytes that wait. */
  push(frame: ArrayBuffer): number {
    this.frames.push(frame.slice(0));
    this.bytes += frame.byteLength;
    return this.bytes;
  }

  /** The first frame goes on with operation `next`; 0: it is done. */
  goOn(next: number): void {
    this.next = next;
    if (next === 0) this.bytes -= this.frames.shift()?.byteLength ?? 0;
  }
}

/** Whether a peer has so much to read, or to be sent once the log has it, that its next reply waits. */
export function mustPause({ bufferedBytes, data }: Peer): boolean {
  return bufferedBytes + data.heldBytes > SEND_PAUSE_BYTES;
}
