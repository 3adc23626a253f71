// Links over rings in shared memory, one for each direction between each two workers, and a doorbell for each
// worker. What is sent in a turn of the event loop becomes visible at its end, or when it is much. A worker that
// expects an answer looks into its rings in every turn for a short while, as one that comes then costs no wake-up
// (`spin.ts`); after that it parks, and whoever writes to it, or makes room in a ring that was full, rings.
//
// A link is up while both workers serve, by the routing table, until one of them starts anew or leaves. Its end is
// told behind the messages that had come by then.

import { Doorbell } from '../../ts/shared/doorbell.js';
import { WORKER_DOWN, WORKER_SERVING, WORKER_STARTING } from '../../ts/shared/layout.js';
import type { SharedMemory } from '../../ts/shared/memory.js';
import { RingReader, RingWriter } from '../../ts/shared/ring.js';
import type { RoutingReader } from '../../ts/shared/routing-table.js';
import type { Clock, Timer } from '../clock.js';
import { LINK_LOOK_INTERVAL_MS, LINK_PUBLISH_BYTES, LINK_TURN_MESSAGES } from '../limits.js';
import { Inbound } from './inbound.js';
import { type LinksHandler, NOTHING, type WorkerLinks } from './links.js';
import { MessageKind } from './messages.js';
import { isBetween, kindOf, Outbound } from './outbound.js';
import { Spin } from './spin.js';

/** The last message of a worker: it is gone. Of the links themselves, so that no part of a worker sees it. */
const KIND_LEAVE = 0xff;

export interface RingLinksOptions {
  readonly memory: SharedMemory;
  readonly worker: number;
  readonly routing: RoutingReader;
  readonly clock: Clock;
}

class Link {
  isUp = false;
  /** The other worker's incarnation that is, or was last, up; -1: none was. */
  epoch = -1;

  constructor(
    readonly worker: number,
    readonly outbound: Outbound,
    readonly inbound: Inbound,
    /** The other worker's. */
    readonly doorbell: Doorbell,
  ) {}
}

export class RingLinks implements WorkerLinks {
  readonly worker: number;
  readonly workers: number;
  private readonly links: (Link | undefined)[];
  private readonly others: Link[];
  private readonly routing: RoutingReader;
  private readonly clock: Clock;
  private readonly doorbell: Doorbell;
  private handler: LinksHandler | undefined;
  private isClosed = false;
  /** The version of the routing table that was looked at. */
  private version = -1;
  private interval: Timer | undefined;
  /** The next turn, where one is on its way. */
  private next: Timer | undefined;
  private isParked = false;
  private readonly spin = new Spin();

  constructor({ memory, worker, routing, clock }: RingLinksOptions) {
    this.worker = worker;
    this.workers = memory.workers;
    this.routing = routing;
    this.clock = clock;
    this.doorbell = new Doorbell(memory.doorbells, worker);
    this.links = memory.rings.map((row, other) => {
      if (other === worker) return undefined;
      const doorbell = new Doorbell(memory.doorbells, other);
      const outbound = new Outbound(new RingWriter(ringOf(memory.rings[worker], other)));
      const onRoom = () => doorbell.ring();
      const inbound = new Inbound(new RingReader(ringOf(row, worker), onRoom));
      return new Link(other, outbound, inbound, doorbell);
    });
    this.others = this.links.filter((link) => link !== undefined);
  }

  open(handler: LinksHandler): void {
    this.handler = handler;
    this.interval = this.clock.every(LINK_LOOK_INTERVAL_MS, () => this.soon());
    this.soon();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.interval?.cancel();
    this.next?.cancel();
    this.doorbell.cancel();
    if (this.handler === undefined) return;
    for (const link of this.others) {
      if (!link.isUp) continue;
      link.outbound.pump();
      link.outbound.send(KIND_LEAVE, 0, 0, NOTHING);
      this.publish(link);
      link.isUp = false;
    }
  }

  isUp(worker: number): boolean {
    return this.links[worker]?.isUp === true;
  }

  waitingBytes(worker: number): number {
    return this.links[worker]?.outbound.waitingBytes ?? 0;
  }

  send(
    worker: number,
    kind: MessageKind,
    a: number,
    b: number,
    bytes: Uint8Array = NOTHING,
  ): boolean {
    const link = this.links[worker];
    if (link === undefined || !link.isUp) return false;
    link.outbound.send(kind, a, b, bytes);
    if (kind === MessageKind.Frame || kind === MessageKind.Attach) this.spin.expect();
    if (link.outbound.unpublishedBytes > LINK_PUBLISH_BYTES) this.publish(link);
    this.soon();
    return true;
  }

