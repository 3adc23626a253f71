// Which connection speaks for which session, and which sessions this process has seen from their beginning or
// from a resume on: of those the engine remembers every answer that a client may still ask for. The sessions
// themselves are the engine's.

import type { Peer } from './connection.js';

export class SessionRegistry {
  private readonly peers = new Map<number, Peer>();
  private readonly seen = new Set<number>();

  /** Sessions that have a connection. */
  get connected(): number {
    return this.peers.size;
  }

  /** The connection of a session, if there is one. */
  peerOf(session: number): Peer | undefined {
    return this.peers.get(session);
  }

  /** Whether the session was made or resumed in this process before. */
  hasSeen(session: number): boolean {
    return this.seen.has(session);
  }

  /** From here on the session's answers go to this connection, which has no other session. */
  bind(peer: Peer, session: number, digest: Uint8Array): void {
    peer.data.session = session;
    peer.data.sessionDigest = digest;
    this.peers.set(session, peer);
    this.seen.add(session);
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
    this.seen.delete(session);
    return peer;
  }
}
