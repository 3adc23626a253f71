// All watches of a client: which stream an event is for, and what becomes of the streams when the connection
// goes and comes. The dispatcher hands every push frame to `receive`.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { CLASS_KEYS, FLAG_WATCH_KEYS_ONLY, OVERFLOW_GAP, START_NOW } from '../wire/layout.js';
import { PushReader } from '../wire/push.js';
import { backoffMs } from './backoff.js';
import { Call, Shape, UNSENT } from './call.js';
import type { CallOptions, Dispatcher, Pushes } from './dispatcher.js';
import { RondoError } from './errors.js';
import { violation } from './failures.js';
import type { Written } from './kv.js';
import type { Welcome } from './status.js';
import {
  type Streams,
  type WatchSink,
  type WatchStart,
  WatchStream,
  type WatchSubject,
} from './watch-stream.js';
import type { Origin, Place } from './watch-token.js';

/** Only the answer to its watch is of interest. */
const PROBE_KEY = 'rondo/watch/place';

export interface WatchesContext {
  readonly dispatcher: Dispatcher;
  readonly retryDelayMsMin: number;
  readonly retryDelayMsMax: number;
  readonly random: () => number;
}

export class Watches implements Pushes, Streams {
  origin: Origin | undefined;
  private readonly streams = new Set<WatchStream>();
  /** Those whose start is under way, or has been answered without a turn of ours since. */
  private readonly starting = new Set<WatchStream>();
  private readonly byId = new Map<number, WatchStream>();
  private readonly leaving = new Set<number>();
  private readonly reader = new PushReader();

  constructor(private readonly context: WatchesContext) {}

  /** Starts a watch, now or with the next connection. */
  open(subject: WatchSubject, start: WatchStart, sink: WatchSink): WatchStream {
    const stream = new WatchStream(this, subject, start, sink);
    this.streams.add(stream);
    stream.start();
    return stream;
  }

  /** Where the node is: at or behind everything that was acknowledged before. A round trip. */
  async place(options: CallOptions): Promise<Place> {
    const flags = START_NOW | OVERFLOW_GAP | FLAG_WATCH_KEYS_ONLY;
    const call = new Call(
      OperationCode.Watch,
      Shape.Written,
      flags,
      PROBE_KEY,
      undefined,
      CLASS_KEYS,
      0,
      0,
      undefined,
    );
    const { revision } = await this.context.dispatcher.submit<Written>(call, options, false);
    const { origin } = this;
    if (origin === undefined) throw new RondoError('CONNECTION_LOST', 'the connection was lost');
    this.leave(call.id);
    return { ...origin, position: revision };
  }

  // Of the dispatcher

  attached(welcome: Welcome): void {
    this.origin = { node: welcome.node, partitions: welcome.partitions };
    for (const stream of this.streams) stream.start();
  }

  detached(): void {
    this.origin = undefined;
    for (const id of this.byId.keys()) this.context.dispatcher.heldIds.delete(id);
    this.byId.clear();
    for (const stream of this.streams) stream.detached();
  }

  closed(reason: RondoError): void {
    for (const stream of this.streams) {
      stream.end(
        new RondoError(reason.code, `${stream.subjectText}: ${reason.message}`, {
          cause: reason.cause ?? reason,
          retryable: false,
        }),
      );
    }
  }

  receive(frame: ArrayBuffer): RondoError | undefined {
    const { reader } = this;
    if (!reader.open(frame)) return violation('a frame that is not a valid push');
    while (reader.next()) {
      const { id } = reader;
      if (id === 0) {
        this.heartbeat(reader.position);
        continue;
      }
      const stream = this.byId.get(id) ?? this.adopt(id);
      // Of one that has ended here: the node has not heard of it yet, or was not told.
      if (stream === undefined) this.leave(id);
      else {
        const error = stream.receive(reader);
        if (error !== undefined) return error;
      }
    }
    return undefined;
  }

  private heartbeat(position: number): void {
    for (const stream of this.byId.values()) stream.heartbeat(position);
  }

  /**
   * An event may be read in the turn that reads the answer to its watch, before the promise of that answer
   * has told anyone. The call knows its id by then.
   */
  private adopt(id: number): WatchStream | undefined {
    for (const stream of this.starting) {
      const { call } = stream;
      if (call?.id !== id || call.state === UNSENT || this.origin === undefined) continue;
      stream.accepted(this.origin);
      return stream;
    }
    return undefined;
  }

  // Of the streams

  submit(stream: WatchStream, call: Call): Promise<Written> {
    const { timeoutMs } = stream;
    this.starting.add(stream);
    const done = (): void => {
      if (stream.call === call) this.starting.delete(stream);
    };
    const answer = this.context.dispatcher.submit<Written>(call, { timeoutMs }, false);
    answer.then(done, done);
    return answer;
  }

  found(stream: WatchStream): void {
    this.starting.delete(stream);
    this.byId.set(stream.id, stream);
    // Ids begin anew after 2^32 calls, and a watch may live longer.
    this.context.dispatcher.heldIds.add(stream.id);
  }

  forget(stream: WatchStream): void {
    if (this.byId.get(stream.id) === stream) {
      this.byId.delete(stream.id);
      this.context.dispatcher.heldIds.delete(stream.id);
    }
    stream.id = 0;
  }

  ended(stream: WatchStream): void {
    this.streams.delete(stream);
  }

  leave(id: number): void {
    if (this.leaving.has(id) || this.origin === undefined) return;
    this.leaving.add(id);
    const call = new Call(
      OperationCode.Unwatch,
      Shape.Removed,
      0,
      '',
      undefined,
      0,
      0,
      id,
      undefined,
    );
    const done = (): void => {
      this.leaving.delete(id);
    };
    // Where it fails and the connection lives on, the next event of the watch brings it up again.
    this.context.dispatcher.submit(call, undefined, true).then(done, done);
  }

  retryDelayMs(attempt: number): number {
    const { retryDelayMsMin, retryDelayMsMax, random } = this.context;
    return backoffMs(attempt, retryDelayMsMin, retryDelayMsMax, random);
  }
}
