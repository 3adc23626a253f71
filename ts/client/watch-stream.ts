// One watch as a worker of the node knows it, over any number of connections: it is started, started again where it
// stood when a connection is lost, and started anew with a snapshot where the node cannot go on from there,
// which its sink is told of as `compacted`. What becomes of its events is the sink's affair.

import { EventKind } from '../wire/generated/rondo/wire/event-kind.js';
import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_SNAPSHOT,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  OVERFLOW_COALESCE,
  OVERFLOW_DISCONNECT,
  OVERFLOW_GAP,
  START_NOW,
  START_POSITION,
  START_REVISION,
  START_SNAPSHOT,
} from '../wire/layout.js';
import type { PushReader } from '../wire/push.js';
import { isRetryable } from '../wire/status.js';
import { Call, Shape } from './call.js';
import type { Dispatcher } from './dispatcher.js';
import { RondoError, statusError } from './errors.js';
import { violation } from './failures.js';
import type { Written } from './kv.js';
import { isOfSession, isTold, type Pushed, placeEvent } from './watch-events.js';
import type { Overflow } from './watch-queue.js';
import { type Origin, type Place, resumeBytes } from './watch-token.js';

/** Where a watch of one worker begins. */
export type StreamStart =
  | { readonly from: 'now' | 'snapshot' }
  | { readonly from: 'revision'; readonly revision: number }
  | { readonly from: 'place'; readonly place: Place };

export interface WatchSubject {
  readonly key: string;
  readonly isPrefix: boolean;
  /** Bits of CLASS_*. */
  readonly classes: number;
  readonly overflow: Overflow;
  /** How values are wanted; `none`: keys only. */
  readonly form: 'text' | 'bytes' | 'none';
  /** Milliseconds that the node may take to answer each start. */
  readonly timeoutMs: number | undefined;
}

export interface WatchSink {
  /** The node has accepted the watch. */
  started(): void;
  /** False: there is no room, and the sink has ended the stream; the event counts as not told. */
  take(event: Pushed): boolean;
  /** Its place has moved on without an event. */
  moved?(): void;
  /** Nothing more comes. */
  ended(error: RondoError): void;
}

/** What hears of one worker's part of a watch. */
export interface StreamSink extends WatchSink {
  /** The node has several workers, and the watch is one of all of them. */
  scattered(): void;
}

/** What a stream needs of all watches of its client. */
export interface Streams {
  /** Whose its positions are; undefined while there is no connection that it was accepted over. */
  originOf(worker: number, over: Dispatcher): Origin | undefined;
  /** Whether a start would leave now. */
  canStart(stream: WatchStream): boolean;
  /** Undefined: the node has several workers, and the call named none. */
  submit(stream: WatchStream, call: Call): Promise<Written | undefined>;
  /** The node knows the watch by the stream's id. */
  found(stream: WatchStream): void;
  /** The node has no watch of the stream's id any more, or should not. */
  forget(stream: WatchStream): void;
  /** Ends the watch of this id at the node, over the connection that has it. */
  leave(id: number, over: Dispatcher | undefined, worker: number): void;
  ended(stream: WatchStream): void;
  retryDelayMs(attempt: number): number;
}

const OVERFLOWS = {
  gap: OVERFLOW_GAP,
  coalesce: OVERFLOW_COALESCE,
  disconnect: OVERFLOW_DISCONNECT,
} as const;

const NO_ORIGIN: Origin = { node: 0, partitions: 0 };

export class WatchStream {
  /** The start that is under way. */
  call: Call | undefined;
  /** By which the node knows it; 0: it does not. */
  id = 0;
  /** The connection that has it, and the worker, while the node knows it. */
  over: Dispatcher | undefined;
  worker = 0;
  private isEnded = false;
  /** The node has accepted it once: from now on it survives what may pass. */
  isProven = false;
  /** What was told is complete up to `position`: no snapshot is under way. */
  private isWhole: boolean;
  private position: number | undefined;
  private origin: Origin;
  /** A part of a snapshot that is not complete has been told. */
  private hasTold = false;
  private attempts = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Starts that are of no use any more and have no answer yet. */
  private readonly dropped = new Set<Call>();

