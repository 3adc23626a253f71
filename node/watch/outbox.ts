// What goes out to peers with watches: answers first, then events, gathered to one push frame a peer. A frame
// goes out only where the peer has room for it, so that no push makes a connection a slow reader's.

import { EVENT_BYTES } from '../../ts/wire/layout.js';
import { PUSH_FRAME_BYTES, PushWriter } from '../../ts/wire/push.js';
import { ReplyWriter } from '../../ts/wire/reply.js';
import type { Send } from '../connection.js';
import {
  SEND_PAUSE_BYTES,
  WATCH_FRAME_BYTES,
  WATCH_QUEUED_BYTES_MAX,
  WATCH_SEND_BUFFER_SHARE,
  WATCH_UNREAD_BYTES_MAX,
} from '../limits.js';
import type { WatchEvent } from './events.js';
import { type Watch, type WatchedPeer, WatchState } from './watch.js';

/** Answers in one reply frame. */
const ANSWERS_PER_FRAME = 512;
/** Numbers that an answer takes in `WatchedPeer.answers`. */
const ANSWER_FIELDS = 3;
const REPLY_BYTES = 64 + ANSWERS_PER_FRAME * 32;

export class Outbox {
  /** Bytes that peers with watches have not read, and that are coalesced for them. */
  queuedBytes = 0;
  private readonly pending: WatchedPeer[] = [];
  private readonly reply = new Uint8Array(REPLY_BYTES);
  private readonly replies = new ReplyWriter(this.reply);
  private readonly pushes = new PushWriter();
  /** The events of the frame that was written last. */
  private written: WatchEvent[] = [];
  /** Unread bytes above which live events are not sent, and above which nothing is made to be sent. */
  private readonly unreadMax: number;
  private readonly pauseMax: number;
  private readonly frameMax: number;
  /** Unread bytes that no push may go beyond. */
  private readonly bufferMax: number;

  constructor(
    private readonly send: Send,
    sendBufferBytesMax: number,
    /** Takes a live event that its peer has no room for. */
    private readonly onOverflow: (watch: Watch, event: WatchEvent) => void,
  ) {
    const share = sendBufferBytesMax / WATCH_SEND_BUFFER_SHARE;
    this.unreadMax = Math.min(WATCH_UNREAD_BYTES_MAX, share);
    this.pauseMax = Math.min(SEND_PAUSE_BYTES, share);
    this.frameMax = Math.min(WATCH_FRAME_BYTES, share);
    this.bufferMax = sendBufferBytesMax - share;
  }

  answer(owner: WatchedPeer, id: number, status: number, revision: number): void {
    owner.answers.push(id, status, revision);
    this.note(owner);
  }

  /** `isLive`: the overflow policy of the watch has it where the peer has no room. Others ask `isReady` first. */
  push(watch: Watch, event: WatchEvent, isLive: boolean): void {
    const { owner } = watch;
    const told = watch.view(event);
    if (owner.events.length > 0 && owner.pendingBytes + told.size > this.frameMax) {
      this.flush(owner, isLive);
      // What there was no room for may have been of this watch: this event must not come before it.
      if (isLive && watch.state !== WatchState.Live) {
        this.onOverflow(watch, told);
        return;
      }
    }
    owner.events.push(told);
    owner.receivers.push(watch);
    owner.pendingBytes += told.size;
    this.note(owner);
  }

  /** Whether a peer reads so well that more can be made for it: history, a snapshot, what was held back. */
  isReady(owner: WatchedPeer, bytes: number): boolean {
    // What is pending goes out first: then only what the peer has not read stands against more, and reading
    // it is what brings a peer back that had no room.
    if (owner.pendingBytes > 0 && owner.pendingBytes + bytes > this.frameMax) {
      this.flush(owner, false);
    }
    const { peer, pendingBytes } = owner;
    if (peer.bufferedBytes === 0) return true;
    return this.hasRoom(peer.bufferedBytes + pendingBytes, bytes, this.pauseMax);
  }

