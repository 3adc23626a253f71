// The socket's side of channels: sends on what a frame has for other workers, hands their replies and pushes to
// the socket, and tells the client what was lost when a worker is gone, and that the routing table has changed.
// An operation whose worker cannot be reached was not carried out, and is answered so.

import { type Engine, OUTCOME_FORWARD_BYTES } from '../../ts/engine/engine.js';
import { FORWARD_HEAD_BYTES } from '../../ts/engine/workers.js';
import { EventKind, type EventSource, PushWriter } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import type { Clock } from '../clock.js';
import type { Peer, Send } from '../connection.js';
import type { Counters } from '../counters.js';
import { type Fabric, routingBytesOf } from '../fabric.js';
import { CHANNEL_CREDIT_BYTES, FORWARDS_DEADLINE_MS, LINK_WAITING_BYTES_MAX } from '../limits.js';
import type { SessionRegistry } from '../session-registry.js';
import { encodeOpen } from './channel-open.js';
import { NOTHING } from './links.js';
import { MessageKind } from './messages.js';

/** The channels of one connection, by worker. */
export class Outgoing {
  readonly isOpen: boolean[];
  /** Bytes handed to the socket of which the worker was not told that it took them. */
  readonly uncredited: number[];
  /** Frames of other workers that leave at the end of the turn. */
  pending: Uint8Array[] = [];

  constructor(
    readonly peer: Peer,
    workers: number,
  ) {
    this.isOpen = new Array<boolean>(workers).fill(false);
    this.uncredited = new Array<number>(workers).fill(0);
  }
}

export interface ForwarderOptions {
  readonly fabric: Fabric;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly registry: SessionRegistry;
  readonly send: Send;
  /** Hands a frame of another worker to a peer. */
  readonly relay: (peer: Peer, frame: Uint8Array) => void;
  /** Answers all operations of a request frame with a status. */
  readonly answerAll: (peer: Peer, frame: Uint8Array, status: Status) => void;
}

/** What a stop waits for of the other workers. */
interface Settling {
  readonly workers: Set<number>;
  readonly resolve: () => void;
}

export class Forwarder {
  /** Connections with channels, by id. */
  private readonly connections = new Map<number, Outgoing>();
  private readonly forwards: DataView;
  /** Connections with frames that leave at the end of the turn. */
  private readonly pending: Outgoing[] = [];
  private readonly pushes = new PushWriter();
  /** The push of the routing table, and its version. */
  private routingPush = NOTHING;
  private routingPushVersion = -1;
  private settling: Settling | undefined;

  constructor(private readonly options: ForwarderOptions) {
    const { buffer, byteOffset, byteLength } = options.engine.forwards;
    this.forwards = new DataView(buffer, byteOffset, byteLength);
  }

  /** Sends on what the engine's last call has left to other workers: to be called before the next. */
  forward(peer: Peer): void {
    const { engine } = this.options;
    const end = engine.outcome[OUTCOME_FORWARD_BYTES] as number;
    this.correct(peer);
    for (let at = 0; at < end && peer.isOpen; at += this.forwards.getUint32(at, true)) {
      const worker = this.forwards.getUint32(at + 4, true);
      const operations = this.forwards.getUint32(at + 8, true);
      const bytes = this.forwards.getUint32(at + 12, true);
      const start = at + FORWARD_HEAD_BYTES;
      this.sendOn(peer, worker, operations, engine.forwards.subarray(start, start + bytes));
    }
  }

  onData(worker: number, channel: number, bytes: Uint8Array): void {
    const outgoing = this.connections.get(channel);
    if (outgoing === undefined || !outgoing.isOpen[worker]) return;
    const { uncredited, pending } = outgoing;
    uncredited[worker] = (uncredited[worker] as number) + bytes.length;
    pending.push(bytes.slice());
    if (pending.length > 1) return;
    if (this.pending.push(outgoing) === 1) queueMicrotask(this.flush);
  }

  /** The other side has closed the channel, and with it the connection. */
  onClosed(worker: number, channel: number, code: number, reason: Uint8Array): void {
    this.flush();
    const outgoing = this.connections.get(channel);
    if (outgoing === undefined || !outgoing.isOpen[worker]) return;
    outgoing.isOpen[worker] = false;
    outgoing.peer.close(code, Buffer.from(reason.slice()).toString());
  }

  /** A peer has taken all that it was sent. */
  onDrain({ data: { outgoing } }: Peer): void {
    if (outgoing === undefined) return;
    for (const worker of outgoing.isOpen.keys()) this.credit(outgoing, worker);
  }

  /** A connection is gone. */
  onClose({ id, data: { outgoing } }: Peer): void {
    if (outgoing === undefined) return;
    this.connections.delete(id);
    for (const [worker, isOpen] of outgoing.isOpen.entries()) {
      if (isOpen) this.options.fabric.links.send(worker, MessageKind.Close, id, 0);
    }
  }