  constructor(
    private readonly streams: Streams,
    readonly subject: WatchSubject,
    private begin: StreamStart,
    private readonly sink: StreamSink,
    /** Of the worker that is asked: its index + 1; 0: by the key, or the only one. */
    readonly address: number,
  ) {
    this.isWhole = begin.from !== 'snapshot';
    this.position = begin.from === 'place' ? begin.place.position : undefined;
    this.origin = begin.from === 'place' ? begin.place : NO_ORIGIN;
  }

  /** Where the events that have come end; undefined while there is no place to go on from. */
  get place(): Place | undefined {
    const { position, origin } = this;
    if (position === undefined || !this.isWhole) return undefined;
    return { node: origin.node, partitions: origin.partitions, position };
  }

  get timeoutMs(): number | undefined {
    return this.subject.timeoutMs;
  }

  get subjectText(): string {
    return `watch ${JSON.stringify(this.subject.key)}`;
  }

  /** Starts it, unless a start is under way or waits for its time. */
  start(): void {
    if (this.isEnded || this.call !== undefined) return;
    clearTimeout(this.timer);
    // A snapshot begins anew, so what has come of it is void.
    if (!this.isWhole && this.hasTold) this.compacted();
    const { key, classes } = this.subject;
    const [flags, value, revision] = this.startFields();
    const call = new Call(
      OperationCode.Watch,
      Shape.Written,
      flags,
      key,
      value,
      classes,
      this.address,
      revision,
      undefined,
    );
    this.call = call;
    this.timer = undefined;
    this.streams.submit(this, call).then(
      (answer) => this.answered(call, answer),
      (error: RondoError) => this.failed(call, error),
    );
  }

  private startFields(): [flags: number, value: Uint8Array | undefined, revision: number] {
    const { begin, place } = this;
    const { isPrefix, overflow, form } = this.subject;
    const flags =
      OVERFLOWS[overflow] |
      (isPrefix ? FLAG_WATCH_PREFIX : 0) |
      (form === 'none' ? FLAG_WATCH_KEYS_ONLY : 0);
    if (place !== undefined) return [flags | START_POSITION, resumeBytes(place), 0];
    if (begin.from === 'revision') return [flags | START_REVISION, undefined, begin.revision];
    return [flags | (begin.from === 'now' ? START_NOW : START_SNAPSHOT), undefined, 0];
  }

  private answered(call: Call, answer: Written | undefined): void {
    if (this.dropped.delete(call)) this.leaveCall(call);
    if (call !== this.call) return;
    if (answer === undefined) {
      this.call = undefined;
      if (!this.isEnded) this.sink.scattered();
      return;
    }
    const over = call.carrier as Dispatcher;
    const origin = this.streams.originOf(call.worker, over);
    // Without one the connection has gone meanwhile, and the next one starts the watch.
    if (origin === undefined) this.call = undefined;
    else this.accepted(call, over, origin, answer.revision);
  }

  /** By the answer, or by the first event where that is noticed first. */
  accepted(call: Call, over: Dispatcher, origin: Origin, position?: number): void {
    this.id = call.id;
    this.over = over;
    this.worker = call.worker;
    this.call = undefined;
    this.attempts = 0;
    if (this.isEnded) {
      this.leave();
      return;
    }
    this.isProven = true;
    this.origin = origin;
    if (this.begin.from === 'now') this.position ??= position;
    this.streams.found(this);
    this.sink.started();
  }

  private failed(call: Call, error: RondoError): void {
    const isDropped = this.dropped.delete(call);
    if (call !== this.call && !isDropped) return;
    // It may have been accepted all the same.
    if (error.code === 'TIMEOUT') this.leaveCall(call);
    if (isDropped) return;
    this.call = undefined;
    if (!this.isEnded) this.broken(error);
  }

  private leaveCall({ id, carrier, worker }: Call): void {
    if (id !== 0) this.streams.leave(id, carrier as Dispatcher, worker);
  }

  private leave(): void {
    const { id, over, worker } = this;
    this.streams.forget(this);
    if (id !== 0) this.streams.leave(id, over, worker);
  }

