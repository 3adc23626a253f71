// What is left of a frame whose answers fill more than one reply, and the frames that came behind it.
// Such a frame goes on in later turns of the event loop, one reply a turn, so that it neither keeps
// other connections waiting nor outruns a peer that does read. Frames that come before the welcome has
// left, or before the session of a channel is known here, wait here as well.

import { Status } from '../ts/wire/status.js';
import type { Clock } from './clock.js';
import type { Peer } from './connection.js';
import { SEND_PAUSE_BYTES } from './limits.js';

/** In place of the operation to go on with: the frame is done. Not 0, with which a frame may have to begin again. */
export const FRAME_DONE = -1;

export class Backlog {
  /** A turn of it is on its way. */
  isScheduled = false;
  /** The operation to go on with in the first frame. */
  next = 0;
  private readonly frames: ArrayBuffer[] = [];
  private bytes = 0;

  constructor(
    /** Nothing is executed: the peer has not been sent its welcome, or its session is not known. */
    public isBlocked: boolean,
  ) {}

  /** The frame to go on with; undefined when all are done. */
  get frame(): ArrayBuffer | undefined {
    return this.frames[0];
  }

  /** Queues a copy of a frame, as the transport takes it back. Returns the bytes that wait. */
  push(frame: ArrayBuffer): number {
    this.frames.push(frame.slice(0));
    this.bytes += frame.byteLength;
    return this.bytes;
  }

  /** All frames, which are not kept any more. */
  takeAll(): ArrayBuffer[] {
    this.bytes = 0;
    return this.frames.splice(0);
  }

  /** The first frame goes on with operation `next`, or is FRAME_DONE. */
  goOn(next: number): void {
    this.next = Math.max(next, 0);
    if (next === FRAME_DONE) this.bytes -= this.frames.shift()?.byteLength ?? 0;
  }
}

export interface BacklogOptions {
  readonly clock: Clock;
  /** Bytes of frames that may wait of one connection. */
  readonly bytesMax: number;
  /** False: frames of this peer are not executed any more. */
  readonly isExecuting: (peer: Peer) => boolean;
  /** Executes up to one reply. Returns the operation to go on with, or FRAME_DONE. */
  readonly execute: (peer: Peer, frame: ArrayBuffer, first: number) => number;
  readonly refuse: (peer: Peer, status: Status) => void;
}

/** Gives the backlogs of a worker's connections their turns. */
export class Backlogs {
  constructor(private readonly options: BacklogOptions) {}

  /** Keeps the rest of a frame for later turns. */
  postpone(peer: Peer, frame: ArrayBuffer, next: number): void {
    if (!peer.isOpen) return;
    const backlog = new Backlog(false);
    backlog.push(frame);
    backlog.next = next;
    peer.data.backlog = backlog;
    this.schedule(peer);
  }

  /** Keeps a frame that came behind an unfinished one. */
  defer(peer: Peer, backlog: Backlog, frame: ArrayBuffer): void {
    if (backlog.push(frame) > this.options.bytesMax) this.options.refuse(peer, Status.SlowReader);
  }

  /** Keeps all frames of a peer until `unblock`. */
  block(peer: Peer): void {
    peer.data.backlog = new Backlog(true);
  }

  unblock(peer: Peer): void {
    const { backlog } = peer.data;
    if (backlog === undefined) return;
    backlog.isBlocked = false;
    if (backlog.frame === undefined) peer.data.backlog = undefined;
    else this.schedule(peer);
  }

  /** Gives up all frames of a peer that `block` has kept. */
  drop(peer: Peer, each: (frame: Uint8Array) => void): void {
    const { backlog } = peer.data;
    peer.data.backlog = undefined;
    for (const frame of backlog?.takeAll() ?? []) each(new Uint8Array(frame));
  }

  /** Has a peer's backlog, if there is one, go on in a later turn. */
  schedule(peer: Peer): void {
    const { backlog } = peer.data;
    if (backlog === undefined || backlog.isScheduled) return;
    backlog.isScheduled = true;
    this.options.clock.soon(() => {
      backlog.isScheduled = false;
      // Asked in a turn of its own: within a message's, bytes that are about to leave still count.
      if (!mustPause(peer)) this.resume(peer);
    });
  }

  /** One more reply of what a peer is owed. */
  private resume(peer: Peer): void {
    const { backlog } = peer.data;
    if (backlog?.frame === undefined || backlog.isBlocked) return;
    if (!peer.isOpen || !this.options.isExecuting(peer)) return;
    backlog.goOn(this.options.execute(peer, backlog.frame, backlog.next));
    if (backlog.frame === undefined) peer.data.backlog = undefined;
    else this.schedule(peer);
  }
}

/** Whether a peer has so much to read, or to be sent once the log has it, that its next reply waits. */
export function mustPause({ bufferedBytes, data }: Peer): boolean {
  return bufferedBytes + data.heldBytes > SEND_PAUSE_BYTES;
}