  /** Sends all that is pending. */
  flushAll(isLive: boolean): void {
    const { pending } = this;
    for (let at = 0; at < pending.length; at++) {
      const owner = pending[at] as WatchedPeer;
      owner.isPending = false;
      this.flush(owner, isLive);
    }
    pending.length = 0;
    // Lets go of the records' bytes.
    this.written = [];
  }

  /** Sends one event that concerns all watches of a peer. */
  pushToAll(owner: WatchedPeer, event: WatchEvent): void {
    this.pushes.begin(1, 0);
    this.pushes.event(0, event);
    this.written = [];
    this.hand(owner, this.pushes.finish(), 0);
  }

  /** Counts what the peer has not read. */
  look(owner: WatchedPeer): void {
    const { bufferedBytes } = owner.peer;
    this.queuedBytes += bufferedBytes - owner.unreadBytes;
    owner.unreadBytes = bufferedBytes;
  }

  /** The connection is gone, and all that was for it. */
  forget(owner: WatchedPeer): void {
    this.queuedBytes -= owner.unreadBytes;
    owner.unreadBytes = 0;
    owner.answers.length = 0;
    this.clear(owner);
  }

  private note(owner: WatchedPeer): void {
    if (owner.isPending) return;
    owner.isPending = true;
    this.pending.push(owner);
  }

  private hasRoom(unread: number, bytes: number, unreadMax: number): boolean {
    if (unread === 0) return true;
    if (this.queuedBytes > WATCH_QUEUED_BYTES_MAX) return false;
    return unread <= unreadMax && unread + bytes <= this.bufferMax;
  }

  private flush(owner: WatchedPeer, isLive: boolean): void {
    if (owner.answers.length > 0) this.sendAnswers(owner);
    const { events, receivers, pendingBytes, peer } = owner;
    if (events.length === 0) return;
    const bytes = pendingBytes + PUSH_FRAME_BYTES;
    if (isLive && !this.hasRoom(peer.bufferedBytes, bytes, this.unreadMax)) {
      this.clear(owner);
      for (let at = 0; at < events.length; at++) {
        this.onOverflow(receivers[at] as Watch, events[at] as WatchEvent);
      }
      return;
    }
    const frame = this.write(events, receivers, pendingBytes);
    this.clear(owner);
    this.hand(owner, frame, 0);
  }

  private clear(owner: WatchedPeer): void {
    if (owner.events.length === 0) return;
    owner.events = [];
    owner.receivers = [];
    owner.pendingBytes = 0;
  }

  private sendAnswers(owner: WatchedPeer): void {
    const answers = owner.answers.splice(0);
    const each = ANSWERS_PER_FRAME * ANSWER_FIELDS;
    for (let start = 0; start < answers.length; start += each) {
      const end = Math.min(answers.length, start + each);
      const count = (end - start) / ANSWER_FIELDS;
      this.replies.begin(count);
      for (let at = start; at < end; at += ANSWER_FIELDS) {
        const [id, status, revision] = answers.slice(at, at + ANSWER_FIELDS) as [
          number,
          number,
          number,
        ];
        this.replies.result(id, status, revision, 0);
      }
      this.hand(owner, this.reply.subarray(0, this.replies.finish()), count);
    }
  }

  /** What goes to many peers is written once: only the ids differ. */
  private write(
    events: WatchEvent[],
    receivers: readonly Watch[],
    bytes: number,
  ): Uint8Array<ArrayBuffer> {
    const { pushes, written } = this;
    const isWritten =
      events.length === written.length && events.every((event, at) => event === written[at]);
    if (isWritten) {
      for (let at = 0; at < events.length; at++) pushes.readdress(at, (receivers[at] as Watch).id);
    } else {
      pushes.begin(events.length, bytes - events.length * EVENT_BYTES);
      for (let at = 0; at < events.length; at++) {
        pushes.event((receivers[at] as Watch).id, events[at] as WatchEvent);
      }
      this.written = events;
    }
    return pushes.finish();
  }

  private hand(owner: WatchedPeer, frame: Uint8Array, operations: number): void {
    const { peer } = owner;
    if (!peer.isOpen) return;
    this.send(peer, frame, operations);
    if (peer.isOpen) this.look(owner);
  }
}