  private soon(): void {
    if (!this.isClosed) this.next ??= this.clock.soon(this.turn);
  }

  private readonly turn = (): void => {
    this.next = undefined;
    if (this.isParked) {
      this.isParked = false;
      this.doorbell.cancel();
    }
    let isBusy = false;
    for (const link of this.others) {
      const taken = this.receive(link);
      if (this.isClosed) return;
      isBusy ||= taken > 0;
    }
    if (isBusy) this.spin.answered();
    this.look();
    for (const link of this.others) {
      const { outbound } = link;
      if (outbound.isWaiting && outbound.pump()) isBusy = true;
      if (this.publish(link)) isBusy = true;
    }
    if (this.isClosed) return;
    this.rest(isBusy);
  };

  /** Says when the next turn is. */
  private rest(isBusy: boolean): void {
    // One more behind a busy one: under load it is busy too, and nobody has to ring.
    if (isBusy || this.spin.goesOn(this.clock.monotonic())) {
      this.soon();
      return;
    }
    this.isParked = this.doorbell.park(this.hasWork, this.wake);
    if (!this.isParked) this.soon();
  }

  // Room too: a reader that made some before this worker has parked rang in vain.
  private readonly hasWork = (): boolean =>
    this.others.some(({ inbound, outbound }) => inbound.hasMore || outbound.hasRoom) ||
    this.hasRoutingChanged();

  private readonly wake = (): void => {
    this.isParked = false;
    if (this.isClosed) return;
    this.next?.cancel();
    this.turn();
  };

  /** Hands out messages of one worker. Returns how many were taken. */
  private receive(link: Link): number {
    const { inbound } = link;
    const handler = this.handler as LinksHandler;
    let taken = 0;
    while (taken < LINK_TURN_MESSAGES) {
      const head = inbound.next();
      if (head < 0) break;
      taken++;
      if (!this.isCurrent(link, head)) {
        // Whoever sends knows that both are up: this worker may only not have looked.
        this.look(link);
        if (!this.isCurrent(link, head)) continue;
      }
      if (kindOf(head) === KIND_LEAVE) this.end(link);
      else if (inbound.take()) {
        handler.onMessage(link.worker, inbound.kind, inbound.a, inbound.b, inbound.bytes);
      }
      if (this.isClosed) break;
    }
    return taken;
  }

  private isCurrent(link: Link, head: number): boolean {
    return link.isUp && isBetween(head, link.epoch, this.routing.epochOf(this.worker));
  }

  private publish(link: Link): boolean {
    if (!link.outbound.publish()) return false;
    link.doorbell.ring();
    return true;
  }

  /**
   * Finds out from the routing table who has come and who is gone. A link ends behind what has come over it, as answers
   * of a worker that is gone now are answers; that of `read` has come to messages of a later one.
   */
  private look(read?: Link): void {
    const { routing } = this;
    if (!this.hasRoutingChanged()) return;
    const { version } = routing;
    let isDone = true;
    for (const link of this.others) {
      const state = routing.stateOf(link.worker);
      const epoch = routing.epochOf(link.worker);
      const isGone = state === WORKER_DOWN || state === WORKER_STARTING || epoch !== link.epoch;
      if (link.isUp && isGone) {
        if (link !== read && link.inbound.hasMore) {
          isDone = false;
          continue;
        }
        this.end(link);
      }
      // Who has left comes back with another epoch.
      if (!link.isUp && epoch !== link.epoch && state === WORKER_SERVING) this.begin(link, epoch);
    }
    if (isDone) this.version = version;
  }

  private hasRoutingChanged(): boolean {
    this.routing.refresh();
    return this.routing.version !== this.version;
  }

  private begin(link: Link, epoch: number): void {
    const { routing, worker } = this;
    if (routing.stateOf(worker) !== WORKER_SERVING || this.isClosed) return;
    link.epoch = epoch;
    link.isUp = true;
    link.outbound.begin(routing.epochOf(worker), epoch);
    this.handler?.onUp(link.worker);
  }

  private end(link: Link): void {
    link.isUp = false;
    link.outbound.clear();
    link.inbound.clear();
    this.handler?.onDown(link.worker);
  }
}

function ringOf(row: readonly SharedArrayBuffer[] | undefined, index: number): SharedArrayBuffer {
  const ring = row?.[index];
  if (ring === undefined) throw new Error(`there is no ring ${index}`);
  return ring;
}
