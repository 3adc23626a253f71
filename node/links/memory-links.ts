// Links between workers of one thread, for tests and simulations: every message waits for its turn, or as long as
// the test has it wait, and workers are lost and come back when the test says so.

import type { Clock } from '../clock.js';
import { type LinksHandler, NOTHING, type WorkerLinks } from './links.js';
import type { MessageKind } from './messages.js';

interface Message {
  readonly kind: MessageKind;
  readonly a: number;
  readonly b: number;
  readonly bytes: Uint8Array;
  /** The incarnation of the receiver that it is for. */
  readonly epoch: number;
}

/** In place of a message: the sender has left. */
const LEAVE = 0;

export interface MemoryNetworkOptions {
  readonly workers: number;
  readonly clock: Clock;
  /** Milliseconds that a message is under way; 0: to the next turn. */
  readonly delayMs?: (from: number, to: number) => number;
}

/** All links of so many workers. Workers are up from `open` on. */
export class MemoryNetwork {
  /** How often messages of this kind were sent. */
  readonly sent = new Map<MessageKind, number>();
  private readonly ends: MemoryLinks[] = [];
  private readonly queues = new Map<string, Message[]>();

  constructor(private readonly options: MemoryNetworkOptions) {}

  /** The links of a worker; called again, of its next incarnation. */
  linksOf(worker: number): WorkerLinks {
    const links = new MemoryLinks(this, worker, this.options.workers, this.newEpoch(worker));
    this.ends[worker] = links;
    return links;
  }

  /** The worker ends its links: what it has sent arrives, then the others hear that it is gone. */
  leave(worker: number): void {
    const links = this.ends[worker];
    if (links === undefined || !links.isOpen) return;
    links.isOpen = false;
    for (let other = 0; other < this.options.workers; other++) {
      if (this.isOpen(other)) this.send(worker, other, LEAVE as MessageKind, 0, 0, NOTHING);
    }
  }

  /** The worker has died: what is under way to it and from it is lost, and the others hear so. */
  lose(worker: number): void {
    const lost = this.ends[worker];
    if (lost === undefined || !lost.isOpen) return;
    lost.isOpen = false;
    for (let other = 0; other < this.options.workers; other++) {
      this.queues.delete(`${worker}>${other}`);
      this.queues.delete(`${other}>${worker}`);
    }
    for (const other of this.ends) {
      if (other?.isOpen !== true) continue;
      this.options.clock.soon(() => other.isOpen && other.handler?.onDown(worker));
    }
  }

  join(links: MemoryLinks): void {
    const { clock } = this.options;
    for (const other of this.ends) {
      if (other?.isOpen !== true || other === links) continue;
      clock.soon(() => {
        if (!links.isOpen || !other.isOpen) return;
        other.handler?.onUp(links.worker);
        links.handler?.onUp(other.worker);
      });
    }
  }

  isOpen(worker: number): boolean {
    return this.ends[worker]?.isOpen === true;
  }

  send(from: number, to: number, kind: MessageKind, a: number, b: number, bytes: Uint8Array): void {
    const { clock, delayMs } = this.options;
    this.sent.set(kind, (this.sent.get(kind) ?? 0) + 1);
    const route = `${from}>${to}`;
    const queue = this.queues.get(route) ?? [];
    this.queues.set(route, queue);
    const epoch = this.ends[to]?.epoch ?? 0;
    queue.push({ kind, a, b, bytes: bytes.slice(), epoch });
    // The first that waits goes, whichever message this turn was for: delays do not change the order.
    const deliver = () => this.deliver(queue, from, to);
    const ms = delayMs?.(from, to) ?? 0;
    if (ms === 0) clock.soon(deliver);
    else clock.after(ms, deliver);
  }

  private deliver(queue: Message[], from: number, to: number): void {
    if (this.queues.get(`${from}>${to}`) !== queue) return;
    const message = queue.shift();
    const receiver = this.ends[to];
    if (message === undefined || receiver === undefined || !receiver.isOpen) return;
    if (message.epoch !== receiver.epoch) return;
    if ((message.kind as number) === LEAVE) {
      receiver.handler?.onDown(from);
      return;
    }
    receiver.handler?.onMessage(from, message.kind, message.a, message.b, message.bytes);
  }

  private newEpoch(worker: number): number {
    return (this.ends[worker]?.epoch ?? 0) + 1;
  }
}

class MemoryLinks implements WorkerLinks {
  isOpen = false;
  handler: LinksHandler | undefined;

  constructor(
    private readonly network: MemoryNetwork,
    readonly worker: number,
    readonly workers: number,
    readonly epoch: number,
  ) {}

  open(handler: LinksHandler): void {
    this.handler = handler;
    this.isOpen = true;
    this.network.join(this);
  }

  close(): void {
    this.network.leave(this.worker);
  }

  isUp(worker: number): boolean {
    return this.isOpen && worker !== this.worker && this.network.isOpen(worker);
  }

  send(
    worker: number,
    kind: MessageKind,
    a: number,
    b: number,
    bytes: Uint8Array = NOTHING,
  ): boolean {
    if (!this.isUp(worker)) return false;
    this.network.send(this.worker, worker, kind, a, b, bytes);
    return true;
  }

  waitingBytes(): number {
    return 0;
  }
}
