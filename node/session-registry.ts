// Which connections of this worker speak for which session, and which sessions it has heard since their beginning,
// or since their client learned that it resumed them here: of those every answer that the client may still ask for
// is remembered, as long as no worker has died. A client has learned that when it sends something; a welcome may be
// lost. The sessions themselves are the engine's.
//
// A session has connections of one group: a direct one to each worker, where each further one takes the place of the
// one before, and channels, which carry direct ones of other workers on to this one. What is answered later goes to
// the connection that was bound last: its client knows an answer by its id, whichever way it comes.

import { INTEGER_LIMIT, WORKERS_MAX } from '../ts/wire/limits.js';
import type { Peer } from './connection.js';

/** How a connection speaks for its session. */
export interface Binding {
  readonly session: number;
  /** What stands for the session's secret. */
  readonly digest: Uint8Array;
  /** Never 0: see `groupOf`. */
  readonly group: number;
  /** It is a direct one of another worker, carried on to this one. */
  readonly isChannel: boolean;
}

interface Bound extends Binding {
  readonly peer: Peer;
  /** `lives` when it was bound: as of then its client knows what is remembered. */
  readonly lives: number;
}

/**
 * The group of a connection: what its hello says, and where that is 0 one of its own, from INTEGER_LIMIT on, where
 * no client may draw. Doubles hold each exactly.
 */
export function groupOf(helloGroup: number, worker: number, connection: number): number {
  return helloGroup > 0 ? helloGroup : INTEGER_LIMIT + 2 * (connection * WORKERS_MAX + worker);
}

export class SessionRegistry {
  /** Connections by session, none of them empty, in the order in which they were bound. */
  private readonly bound = new Map<number, Bound[]>();
  /** Sessions that were heard, and `lives` as of when their client knew. */
  private readonly heard = new Map<number, number>();

  constructor(
    /** Changes with every worker that dies, and with it the answers that it remembered. */
    private readonly lives: () => number = () => 0,
  ) {}

  /** Sessions that have a connection. */
  get connected(): number {
    return this.bound.size;
  }

  /** Those sessions. */
  sessions(): Iterable<number> {
    return this.bound.keys();
  }

  /** The connection that gets the session's answers, if there is one. */
  peerOf(session: number): Peer | undefined {
    return this.bound.get(session)?.at(-1)?.peer;
  }

  /** How a connection speaks for its session; undefined where it does not, or not any more. */
  bindingOf(peer: Peer): Binding | undefined {
    return this.boundOf(peer);
  }

  /** Connections that lose the session to one of this group; `isDirect`: one that is not a channel. */
  displacedBy(session: number, group: number, isDirect: boolean): Peer[] {
    const bound = this.bound.get(session) ?? [];
    return bound
      .filter((one) => one.group !== group || (isDirect && !one.isChannel))
      .map(({ peer }) => peer);
  }

  /** Whether every answer to what the session asked for over this worker's own connections is remembered. */
  hasHeard(session: number): boolean {
    return this.heard.get(session) === this.lives();
  }

  /** The connection, no channel, has spoken, or was given a new session. */
  hear(peer: Peer): void {
    const bound = this.boundOf(peer);
    peer.data.isUnheard = false;
    if (bound !== undefined) this.heard.set(bound.session, bound.lives);
  }

  /** From here on the session's answers go to this connection, which has no other session. */
  bind(peer: Peer, binding: Binding): void {
    const { session, digest, isChannel } = binding;
    peer.data.session = session;
    peer.data.sessionDigest = digest;
    // What comes through a channel does not say what a direct connection's client has learned.
    peer.data.isUnheard = !isChannel && !this.hasHeard(session);
    const bound = { ...binding, peer, lives: this.lives() };
    const others = this.bound.get(session);
    if (others === undefined) this.bound.set(session, [bound]);
    else others.push(bound);
  }

  /** The connection is gone; its session lives on. */
  unbind(peer: Peer): void {
    const { session } = peer.data;
    const left = this.bound.get(session)?.filter((one) => one.peer !== peer);
    if (left === undefined) return;
    if (left.length === 0) this.bound.delete(session);
    else this.bound.set(session, left);
  }

  /** The session has ended. Returns the connections that it had. */
  end(session: number): Peer[] {
    const bound = this.bound.get(session) ?? [];
    this.bound.delete(session);
    this.heard.delete(session);
    return bound.map(({ peer }) => peer);
  }

  private boundOf(peer: Peer): Bound | undefined {
    return this.bound.get(peer.data.session)?.find((one) => one.peer === peer);
  }
}
