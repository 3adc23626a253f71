// All that a worker has to do with the others: messages go to the part that they are for, and the parts begin and
// end together.

import type { Peer } from '../connection.js';
import type { DeadlockSearch } from '../deadlock-search.js';
import type { SessionHomes } from '../session-homes.js';
import type { ChannelServer } from './channel-server.js';
import type { Forwarder } from './forwarder.js';
import type { LinksHandler, WorkerLinks } from './links.js';
import { MessageKind } from './messages.js';

export interface ExchangeOptions {
  readonly links: WorkerLinks;
  readonly forwarder: Forwarder;
  readonly channels: ChannelServer;
  readonly homes: SessionHomes;
  readonly deadlocks: DeadlockSearch;
  /** An invariant is broken. */
  readonly fail: (error: unknown) => void;
}

export class Exchange implements LinksHandler {
  /** Whether frames of other workers are executed. */
  isServing = true;

  constructor(private readonly options: ExchangeOptions) {}

  /** The engine has its state, and the worker is about to serve. */
  open(): void {
    this.options.homes.start();
    this.options.links.open(this);
  }

  /** Sends on what the engine's last call has left to other workers: to be called before the next. */
  forward(peer: Peer): void {
    this.options.forwarder.forward(peer);
  }

  /** To be called behind the engine's calls. */
  afterCall(): void {
    this.options.deadlocks.afterCall();
  }

  onDrain(peer: Peer): void {
    this.options.forwarder.onDrain(peer);
  }

  onClose(peer: Peer): void {
    this.options.forwarder.onClose(peer);
  }

  /**
   * Waits, with a deadline, until all that was forwarded is answered; what others have forwarded here has come by
   * then, and is not executed from here on.
   */
  async settle(): Promise<void> {
    await this.options.forwarder.settle();
    this.isServing = false;
  }

  /** Leaves the others, to whom this worker is gone. Harmless when called again. */
  close(): void {
    const { links, channels, deadlocks } = this.options;
    this.isServing = false;
    deadlocks.stop();
    links.close();
    channels.close();
  }

  onMessage(worker: number, kind: MessageKind, a: number, b: number, bytes: Uint8Array): void {
    try {
      this.dispatch(worker, kind, a, b, bytes);
    } catch (error) {
      this.options.fail(error);
    }
  }

  onUp(worker: number): void {
    try {
      this.options.homes.onUp(worker);
    } catch (error) {
      this.options.fail(error);
    }
  }

  onDown(worker: number): void {
    const { forwarder, channels, homes, deadlocks, fail } = this.options;
    try {
      forwarder.onDown(worker);
      channels.onDown(worker);
      homes.onDown(worker);
      deadlocks.onDown(worker);
    } catch (error) {
      fail(error);
    }
  }

  private dispatch(
    worker: number,
    kind: MessageKind,
    a: number,
    b: number,
    bytes: Uint8Array,
  ): void {
    const { forwarder, channels, homes, deadlocks } = this.options;
    switch (kind) {
      case MessageKind.Frame:
        if (this.isServing) channels.onFrame(worker, a, bytes);
        break;
      case MessageKind.Data:
        forwarder.onData(worker, a, bytes);
        break;
      case MessageKind.Credit:
        channels.onCredit(worker, a, b);
        break;
      case MessageKind.Open:
        channels.onOpen(worker, a, b, bytes);
        break;
      case MessageKind.Close:
        if (b === 0) channels.onGone(worker, a);
        else forwarder.onClosed(worker, a, b, bytes);
        break;
      case MessageKind.Settle:
        channels.onSettle(worker, a);
        break;
      case MessageKind.Settled:
        forwarder.onSettled(worker);
        break;
      case MessageKind.Blockers:
      case MessageKind.Edges:
      case MessageKind.Refuse:
        deadlocks.onMessage(worker, kind, a, b, bytes);
        break;
      default:
        homes.onMessage(worker, kind, a, b, bytes);
    }
  }
}
