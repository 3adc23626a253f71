// A connection whose socket is at another worker: here it is a connection like any other, at the end of a
// channel. What it is sent goes over the link; bytes count as unread when they are more than the window that may
// be under way, until the socket's side has told that it took them.

import type { ConnectionState } from '../connection.js';
import { CHANNEL_WINDOW_BYTES } from '../limits.js';
import type { Connection, SendOutcome } from '../transport/transport.js';
import type { Links } from './links.js';
import { MessageKind } from './messages.js';

/** Ids of these connections: above all that a transport gives. */
export const LINK_PEER_ID_FIRST = 2 ** 40;

export interface LinkPeerHandler {
  onDrain(peer: LinkPeer): void;
  onClose(peer: LinkPeer, code: number, reason: string): void;
}

export class LinkPeer implements Connection<ConnectionState> {
  isOpen = true;
  /** Sent, and not known to be taken by the socket. */
  private underWay = 0;
  private isBuffering = false;

  constructor(
    readonly id: number,
    readonly data: ConnectionState,
    /** The worker that has the socket, and the connection's id there. */
    readonly worker: number,
    readonly channel: number,
    private readonly links: Links,
    private readonly handler: LinkPeerHandler,
  ) {}

  get remoteAddress(): string {
    return `connection ${this.channel} of worker ${this.worker}`;
  }

  get bufferedBytes(): number {
    return this.isOpen ? Math.max(0, this.underWay - CHANNEL_WINDOW_BYTES) : 0;
  }

  send(bytes: Uint8Array): SendOutcome {
    const { worker, channel, links } = this;
    if (!this.isOpen || !links.send(worker, MessageKind.Data, channel, 0, bytes)) return 'dropped';
    this.underWay += bytes.length;
    if (this.underWay <= CHANNEL_WINDOW_BYTES) return 'sent';
    this.isBuffering = true;
    return 'buffered';
  }

  /** What is sent in one turn goes together anyway. */
  cork(action: () => void): void {
    action();
  }

  /** Closes the connection at its socket too, with this code and reason, behind what was sent. */
  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.links.send(this.worker, MessageKind.Close, this.channel, code, Buffer.from(reason));
    this.end(code, reason);
  }

  /** The socket has taken so many bytes more. */
  credit(bytes: number): void {
    this.underWay -= bytes;
    if (!this.isOpen || !this.isBuffering || this.underWay > CHANNEL_WINDOW_BYTES) return;
    this.isBuffering = false;
    this.handler.onDrain(this);
  }

  /** The socket is gone, or the link to it. */
  end(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.handler.onClose(this, code, reason);
  }
}
