// A live map of every key with a prefix: a watch from its snapshot on, applied as it comes. Reads cost no
// round trip and show what the node had a moment ago; `caughtUp` waits until they show what one knows of.

import { EventKind } from '../wire/generated/rondo/wire/event-kind.js';
import { CLASS_KEYS } from '../wire/layout.js';
import { timeoutError } from './arguments.js';
import type { Codec } from './codec.js';
import type { CallOptions } from './dispatcher.js';
import { invalidArgument, RondoError } from './errors.js';
import { keyError } from './key.js';
import { decodeValue, type Pushed, placesAt } from './watch-events.js';
import type { WatchGroup } from './watch-group.js';
import { type Places, placesOf, tokenOf } from './watch-token.js';
import type { Watches } from './watches.js';

export interface ReplicaOptions<T> {
  /** How values are decoded, at their first read; JSON unless told otherwise. */
  readonly codec?: Codec<T> | undefined;
  /** Ends the replica. */
  readonly signal?: AbortSignal | undefined;
}

/** A write, as its answer told it. */
export interface WriteMark {
  readonly key: string;
  readonly revision: number;
}

export interface ReplicaEntry<T> {
  readonly key: string;
  readonly value: T;
  readonly revision: number;
}

interface Held {
  revision: number;
  raw: Pushed['value'];
  value: unknown;
  isDecoded: boolean;
}

interface Waiter {
  readonly key: string | undefined;
  readonly revision: number;
  /** Where the node was after the write. */
  places: Places | undefined;
  readonly settle: (error?: RondoError) => void;
}

export class Replica<T = unknown> implements Iterable<[string, T]> {
  /** Why it follows no more; undefined while it does. */
  failure: RondoError | undefined;
  private held = new Map<string, Held>();
  /** The snapshot that is under way; it takes the place of `held` when it is complete. */
  private coming: Map<string, Held> | undefined = new Map();
  private isReady = false;
  /** The newest revision of the prefix's partition, where it has but one. */
  private revision = 0;
  private places: Places | undefined;
  private readonly isOnePartition: boolean;
  private readonly stream: WatchGroup | undefined;
  private readonly waiters = new Set<Waiter>();
  private readonly readers: Pick<Waiter, 'settle'>[] = [];

  /** Use `rondo.replica`. */
  constructor(
    private readonly watches: Watches,
    readonly prefix: string,
    private readonly codec: Codec<T>,
    private readonly timeoutMs: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    // A whole `{tag}` decides the partition of every key that begins so.
    this.isOnePartition = /^[^{]*\{[^}]+\}/.test(prefix);
    const error = keyError(prefix, true);
    if (error !== undefined || signal?.aborted === true) {
      this.failure = error ?? this.aborted();
      return;
    }
    signal?.addEventListener('abort', this.onAbort);
    this.stream = watches.open(
      {
        key: prefix,
        isPrefix: true,
        classes: CLASS_KEYS,
        overflow: 'coalesce',
        form: codec.form,
        timeoutMs: undefined,
      },
      { from: 'snapshot' },
      {
        started: () => undefined,
        take: (event) => this.apply(event),
        moved: () => this.arrive(this.stream?.places),
        ended: (reason) => this.fail(reason),
      },
    );
  }

  /** The value; undefined where the key does not exist. Shared by all readers: not to be changed. */
  get(key: string): T | undefined {
    return this.entry(key)?.value;
  }

  /** Value and revision. Throws CODEC_FAILED where the value cannot be decoded. */
  entry(key: string): ReplicaEntry<T> | undefined {
    const held = this.held.get(key);
    return held === undefined ? undefined : this.entryOf(key, held);
  }

  has(key: string): boolean {
    return this.held.has(key);
  }

  get size(): number {
    return this.held.size;
  }

  keys(): IterableIterator<string> {
    return this.held.keys();
  }

  /** Keys and values, in no order. */
  *entries(): IterableIterator<[string, T]> {
    for (const [key, held] of this.held) yield [key, this.entryOf(key, held).value];
  }

  [Symbol.iterator](): IterableIterator<[string, T]> {
    return this.entries();
  }

  /** Where it stands, for `caughtUp` of another replica or `resume` of a watch. */
  get token(): string | undefined {
    const { places } = this;
    return places === undefined ? undefined : tokenOf(places);
  }

  /** Whether it is whole and connected: what it shows is as new as the network allows. */
  get isLive(): boolean {
    return this.coming === undefined && this.failure === undefined && this.stream?.isLive === true;
  }