  /** The watch is not there any more: goes on if that can be. */
  private broken(error: RondoError): void {
    const { code } = error;
    const isForeign = code === 'TOKEN_FOREIGN';
    // A token that the caller came with is the caller's mistake; one of an earlier connection is not.
    if (code === 'COMPACTED' || (isForeign && this.isProven)) {
      this.compacted();
      this.start();
    } else if (code === 'CONNECTION_LOST' || code === 'PROTOCOL_ERROR') {
      // The connection is gone: the next one starts it.
    } else if (this.isProven && (error.retryable || code === 'WATCH_LIMIT')) {
      // A lost connection's watches may count a moment longer at the node.
      this.attempts++;
      const delayMs = this.streams.retryDelayMs(this.attempts);
      this.timer = setTimeout(() => {
        this.timer = undefined;
        if (this.streams.canStart(this)) this.start();
      }, delayMs);
    } else {
      this.end(error);
    }
  }

  private compacted(): void {
    this.begin = { from: 'snapshot' };
    this.isWhole = false;
    this.hasTold = false;
    this.position = undefined;
    this.sink.take(placeEvent(EventKind.Compacted, this.origin, undefined));
  }

  /** Whether it waits for nothing but a way to be started. */
  get isIdle(): boolean {
    return !this.isEnded && this.call === undefined && this.id === 0 && this.timer === undefined;
  }

  /** The connection is gone, and with it the watch at the node. */
  detached(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.id = 0;
    this.over = undefined;
  }

  /** Begins anew with a snapshot, behind a `compacted`. */
  renew(): void {
    const { call } = this;
    if (call !== undefined) this.dropped.add(call);
    this.call = undefined;
    this.leave();
    this.compacted();
    this.start();
  }

  /** Ends it for good. The sink is told where there is an error. */
  end(error?: RondoError): void {
    if (this.isEnded) return;
    this.isEnded = true;
    clearTimeout(this.timer);
    // A start that is under way is undone when it is answered.
    if (this.call === undefined) this.leave();
    this.streams.ended(this);
    if (error !== undefined) this.sink.ended(error);
  }

  /** Nothing has happened up to there. */
  heartbeat(position: number): void {
    if (this.isWhole && this.position !== undefined && position > this.position) {
      this.position = position;
      this.sink.moved?.();
    }
  }

  /** The reader's current event. Returns why it cannot be, if so. */
  receive(reader: PushReader): RondoError | undefined {
    if (this.isEnded) return undefined;
    const { kind, position } = reader;
    switch (kind) {
      case EventKind.Heartbeat:
        this.heartbeat(position);
        return undefined;
      case EventKind.Ended:
        this.streams.forget(this);
        this.broken(endError(reader.status, this.subjectText));
        return undefined;
      case EventKind.Compacted:
        this.compacted();
        return undefined;
      case EventKind.Synced:
      case EventKind.Gap:
        this.isWhole ||= kind === EventKind.Synced;
        this.tell(placeEvent(kind, this.origin, this.isWhole ? position : undefined), position);
        return undefined;
    }
    return this.receiveRecord(reader);
  }

  private receiveRecord(reader: PushReader): RondoError | undefined {
    const { kind, position, partition, revision, previous } = reader;
    const { form, isPrefix, key: wanted } = this.subject;
    if (!isTold(kind)) return violation(`an event of the kind ${kind}, which this client lacks`);
    const key = reader.keyText();
    if (key === undefined) return violation('an event whose key is not text');
    const isOfSubject = isPrefix ? key.startsWith(wanted) : key === wanted;
    if (!isOfSubject && !isOfSession(kind)) {
      return violation(`an event of ${JSON.stringify(key)} to ${this.subjectText}`);
    }
    let value: Pushed['value'];
    if (kind === EventKind.Put && form !== 'none') {
      value = form === 'text' ? reader.valueText() : reader.value.slice();
    }
    const isSnapshot = (reader.flags & FLAG_SNAPSHOT) !== 0;
    this.hasTold = true;
    const event: Pushed = {
      kind,
      isSnapshot,
      key,
      value,
      partition,
      revision,
      previous,
      position: isSnapshot || !this.isWhole ? undefined : position,
      origin: this.origin,
    };
    this.tell(event, isSnapshot ? this.position : position);
    return undefined;
  }

  private tell(event: Pushed, position: number | undefined): void {
    if (this.sink.take(event)) this.position = position;
  }
}

function endError(status: number, subject: string): RondoError {
  const error = statusError(status, subject, false, 0);
  // Whoever goes on reading finds the place to resume from in the watch.
  return isRetryable(status) || error.code !== 'WATCH_OVERFLOW'
    ? error
    : new RondoError(error.code, `${error.message}; go on with { resume: watch.token }`);
}
