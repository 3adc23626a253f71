// What the client tells of its connection: one feed of changes that any number of readers follow.

import type { WelcomeFrame } from '../wire/hello.js';
import type { RondoError } from './errors.js';

/** What the node told of itself at hello: version, engine, transport, durability, limits. */
export type Welcome = WelcomeFrame;

export type ConnectionStatus =
  | { readonly state: 'connecting' }
  | {
      readonly state: 'connected';
      readonly welcome: Welcome;
      /**
       * The session of the connection; undefined: none. Where it is not resumed it is new, and whatever
       * one before it held is lost.
       */
      readonly session: { readonly id: number; readonly resumed: boolean } | undefined;
    }
  | {
      readonly state: 'reconnecting';
      /** Tries since the connection was last good, this one included. */
      readonly attempt: number;
      /** Milliseconds until this try. */
      readonly delayMs: number;
      readonly reason: RondoError;
    }
  /** The last of all. Without a reason: closed by `close` or `drain`. */
  | { readonly state: 'closed'; readonly reason: RondoError | undefined };

/** Changes that a reader may lag behind; older ones are dropped, the newest never is. */
const STATUS_BACKLOG_MAX = 64;

export class StatusFeed {
  current: ConnectionStatus = { state: 'connecting' };
  private readonly readers = new Set<StatusReader>();

  publish(status: ConnectionStatus): void {
    this.current = status;
    for (const reader of this.readers) reader.push(status);
    if (status.state === 'closed') this.readers.clear();
  }

  /** From the present status on; ends after `closed`. */
  read(): AsyncIterableIterator<ConnectionStatus> {
    const reader = new StatusReader(this.current, () => this.readers.delete(reader));
    if (this.current.state !== 'closed') this.readers.add(reader);
    return reader;
  }
}

class StatusReader implements AsyncIterableIterator<ConnectionStatus> {
  private readonly backlog: ConnectionStatus[];
  private readonly waiting: ((result: IteratorResult<ConnectionStatus>) => void)[] = [];
  private ended = false;

  constructor(
    first: ConnectionStatus,
    private readonly leave: () => void,
  ) {
    this.backlog = [first];
  }

  push(status: ConnectionStatus): void {
    const take = this.waiting.shift();
    if (take === undefined) {
      this.backlog.push(status);
      if (this.backlog.length > STATUS_BACKLOG_MAX) this.backlog.shift();
      return;
    }
    take({ value: status, done: false });
    if (status.state === 'closed') this.end();
  }

  next(): Promise<IteratorResult<ConnectionStatus>> {
    const status = this.backlog.shift();
    if (status !== undefined) {
      if (status.state === 'closed') this.end();
      return Promise.resolve({ value: status, done: false });
    }
    if (this.ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  return(): Promise<IteratorResult<ConnectionStatus>> {
    this.backlog.length = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private end(): void {
    this.ended = true;
    this.leave();
    for (const take of this.waiting.splice(0)) take({ value: undefined, done: true });
  }
}
