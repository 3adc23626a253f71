// All watches of a client: which stream an event is for, and what becomes of the streams when a connection
// goes and comes. Dispatchers hand every push frame to `receive`.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  CLASS_KEYS,
  FLAG_WATCH_KEYS_ONLY,
  FLAG_WATCH_PREFIX,
  OVERFLOW_GAP,
  START_NOW,
} from '../wire/layout.js';
import { EventKind, PushReader } from '../wire/push.js';
import { decodeRouting } from '../wire/routing.js';
import { backoffMs } from './backoff.js';
import { Call, Shape, UNSENT } from './call.js';
import type { CallOptions, Dispatcher } from './dispatcher.js';
import { RondoError } from './errors.js';
import { violation } from './failures.js';
import type { Written } from './kv.js';
import type { Router, RouteWatcher } from './router.js';
import { type Groups, WatchGroup, type WatchStart } from './watch-group.js';
import type { WatchSink, WatchStream, WatchSubject } from './watch-stream.js';
import type { Origin, Place, Places } from './watch-token.js';

/** Only the answer to its watch is of interest. */
const PROBE_KEY = 'rondo/watch/place';

export interface WatchesContext {
  readonly router: Router;
  readonly retryDelayMsMin: number;
  readonly retryDelayMsMax: number;
  readonly random: () => number;
}

export class Watches implements RouteWatcher, Groups {
  readonly router: Router;
  private readonly groups = new Set<WatchGroup>();
  private readonly streams = new Set<WatchStream>();
  /** Those whose start is under way, or has been answered without a turn of ours since. */
  private readonly starting = new Set<WatchStream>();
  private readonly byId = new Map<number, WatchStream>();
  private readonly leaving = new Set<number>();
  private readonly reader = new PushReader();

  constructor(private readonly context: WatchesContext) {
    this.router = context.router;
  }

  /** Starts a watch, now or with the next connection. */
  open(subject: WatchSubject, start: WatchStart, sink: WatchSink): WatchGroup {
    const group = new WatchGroup(this, subject, start, sink);
    if (group.streams.length > 0) this.groups.add(group);
    return group;
  }

  /** Where the workers of a watch are: at or behind everything that was acknowledged before. A round trip. */
  places(group: WatchGroup, options: CallOptions): Promise<Places> {
    return Promise.all(group.streams.map((stream) => this.place(this.workerOf(stream), options)));
  }

  private async place(worker: number, options: CallOptions): Promise<Place> {
    const { router } = this;
    const isSeveral = router.routes !== undefined;
    const flags = START_NOW | OVERFLOW_GAP | FLAG_WATCH_KEYS_ONLY;
    const call = new Call(
      OperationCode.Watch,
      Shape.Written,
      isSeveral ? flags | FLAG_WATCH_PREFIX : flags,
      PROBE_KEY,
      undefined,
      CLASS_KEYS,
      isSeveral ? worker + 1 : 0,
      0,
      undefined,
    );
    const answer = await router.submit<Written | undefined>(call, options, false);
    const over = call.carrier as Dispatcher;
    const origin = router.originOf(call.worker, over);
    if (origin === undefined || answer === undefined) {
      throw new RondoError('CONNECTION_LOST', 'the connection was lost');
    }
    this.leave(call.id, over, call.worker);
    return { ...origin, position: answer.revision };
  }

  // Of the dispatchers, and of the router

  attached(): void {
    this.startIdle();
  }

  routesChanged(): void {
    for (const group of [...this.groups]) group.routesChanged();
    this.startIdle();
  }

  private startIdle(): void {
    for (const stream of [...this.streams]) {
      if (stream.isIdle && this.canStart(stream)) stream.start();
    }
  }

  detached(_reason: RondoError, from: Dispatcher): void {
    this.detach((stream) => stream.over === from);
  }

