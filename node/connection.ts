// What a worker keeps of one connection, and how connections show in the log.

import type { Logger } from 'pino';
import type { Backlog } from './backlog.js';
import type { Timer } from './clock.js';
import type { Outgoing } from './links/forwarder.js';
import { type Connection, isProtocolViolation } from './transport/transport.js';
import type { WatchedPeer } from './watch/watch.js';

export type Peer = Connection<ConnectionState>;
/** Hands a reply to so many operations to a peer. */
export type Send = (peer: Peer, reply: Uint8Array, operations: number) => void;

export class ConnectionState {
  /** Whether the hello was accepted: nothing else is taken before. */
  isGreeted = false;
  /** Name and version of the client library, as it said at hello. */
  client = '';
  /** Runs until the hello is accepted or the connection ends. */
  helloTimer: Timer | undefined;
  /** Operations answered while the peer left replies unread; 0 once it has taken them all. */
  outstanding = 0;
  /** Operations answered by replies that wait for the log. */
  held = 0;
  /** Bytes of those replies. */
  heldBytes = 0;
  /** Frames that are not answered in full, in order; undefined where there are none. */
  backlog: Backlog | undefined;
  /** Frames are being answered with OVERLOADED; so that it is logged once and not for each. */
  isOverloaded = false;
  /** The session that it speaks for, also when that has ended; 0: none. */
  session = 0;
  /** What stands for the secret of that session. */
  sessionDigest: Uint8Array | undefined;
  /** It has sent nothing since it resumed its session, so that it may not know that it has. */
  isUnheard = false;
  /** 1: its socket is at another worker, which forwards its frames; see `links/link-peer.ts`. */
  forwarded = 0;
  /** Its channels to other workers; undefined where nothing was forwarded yet. */
  outgoing: Outgoing | undefined;
  /** Version of the routing table that it was told. */
  routingVersion = 0;
  /** Its watches, and what they are owed; undefined where it never had one. */
  watching: WatchedPeer | undefined;

  constructor(
    /** The Authorization header of the upgrade request. */
    readonly authorization: string | undefined,
  ) {}
}

/** The fields that name a connection in every log line about it. */
export function describe(peer: Peer): {
  connection: number;
  remoteAddress: string;
  client: string;
} {
  return { connection: peer.id, remoteAddress: peer.remoteAddress, client: peer.data.client };
}

/** One line for a connection that the node did not refuse itself: that one has its line already. */
export function logClose(logger: Logger, peer: Peer, code: number, reason: string): void {
  const fields = { closeCode: code, ...describe(peer) };
  if (isProtocolViolation(code)) {
    const what = code === 1009 ? 'a message far above the frame limit' : reason;
    logger.warn({ event: 'connection_cut', reason, ...fields }, `connection cut: ${what}`);
  } else if (code === 1006) {
    logger.info({ event: 'connection_lost', ...fields }, 'connection lost without a close frame');
  } else {
    logger.debug({ event: 'connection_closed', ...fields }, 'connection closed');
  }
}
