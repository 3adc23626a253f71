// A watch for its consumer: an async iterator over a bounded queue. It begins when it is made, outlives
// lost connections, and ends when the consumer stops (`break`, `return`, its signal) or with an error.

import type { Codec } from './codec.js';
import { RondoError } from './errors.js';
import { type Pushed, placesAt, tell, type WatchEvent } from './watch-events.js';
import type { WatchGroup } from './watch-group.js';
import { planOf, type WatchOptions } from './watch-options.js';
import { WATCH_QUEUE_MAX_DEFAULT, WatchQueue } from './watch-queue.js';
import { tokenOf } from './watch-token.js';
import type { Watches } from './watches.js';

interface Taker<T> {
  resolve(result: IteratorResult<WatchEvent<T>>): void;
  reject(error: RondoError): void;
}

export class Watch<T> implements AsyncIterableIterator<WatchEvent<T>> {
  private readonly queue: WatchQueue;
  private readonly codec: Codec<T> | undefined;
  private readonly signal: AbortSignal | undefined;
  private readonly stream: WatchGroup | undefined;
  private readonly takers: Taker<T>[] = [];
  private starters: { resolve: () => void; reject: (error: RondoError) => void }[] = [];
  private isStarted = false;
  /** The consumer has stopped, or been told the error. */
  private isDone = false;
  private error: RondoError | undefined;
  /** The newest event that was taken. */
  private last: Pushed | undefined;
  private readonly resume: string | undefined;
  /** Where the consumer was when it gave up what still waited. */
  private left: { readonly token: string | undefined } | undefined;

  /** Use `kv.watch`. */
  constructor(watches: Watches, codec: Codec<T>, key: string, options: WatchOptions = {}) {
    const { overflow = 'gap', queueMax = WATCH_QUEUE_MAX_DEFAULT, keysOnly, signal } = options;
    this.queue = new WatchQueue(overflow, queueMax);
    this.codec = keysOnly === true ? undefined : codec;
    const plan = planOf(key, options, codec.form);
    if (plan instanceof RondoError) {
      this.error = plan;
      return;
    }
    if (signal?.aborted === true) {
      this.error = cancelled(`watch ${JSON.stringify(key)}`, signal);
      return;
    }
    this.resume = options.resume;
    this.signal = signal;
    signal?.addEventListener('abort', this.onAbort);
    this.stream = watches.open(plan.subject, plan.start, {
      started: () => this.started(),
      take: (event) => this.take(event),
      ended: (error) => this.fail(error),
    });
  }

  /**
   * Where `resume` goes on behind what the consumer has taken, also when nothing has happened for long;
   * undefined until a snapshot is complete.
   */
  get token(): string | undefined {
    if (this.left !== undefined) return this.left.token;
    if (!this.queue.isEmpty) {
      const { last } = this;
      if (last === undefined) return this.resume;
      const places = placesAt(last);
      return places === undefined ? undefined : tokenOf(places);
    }
    const places = this.stream?.places;
    return places === undefined ? undefined : tokenOf(places);
  }

  /** Fulfilled when the node has accepted the watch: changes from then on are told. */
  ready(): Promise<void> {
    if (this.isStarted) return Promise.resolve();
    if (this.error !== undefined) return Promise.reject(this.error);
    if (this.isDone) return Promise.resolve();
    return new Promise((resolve, reject) => this.starters.push({ resolve, reject }));
  }

  next(): Promise<IteratorResult<WatchEvent<T>>> {
    if (this.isDone) return Promise.resolve({ value: undefined, done: true });
    const event = this.queue.take();
    if (event !== undefined) {
      this.last = event;
      try {
        return Promise.resolve({ value: tell(event, this.codec), done: false });
      } catch (error) {
        this.stop();
        return Promise.reject(error);
      }
    }
    const { error } = this;
    if (error !== undefined) {
      this.isDone = true;
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => this.takers.push({ resolve, reject }));
  }

  /** Ends the watch, as `break` in a loop does. */
  return(): Promise<IteratorResult<WatchEvent<T>>> {
    this.stop();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** `await using`: ends the watch. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }

  private readonly onAbort = (): void => {
    const { signal, stream } = this;
    if (signal === undefined || stream === undefined) return;
    // Who has given up takes nothing of what still waits.
    this.leave();
    stream.end();
    this.fail(cancelled(stream.subjectText, signal));
  };

  private started(): void {
    this.isStarted = true;
    for (const { resolve } of this.starters.splice(0)) resolve();
  }

  private take(event: Pushed): boolean {
    if (!this.queue.add(event)) {
      this.stream?.end();
      this.fail(
        new RondoError(
          'WATCH_OVERFLOW',
          `${this.stream?.subjectText}: events came faster than they were taken; ` +
            'go on with { resume: watch.token }, or watch fewer keys',
        ),
      );
      return false;
    }
    const taker = this.takers.shift();
    if (taker !== undefined) this.next().then(taker.resolve, taker.reject);
    return true;
  }

  /** What waits is taken first, then comes the error. */
  private fail(error: RondoError): void {
    if (this.isDone || this.error !== undefined) return;
    this.error = error;
    this.unlisten();
    for (const { reject } of this.starters.splice(0)) reject(error);
    const taker = this.takers.shift();
    if (taker === undefined) return;
    this.isDone = true;
    taker.reject(error);
    this.releaseTakers();
  }

  private stop(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.leave();
    this.unlisten();
    this.stream?.end();
    for (const { resolve } of this.starters.splice(0)) resolve();
    this.releaseTakers();
  }

  private leave(): void {
    this.left ??= { token: this.token };
    this.queue.clear();
  }

  private releaseTakers(): void {
    for (const { resolve } of this.takers.splice(0)) resolve({ value: undefined, done: true });
  }

  private unlisten(): void {
    this.signal?.removeEventListener('abort', this.onAbort);
  }
}

function cancelled(subject: string, signal: AbortSignal): RondoError {
  return new RondoError('CANCELLED', `${subject}: given up by its signal`, {
    cause: signal.reason as unknown,
  });
}