  private detach(isLost: (stream: WatchStream) => boolean): void {
    for (const stream of this.streams) {
      // One that was refused may wait for another try: the next connection is one.
      if (stream.over !== undefined && !isLost(stream)) continue;
      if (this.byId.delete(stream.id)) this.router.heldIds.delete(stream.id);
      stream.detached();
    }
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

  receive(frame: ArrayBuffer, from: Dispatcher): RondoError | undefined {
    const { reader } = this;
    if (!reader.open(frame)) return violation('a frame that is not a valid push');
    while (reader.next()) {
      const { id } = reader;
      const error = id === 0 ? this.receiveOfAll(from) : this.receiveOf(id, from);
      if (error !== undefined) return error;
    }
    return undefined;
  }

  private receiveOf(id: number, from: Dispatcher): RondoError | undefined {
    const stream = this.byId.get(id) ?? this.adopt(id);
    // Of one that has ended here: the node has not heard of it yet, or was not told.
    if (stream === undefined) this.leave(id, from, this.workerOfEvent());
    return stream?.receive(this.reader);
  }

  /** What is of the connection, or of all watches of a worker over it. */
  private receiveOfAll(from: Dispatcher): RondoError | undefined {
    const { reader, router } = this;
    const worker = this.workerOfEvent();
    const isOfWorker = (stream: WatchStream): boolean =>
      stream.over === from && (router.routes === undefined || stream.worker === worker);
    if (reader.kind === EventKind.Routing) {
      const routing = decodeRouting(reader.value);
      if (routing === undefined) return violation('a routing table that is none');
      router.learn(routing);
    } else if (reader.kind === EventKind.WorkerLost) {
      const reason = new RondoError('CONNECTION_LOST', `worker ${worker} of the node was lost`);
      from.lostWorker(worker, reason);
      this.detach(isOfWorker);
      this.startIdle();
    } else {
      const { position } = reader;
      for (const stream of this.byId.values()) if (isOfWorker(stream)) stream.heartbeat(position);
    }
    return undefined;
  }

  private workerOfEvent(): number {
    return this.router.routes?.ownerOf(this.reader.partition) ?? 0;
  }

  /**
   * An event may be read in the turn that reads the answer to its watch, before the promise of that answer
   * has told anyone. The call knows its id by then.
   */
  private adopt(id: number): WatchStream | undefined {
    for (const stream of this.starting) {
      const { call } = stream;
      if (call?.id !== id || call.state === UNSENT) continue;
      const over = call.carrier as Dispatcher;
      const origin = this.originOf(call.worker, over);
      if (origin === undefined) continue;
      stream.accepted(call, over, origin);
      return stream;
    }
    return undefined;
  }

  // Of the streams

  begin(stream: WatchStream): void {
    this.streams.add(stream);
    stream.start();
  }

  originOf(worker: number, over: Dispatcher): Origin | undefined {
    return this.router.originOf(worker, over);
  }

  canStart(stream: WatchStream): boolean {
    return this.router.canReach(this.workerOf(stream));
  }

  private workerOf({ address, subject }: WatchStream): number {
    const { routes } = this.router;
    if (routes === undefined) return 0;
    if (address > 0) return address - 1;
    const { key, isPrefix } = subject;
    return isPrefix ? Math.max(0, routes.workerOfPrefix(key)) : routes.workerOfKey(key);
  }

  submit(stream: WatchStream, call: Call): Promise<Written | undefined> {
    const { timeoutMs } = stream;
    this.starting.add(stream);
    const done = (): void => {
      if (stream.call === call) this.starting.delete(stream);
    };
    const answer = this.router.submit<Written | undefined>(call, { timeoutMs }, false);
    answer.then(done, done);
    return answer;
  }

  found(stream: WatchStream): void {
    this.starting.delete(stream);
    this.byId.set(stream.id, stream);
    // Ids begin anew after 2^32 calls, and a watch may live longer.
    this.router.heldIds.add(stream.id);
  }

  forget(stream: WatchStream): void {
    if (this.byId.get(stream.id) === stream) {
      this.byId.delete(stream.id);
      this.router.heldIds.delete(stream.id);
    }
    stream.id = 0;
    stream.over = undefined;
  }

  ended(stream: WatchStream): void {
    this.streams.delete(stream);
    for (const group of this.groups) if (group.isOver) this.groups.delete(group);
  }

  leave(id: number, over: Dispatcher | undefined, worker: number): void {
    if (this.leaving.has(id) || over?.isConnected !== true) return;
    this.leaving.add(id);
    const address = this.router.routes === undefined ? 0 : worker + 1;
    const { Unwatch } = OperationCode;
    const call = new Call(Unwatch, Shape.Removed, 0, '', undefined, 0, address, id, undefined);
    call.worker = worker;
    const done = (): void => {
      this.leaving.delete(id);
    };
    // Where it fails and the connection lives on, the next event of the watch brings it up again.
    over.submit(call, undefined, true).then(done, done);
  }

  retryDelayMs(attempt: number): number {
    const { retryDelayMsMin, retryDelayMsMax, random } = this.context;
    return backoffMs(attempt, retryDelayMsMin, retryDelayMsMax, random);
  }
}
