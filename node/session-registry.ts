// Which connection speaks for which session, and which sessions this process has heard since their beginning, or
// since their client learned that it resumed them here: of those the engine remembers every answer that the
// client may still ask for. A client has learned that when it sends something; a welcome may be lost. The
// sessions themselves are the engine's.

import type { Peer } from './connection.js';

export class SessionRegistry {
  private readonly peers = new Map<number, Peer>();
  private readonly heard = new Set<number>();

  /** Sessions that have a connection. */
  get connected(): number {
    return this.peers.size;
  }

  /** The connection of a session, if there is one. */
  peerOf(session: number): Peer | undefined {
    return this.peers.get(session);
  }

  /** Whether the session was made in this process, or has spoken to it since it was resumed. */
  hasHeard(session: number): boolean {
    return this.heard.has(session);
  }

  /** The connection has spoken, or was given a new session. */
  hear(peer: Peer): void {
    const { session } = peer.data;
    peer.data.isUnheard = false;
    if (this.peers.get(session) === peer) this.heard.add(session);
  }

  /** From here on the session's answers go to this connection, which has no other session. */
  bind(peer: Peer, session: number, digest: Uint8Array): void {
    peer.data.session = session;
    peer.data.sessionDigest = digest;
    peer.data.isUnheard = !this.heard.has(session);
    this.peers.set(session, peer);
  }

  /** The connection is gone; its session lives on, unless another connection has it already. */
  unbind(peer: Peer): void {
    const { session } = peer.data;
    if (this.peers.get(session) === peer) this.peers.delete(session);
  }

  /** The session has ended. Returns the connection that it had. */
  end(session: number): Peer | undefined {
    const peer = this.peers.get(session);
    this.peers.delete(session);
    this.heard.delete(session);
    return peer;
  }
}