  /** Fulfilled when the first snapshot is complete. */
  ready(): Promise<void> {
    if (this.isReady) return Promise.resolve();
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      const settle = (error?: RondoError): void =>
        error === undefined ? resolve() : reject(error);
      this.readers.push({ settle });
    });
  }

  /**
   * Fulfilled when reads show a write: by key and revision as its answer told them, or by the token of an
   * event, a watch or a replica. Revisions count within a partition, so one alone will do only where the prefix
   * has a whole `{tag}`, which is one partition; otherwise INVALID_ARGUMENT. Without a mark: when reads show
   * all that was acknowledged before this call, which on a quiet prefix takes a heartbeat of the node.
   */
  caughtUp(mark?: number | string | WriteMark, options: CallOptions = {}): Promise<void> {
    const { signal, timeoutMs = this.timeoutMs } = options;
    const target = typeof mark === 'number' ? { key: undefined, revision: mark } : mark;
    const places = typeof target === 'string' ? placesOf(target) : undefined;
    const { key = undefined, revision = 0 } = typeof target === 'object' ? target : {};
    const error =
      this.failure ??
      timeoutError(timeoutMs) ??
      (typeof target === 'string' && places === undefined
        ? invalidArgument('caughtUp takes the token of an event, a watch or a replica')
        : undefined) ??
      (Number.isSafeInteger(revision) && revision >= 0
        ? undefined
        : invalidArgument('caughtUp takes a revision, as a write returned it')) ??
      (typeof mark === 'number' && !this.isOnePartition
        ? invalidArgument('the prefix has no whole {tag}: pass { key, revision }')
        : undefined) ??
      (key !== undefined && !key.startsWith(this.prefix)
        ? invalidArgument(`${JSON.stringify(key)} is not below ${JSON.stringify(this.prefix)}`)
        : undefined) ??
      (signal?.aborted === true ? this.aborted(signal) : undefined);
    if (error !== undefined) return Promise.reject(error);
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        waiter.settle(
          new RondoError('TIMEOUT', `${this.name}: not caught up within ${timeoutMs} ms`),
        );
      }, timeoutMs);
      const onAbort = (): void => waiter.settle(this.aborted(signal));
      const waiter: Waiter = {
        key,
        revision,
        places,
        settle: (reason) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
          this.waiters.delete(waiter);
          if (reason === undefined) resolve();
          else reject(reason);
        },
      };
      this.waiters.add(waiter);
      signal?.addEventListener('abort', onAbort);
      if (this.hasSeen(waiter)) waiter.settle();
      else if (places === undefined) this.locate(waiter, timeoutMs);
      else this.arrive(this.places);
    });
  }

  /** Ends it; what it has read stays. */
  close(): void {
    this.stream?.end();
    this.fail(new RondoError('CLOSED', `${this.name}: it was closed`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  private get name(): string {
    return `replica ${JSON.stringify(this.prefix)}`;
  }

  private entryOf(key: string, held: Held): ReplicaEntry<T> {
    if (!held.isDecoded) {
      held.value = decodeValue({ key, value: held.raw }, this.codec);
      held.raw = undefined;
      held.isDecoded = true;
    }
    return { key, value: held.value as T, revision: held.revision };
  }

  /** One event of the watch. */
  private apply(event: Pushed): boolean {
    const { kind, key, revision, value } = event;
    const map = this.coming ?? this.held;
    switch (kind) {
      case EventKind.Put:
        map.set(key, { revision, raw: value, value: undefined, isDecoded: false });
        break;
      case EventKind.Touch: {
        const held = map.get(key);
        if (held !== undefined) held.revision = revision;
        break;
      }
      case EventKind.Delete:
      case EventKind.Expire:
        map.delete(key);
        break;
      case EventKind.Compacted:
        this.coming = new Map();
        this.places = undefined;
        this.revision = 0;
        break;
      case EventKind.Gap:
        // Which keys have changed is not known: only a fresh snapshot tells.
        this.stream?.renew();
        return false;
      case EventKind.Synced:
        if (this.coming !== undefined) this.held = this.coming;
        this.coming = undefined;
        this.isReady = true;
        for (const { settle } of this.readers.splice(0)) settle();
        break;
    }
    if (revision > this.revision) this.revision = revision;
    if (this.coming !== undefined) return true;
    for (const waiter of this.waiters) {
      if (kind === EventKind.Synced || waiter.key === key || this.isOnePartition) {
        if (this.hasSeen(waiter)) waiter.settle();
        else if (waiter.key === key && revision >= waiter.revision) waiter.settle();
      }
    }
    this.arrive(placesAt(event));
    return true;
  }

  /** All that happened up to there has been applied. */
  private arrive(places: Places | undefined): void {
    if (places === undefined) return;
    this.places = places;
    for (const waiter of this.waiters) {
      if (this.hasPassed(waiter)) waiter.settle();
      else if (waiter.places !== undefined && !areSameOrigins(waiter.places, places)) {
        waiter.settle(
          new RondoError(
            'TOKEN_FOREIGN',
            `${this.name}: the node has begun anew, without what is waited for`,
          ),
        );
      }
    }
  }

  private hasSeen({ key, revision }: Waiter): boolean {
    if (this.coming !== undefined || revision === 0) return false;
    if (this.isOnePartition && this.revision >= revision) return true;
    return key !== undefined && (this.held.get(key)?.revision ?? 0) >= revision;
  }

  private hasPassed(waiter: Waiter): boolean {
    const { places } = this;
    if (waiter.places === undefined || places === undefined) return false;
    if (!areSameOrigins(waiter.places, places)) return false;
    return waiter.places.every(({ position }, at) => (places[at]?.position ?? 0) >= position);
  }

  /** A write may have left no trace, when a snapshot came after the key was deleted: the place tells. */
  private locate(waiter: Waiter, timeoutMs: number): void {
    const { stream } = this;
    if (stream === undefined) return;
    this.watches.places(stream, { timeoutMs }).then(
      (places) => {
        waiter.places = places;
        if (this.hasPassed(waiter)) waiter.settle();
      },
      (error: RondoError) => {
        if (this.waiters.has(waiter)) waiter.settle(error);
      },
    );
  }

  private readonly onAbort = (): void => {
    this.stream?.end();
    this.fail(this.aborted());
  };

  private aborted(signal = this.signal): RondoError {
    return new RondoError('CANCELLED', `${this.name}: given up by its signal`, {
      cause: signal?.reason as unknown,
    });
  }

  private fail(reason: RondoError): void {
    if (this.failure !== undefined) return;
    this.failure = reason;
    this.signal?.removeEventListener('abort', this.onAbort);
    for (const { settle } of this.readers.splice(0)) settle(reason);
    for (const waiter of this.waiters) waiter.settle(reason);
  }
}

function areSameOrigins(some: Places, others: Places): boolean {
  if (some.length !== others.length) return false;
  return some.every(({ node, partitions }, at) => {
    return node === others[at]?.node && partitions === others[at]?.partitions;
  });
}