  /** What the worker has not answered it will not answer: the clients hear so. */
  onDown(worker: number): void {
    const { fabric, send } = this.options;
    this.flush();
    this.onSettled(worker);
    const partition = Math.max(0, fabric.routing.owners.indexOf(worker));
    for (const outgoing of [...this.connections.values()]) {
      if (!outgoing.isOpen[worker]) continue;
      outgoing.isOpen[worker] = false;
      outgoing.uncredited[worker] = 0;
      send(outgoing.peer, this.push(EventKind.WorkerLost, partition, NOTHING), 0);
    }
  }

  /**
   * Waits until the other workers have answered all that was forwarded to them, or a deadline: then what is open
   * counts as lost. What they have forwarded to this one has come by then.
   */
  async settle(): Promise<void> {
    const { fabric, clock } = this.options;
    const workers = new Set<number>();
    for (let worker = 0; worker < fabric.workers; worker++) {
      if (fabric.links.send(worker, MessageKind.Settle, 0, 0)) workers.add(worker);
    }
    if (workers.size === 0) return;
    await new Promise<void>((resolve) => {
      const deadline = clock.after(FORWARDS_DEADLINE_MS, resolve);
      this.settling = {
        workers,
        resolve: () => {
          deadline.cancel();
          resolve();
        },
      };
    });
    this.settling = undefined;
    for (const worker of workers) this.onDown(worker);
  }

  onSettled(worker: number): void {
    const { settling } = this;
    if (settling?.workers.delete(worker) && settling.workers.size === 0) settling.resolve();
  }

  /** Hands what came in this turn to the sockets, what is for one in one piece: a packet each would cost more. */
  private readonly flush = (): void => {
    for (const outgoing of this.pending.splice(0)) {
      const { peer } = outgoing;
      const frames = outgoing.pending;
      outgoing.pending = [];
      peer.cork(() => {
        for (const frame of frames) this.options.relay(peer, frame);
      });
      if (peer.isOpen && peer.bufferedBytes === 0) this.onDrain(peer);
    }
  };

  private sendOn(peer: Peer, worker: number, operations: number, frame: Uint8Array): void {
    const { fabric, counters, answerAll } = this.options;
    const { links, routing } = fabric;
    if (!routing.isServing(worker)) {
      this.answerUnavailable(peer, operations, frame);
    } else if (links.waitingBytes(worker) > LINK_WAITING_BYTES_MAX) {
      answerAll(peer, frame, Status.Overloaded);
    } else if (
      this.open(peer, worker) &&
      links.send(worker, MessageKind.Frame, peer.id, 0, frame)
    ) {
      counters.forwardedFrames++;
      counters.forwardedOperations += operations;
    } else {
      this.answerUnavailable(peer, operations, frame);
    }
  }

  /** Nothing of the frame went to its worker, and nothing will. */
  private answerUnavailable(peer: Peer, operations: number, frame: Uint8Array): void {
    const { counters, answerAll } = this.options;
    counters.operationsUnavailable += operations;
    answerAll(peer, frame, Status.Unavailable);
  }

  /** Opens the channel to a worker where it is not. False: the worker is not there. */
  private open(peer: Peer, worker: number): boolean {
    const { fabric, registry } = this.options;
    const { links, workers } = fabric;
    const { data } = peer;
    if (data.outgoing?.isOpen[worker]) return true;
    const { session, sessionDigest: digest, client } = data;
    // Of a session that has ended nothing more is known; its home refuses the channel.
    const group = registry.bindingOf(peer)?.group ?? 0;
    const bytes = encodeOpen({ group, digest, client });
    if (!links.send(worker, MessageKind.Open, peer.id, session, bytes)) return false;
    data.outgoing ??= new Outgoing(peer, workers);
    data.outgoing.isOpen[worker] = true;
    data.outgoing.uncredited[worker] = 0;
    this.connections.set(peer.id, data.outgoing);
    return true;
  }

  /** Tells a client that goes by an older routing table the present one. */
  private correct(peer: Peer): void {
    const { fabric, send } = this.options;
    const { routing } = fabric;
    routing.refresh();
    if (peer.data.routingVersion === routing.version) return;
    peer.data.routingVersion = routing.version;
    if (this.routingPushVersion !== routing.version) {
      this.routingPushVersion = routing.version;
      const partition = Math.max(0, routing.owners.indexOf(fabric.worker));
      this.routingPush = this.push(EventKind.Routing, partition, routingBytesOf(routing)).slice();
    }
    send(peer, this.routingPush, 0);
  }

  private credit({ peer, isOpen, uncredited }: Outgoing, worker: number): void {
    const bytes = uncredited[worker] as number;
    if (!isOpen[worker] || bytes < CHANNEL_CREDIT_BYTES) return;
    uncredited[worker] = 0;
    this.options.fabric.links.send(worker, MessageKind.Credit, peer.id, bytes);
  }

  private push(kind: EventKind, partition: number, value: Uint8Array): Uint8Array {
    const event: EventSource = {
      kind,
      flags: 0,
      status: Status.Ok,
      partition,
      revision: 0,
      previous: 0,
      position: 0,
      bytes: value,
      keyAt: 0,
      keyEnd: 0,
      valueAt: 0,
      valueEnd: value.length,
    };
    this.pushes.begin(1, value.length);
    this.pushes.event(0, event);
    return this.pushes.finish();
  }
}
