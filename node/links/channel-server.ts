// The serving side of channels: the connections of other workers whose operations are of this one's partitions.
// Each is a `LinkPeer`; a frame of it is executed in the turn in which it comes, like one from a socket.

import { Status } from '../../ts/wire/status.js';
import type { Backlogs } from '../backlog.js';
import type { Clock } from '../clock.js';
import { ConnectionState } from '../connection.js';
import type { Refuse } from '../delivery.js';
import { FORWARDS_DEADLINE_MS } from '../limits.js';
import type { SessionHomes } from '../session-homes.js';
import type { SessionRegistry } from '../session-registry.js';
import { decodeOpen } from './channel-open.js';
import { FrameBuffers } from './frame-buffers.js';
import { LINK_PEER_ID_FIRST, LinkPeer, type LinkPeerHandler } from './link-peer.js';
import type { Links } from './links.js';
import { MessageKind } from './messages.js';

/** The close code of a channel whose socket's side has ended (RFC 6455: normal). */
const CLOSE_ENDED = 1000;
/** Milliseconds between two looks whether all that a worker forwarded is answered. */
const SETTLE_LOOK_MS = 1;

/** What a channel is opened with to speak for a session. */
interface SessionOpen {
  readonly session: number;
  readonly digest: Uint8Array;
  readonly group: number;
}

export interface ChannelServerOptions {
  readonly links: Links;
  readonly clock: Clock;
  readonly backlogs: Backlogs;
  readonly refuse: Refuse;
  /** Executes a frame, which is valid during the call. */
  readonly serve: (peer: LinkPeer, frame: ArrayBuffer) => void;
  /** Answers all operations of a frame with a status. */
  readonly answerAll: (peer: LinkPeer, frame: Uint8Array, status: Status) => void;
  readonly registry: SessionRegistry;
  readonly homes: SessionHomes;
  readonly onDrain: (peer: LinkPeer) => void;
  readonly onClose: (peer: LinkPeer, code: number, reason: string) => void;
}

export class ChannelServer implements LinkPeerHandler {
  /** By worker, then by channel. */
  private readonly peers: Map<number, LinkPeer>[];
  private readonly frames = new FrameBuffers();
  /** Channels whose session is not known here yet, as its home was not there. */
  private readonly unattached = new Map<LinkPeer, SessionOpen>();
  private lastId = LINK_PEER_ID_FIRST;

  constructor(private readonly options: ChannelServerOptions) {
    this.peers = Array.from({ length: options.links.workers }, () => new Map());
  }

  /** Channels that are open. */
  get count(): number {
    return this.peers.reduce((sum, { size }) => sum + size, 0);
  }

  onOpen(worker: number, channel: number, session: number, bytes: Uint8Array): void {
    const { links } = this.options;
    const open = decodeOpen(session, bytes);
    const state = new ConnectionState(undefined);
    state.isGreeted = true;
    state.forwarded = 1;
    state.client = open.client;
    const peer = new LinkPeer(++this.lastId, state, worker, channel, links, this);
    this.ofWorker(worker).set(channel, peer);
    const { digest, group } = open;
    if (digest !== undefined) this.attach(peer, { session, digest, group });
  }

  /** Frames wait until the session is known here. Where its home is not there they are answered, and others try again. */
  private attach(peer: LinkPeer, open: SessionOpen): void {
    const { backlogs, registry, homes, refuse, answerAll } = this.options;
    const { session, digest, group } = open;
    backlogs.block(peer);
    homes.attach(session, digest, group, (status) => {
      if (!peer.isOpen) return;
      if (status === Status.Unavailable) {
        this.unattached.set(peer, open);
        backlogs.drop(peer, (frame) => answerAll(peer, frame, status));
        return;
      }
      if (status !== Status.Ok) {
        refuse(peer, status);
        return;
      }
      registry.bind(peer, { session, digest, group, isChannel: true });
      backlogs.unblock(peer);
    });
  }

  onFrame(worker: number, channel: number, bytes: Uint8Array): void {
    const peer = this.ofWorker(worker).get(channel);
    // One that was closed here: its socket's side does not know yet.
    if (peer === undefined) return;
    const open = this.unattached.get(peer);
    if (open !== undefined) {
      this.unattached.delete(peer);
      this.attach(peer, open);
    }
    const frame = this.frames.copyWhole(bytes);
    if (this.unattached.has(peer)) this.options.answerAll(peer, frame, Status.Unavailable);
    else this.options.serve(peer, frame.buffer);
  }

  onCredit(worker: number, channel: number, bytes: number): void {
    this.ofWorker(worker).get(channel)?.credit(bytes);
  }

  /** The connection is gone at its socket. */
  onGone(worker: number, channel: number): void {
    this.ofWorker(worker).get(channel)?.end(CLOSE_ENDED, '');
  }

  onDown(worker: number): void {
    for (const peer of [...this.ofWorker(worker).values()]) peer.end(CLOSE_ENDED, '');
  }

  /** Answers behind all replies to what the worker has forwarded. */
  onSettle(worker: number, request: number): void {
    const { links, clock } = this.options;
    const deadline = clock.monotonic() + FORWARDS_DEADLINE_MS;
    const look = () => {
      if (this.hasUnanswered(worker) && clock.monotonic() < deadline) {
        clock.after(SETTLE_LOOK_MS, look);
      } else {
        links.send(worker, MessageKind.Settled, request, 0);
      }
    };
    look();
  }

  /** Ends all channels here; their sockets hear it from the end of the link. */
  close(): void {
    for (const worker of this.peers.keys()) this.onDown(worker);
  }

  onDrain(peer: LinkPeer): void {
    this.options.onDrain(peer);
  }

  onClose(peer: LinkPeer, code: number, reason: string): void {
    this.ofWorker(peer.worker).delete(peer.channel);
    this.unattached.delete(peer);
    this.options.onClose(peer, code, reason);
  }

  private hasUnanswered(worker: number): boolean {
    for (const { data } of this.ofWorker(worker).values()) {
      if (data.held > 0 || data.backlog !== undefined) return true;
    }
    return false;
  }

  private ofWorker(worker: number): Map<number, LinkPeer> {
    return this.peers[worker] as Map<number, LinkPeer>;
  }
}
