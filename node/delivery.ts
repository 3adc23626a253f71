// How frames reach a peer and how it is refused: every byte that leaves is counted here, and what a peer
// leaves unread is bounded here.

import type { Logger } from 'pino';
import {
  FLAG_ENTRY,
  HEADER_BYTES,
  RESULT_BYTES,
  RESULT_FLAGS,
  SLOT_RESULTS,
  VECTOR_LENGTH_AT,
  VTABLE_AT,
} from '../ts/wire/layout.js';
import { CLOSE_CODE_BASE, Status, statusName } from '../ts/wire/status.js';
import type { Settings } from './config/settings.js';
import { describe, type Peer, type Send } from './connection.js';
import type { Counters } from './counters.js';
import { closeReason } from './refusal.js';
import type { SendOutcome } from './transport/transport.js';

/** What happens to a session in the course of things is nothing wrong. */
const ORDINARY: readonly Status[] = [Status.SessionUnknown, Status.SessionMoved];

export type Refuse = (peer: Peer, status: Status) => void;

export class Delivery {
  constructor(
    private readonly settings: Settings,
    private readonly frameBytesMax: number,
    private readonly counters: Counters,
    private readonly logger: Logger,
  ) {}

  /** Hands a frame to the transport. */
  readonly send: Send = (peer, frame, operations) => {
    const sent = peer.send(frame);
    // What goes to another worker leaves there, and is counted there.
    if (sent !== 'dropped') this.counters.sentBytes += peer.data.forwarded === 0 ? frame.length : 0;
    if (sent !== 'sent') this.await(peer, sent, operations);
  };

  /** Hands a frame that another worker has made to the transport. */
  readonly relay = (peer: Peer, frame: Uint8Array): void => {
    const sent = peer.send(frame);
    if (sent !== 'dropped') this.counters.sentBytes += frame.length;
    if (sent !== 'sent') this.await(peer, sent, operationsIn(frame));
  };

  /** Closes with `CLOSE_CODE_BASE + status`, and one line for the operator. */
  readonly refuse: Refuse = (peer, status) => {
    const reason = this.reasonOf(status);
    const name = statusName(status);
    this.counters.refused[status] = (this.counters.refused[status] ?? 0) + 1;
    const fields = { event: 'connection_refused', status: name, reason, ...describe(peer) };
    const level = ORDINARY.includes(status) ? 'info' : 'warn';
    this.logger[level](fields, `connection refused: ${name}`);
    peer.close(CLOSE_CODE_BASE + status, reason);
  };

  /** The same where the client has asked for it: nothing is refused. */
  readonly dismiss: Refuse = (peer, status) => {
    peer.close(CLOSE_CODE_BASE + status, this.reasonOf(status));
  };

  private reasonOf(status: Status): string {
    const { sendBufferBytesMax, helloDeadlineMs } = this.settings;
    const { frameBytesMax } = this;
    return closeReason(status, { frameBytesMax, sendBufferBytesMax, helloDeadlineMs });
  }

  /** A reply waits for the peer to read: counts its operations and bounds its bytes. */
  private await(peer: Peer, sent: SendOutcome, operations: number): void {
    if (!peer.isOpen) return;
    peer.data.outstanding += operations;
    // A reply that a transport drops can't be made good: the connection must not go on without it.
    if (sent === 'dropped' || peer.bufferedBytes > this.settings.sendBufferBytesMax) {
      this.refuse(peer, Status.SlowReader);
    }
  }
}

/** How many operations a frame of an engine or of watches answers. */
function operationsIn(frame: Uint8Array): number {
  if (frame[VTABLE_AT + SLOT_RESULTS] === 0) return 0;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const end = HEADER_BYTES + view.getUint32(VECTOR_LENGTH_AT, true) * RESULT_BYTES;
  let operations = 0;
  for (let at = HEADER_BYTES; at < end; at += RESULT_BYTES) {
    if (((frame[at + RESULT_FLAGS] as number) & FLAG_ENTRY) === 0) operations++;
  }
  return operations;
}
