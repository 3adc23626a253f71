// Between callers and the socket: calls of one tick gather here and leave as one frame; answers are
// matched by id; deadlines, cancellation and what happens to each call when the connection is lost
// are decided here and nowhere else.

import { ReplyReader } from '../wire/reply.js';
import { isRetryable } from '../wire/status.js';
import { Alarm } from './alarm.js';
import { ANSWERED, answer, CONTINUES, passOver, VIOLATION } from './answer.js';
import { backoffMs } from './backoff.js';
import { type Call, RESTING, SENT, SETTLED, UNSENT } from './call.js';
import { invalidArgument, RondoError, statusError } from './errors.js';
import {
  cancelled,
  lost,
  offline,
  queueFull,
  refused,
  unanswered,
  unsent,
  violation,
} from './failures.js';
import { Outbox } from './outbox.js';
import { Outstanding } from './outstanding.js';
import { Queue } from './queue.js';
import { Signals } from './signals.js';
import type { Welcome } from './status.js';
import { SOCKET_OPEN, type WebSocketLike } from './websocket.js';

/** Part of the client's `timeoutMs` after which a connection that owes answers counts as dead. */
const SILENCE_SHARE = 0.9;
/** Times that a read is repeated by the client itself, whatever its deadline. */
const REPEATS_MAX = 8;
/** Bytes handed to the socket and not yet taken by the network, above which calls wait. */
const SOCKET_BUFFER_BYTES_MAX = 16 * 1024 * 1024;
/** Turns of the microtask queue without a new call after which the calls of a tick leave. */
const FLUSH_QUIET_TURNS = 4;
/** Turns after which they leave in any case. */
const FLUSH_TURNS_MAX = 64;
/** The longest timer that the platforms have. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Why `timeoutMs` is none, if so. */
export function timeoutError(timeoutMs: number): RondoError | undefined {
  if (timeoutMs > 0 && timeoutMs <= TIMER_MS_MAX) return undefined;
  return invalidArgument(`timeoutMs is a number above 0 and up to ${TIMER_MS_MAX}`);
}

export interface CallOptions {
  /** Gives the call up: unsent, it leaves the queue; sent, its answer is ignored. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from the call to its answer; otherwise the client's `timeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

export interface DispatcherOptions {
  readonly timeoutMs: number;
  readonly queueMax: number;
  readonly failFast: boolean;
  readonly repeatDelayMsMin: number;
  readonly repeatDelayMsMax: number;
  readonly random: () => number;
  readonly idFirst: number;
  /** The node has been silent for too long while answers were due. */
  readonly onSilence: (error: RondoError) => void;
}

/** A turn through it costs a third of `queueMicrotask`, which keeps an async context in Node. */
const resolved = Promise.resolve();

export class Dispatcher {
  /** Whether the present connection has answered anything. */
  hasAnswered = false;
  /** Why no call is taken any more. */
  private refusal: RondoError | undefined;
  /** Why no call is taken any more but those of a whole that is under way. */
  private draining: RondoError | undefined;
  /** Why there is no connection, for messages. */
  private absence: RondoError | undefined;

  private socket: WebSocketLike | undefined;
  private welcome: Welcome | undefined;

  private readonly queue = new Queue();
  private readonly outstanding: Outstanding;
  private readonly signals = new Signals((call, signal) =>
    this.giveUp(call, cancelled(call, signal)),
  );
  /** Calls, and wholes of several, whose caller has not been told. */
  private active = 0;
  private idleWaiters: (() => void)[] = [];

  private flushIsDue = false;
  private flushSeen = 0;
  private flushQuiet = 0;
  private flushTurns = 0;
  /** The clock at the first call of this tick. */
  private tickNow = 0;
  private receivedAt = 0;
  private readonly alarm = new Alarm((now) => this.sweep(now));

  private readonly outbox: Outbox;
  private readonly reader = new ReplyReader();

  constructor(private readonly options: DispatcherOptions) {
    this.outstanding = new Outstanding(options.idFirst);
    this.outbox = new Outbox(this.queue, this.outstanding, (call, error) => this.fail(call, error));
  }

  /** Takes a call; its promise tells the end. Never throws. `isPart`: of a whole that has begun. */
  submit<R>(call: Call, options: CallOptions | undefined, isPart: boolean): Promise<R> {
    const error = this.accept(call, options, isPart);
    if (error !== undefined) call.reject(error);
    return call.promise as Promise<R>;
  }

  /**
   * Runs what is made of several calls, one after another: a drain waits for the whole, whose calls
   * are taken until it has ended.
   */
  async whole<R>(run: () => Promise<R>): Promise<R> {
    if (this.draining !== undefined) throw this.draining;
    this.active++;
    try {
      return await run();
    } finally {
      this.ended();
    }
  }

  private accept(
    call: Call,
    options: CallOptions | undefined,
    isPart: boolean,
  ): RondoError | undefined {
    const { queue, absence } = this;
    const refusal = this.refusal ?? (isPart ? undefined : this.draining);
    if (refusal !== undefined) return refused(call, refusal);
    if (this.socket === undefined && this.options.failFast) return offline(call, absence);
    if (queue.waiting >= this.options.queueMax) return queueFull(call, queue.waiting, absence);
    let { timeoutMs } = this.options;
    if (options !== undefined) {
      if (options.timeoutMs !== undefined) {
        timeoutMs = options.timeoutMs;
        const error = timeoutError(timeoutMs);
        if (error !== undefined) return error;
      }
      const { signal } = options;
      if (signal !== undefined) {
        if (signal.aborted) return cancelled(call, signal);
        call.signal = signal;
        this.signals.add(call, signal);
      }
    }
    if (!this.flushIsDue) this.scheduleFlush();
    call.deadline = this.tickNow + timeoutMs;
    this.alarm.set(call.deadline, this.tickNow);
    queue.add(call);
    this.active++;
    return undefined;
  }

  /** A connection is up: what waits may leave. */
  attach(socket: WebSocketLike, welcome: Welcome): void {
    this.socket = socket;
    this.welcome = welcome;
    this.absence = undefined;
    this.hasAnswered = false;
    this.receivedAt = performance.now();
    if (!this.queue.isEmpty && !this.flushIsDue) this.scheduleFlush();
  }

  /**
   * The connection is gone. Reads that were sent go back to the head of the queue where `mayRepeat`
   * says that another try can help; everything else that was sent fails, since the node may or may
   * not have carried it out.
   */
  detach(reason: RondoError, mayRepeat: boolean): void {
    this.socket = undefined;
    this.welcome = undefined;
    this.absence = reason;
    const again: Call[] = [];
    for (const call of this.outstanding.clear()) {
      if (call.state !== SENT) continue;
      if (call.isRead && mayRepeat && !this.options.failFast && call.repeats < REPEATS_MAX) {
        call.repeat(UNSENT);
        again.push(call);
      } else {
        this.fail(call, lost(call, reason));
      }
    }
    this.queue.addFirst(again);
    if (this.options.failFast) {
      for (const call of this.queue.clear()) this.fail(call, offline(call, reason));
    }
  }

  /** The connection could not be made; kept for the messages of calls that wait for it. */
  noteAbsence(reason: RondoError): void {
    this.absence = reason;
  }

  /** Takes no more calls: further ones fail with the code of `reason`. What has begun goes on. */
  refuse(reason: RondoError): void {
    this.draining ??= reason;
  }

  /** Takes no more calls and fails every one that has no answer yet. */
  shutdown(reason: RondoError): void {
    this.refusal = reason;
    this.socket = undefined;
    this.welcome = undefined;
    for (const call of this.queue.clear()) this.fail(call, refused(call, reason));
    for (const call of this.outstanding.clear()) {
      if (call.state === SENT) this.fail(call, refused(call, reason));
    }
    this.alarm.stop();
  }

  /** Fulfilled when every call has had its answer. */
  idle(): Promise<void> {
    if (this.active === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleWaiters.push(resolve));
  }

  /** One message of the node. Returns why it is not acceptable, if so. */
  receive(frame: ArrayBuffer): RondoError | undefined {
    const { reader, outstanding } = this;
    if (!reader.open(frame)) return violation('a frame that is not a valid reply');
    this.receivedAt = performance.now();
    this.hasAnswered = true;
    while (reader.next()) {
      const call = outstanding.get(reader.id);
      if (call === undefined)
        return violation(`an answer to operation ${reader.id}, not asked for`);
      const outcome = call.state === SETTLED ? passOver(call, reader) : answer(call, reader);
      if (outcome === CONTINUES) continue;
      if (outcome === VIOLATION) return violation(`an answer that does not fit ${call.subject}`);
      outstanding.remove(call);
      if (call.state === SETTLED) continue;
      if (outcome === ANSWERED) this.settled(call);
      else if (call.failure !== undefined) this.fail(call, call.failure);
      else if (call.isRead && isRetryable(outcome)) this.rest(call, outcome);
      else this.fail(call, statusError(outcome, call.subject, !call.isRead, reader.revision));
    }
    if (!this.queue.isEmpty && !this.flushIsDue) this.scheduleFlush();
    return undefined;
  }

  // Sending

  private scheduleFlush(): void {
    this.flushIsDue = true;
    this.flushQuiet = 0;
    this.flushTurns = 0;
    this.tickNow = performance.now();
    void resolved.then(this.flushTask);
  }

  private readonly flushTask = (): void => {
    // Callers may be further down the microtask queue of the same tick, behind promises of their
    // own: they are let past, so that one frame takes them all.
    const { length } = this.queue;
    this.flushQuiet = length === this.flushSeen ? this.flushQuiet + 1 : 0;
    this.flushSeen = length;
    if (this.flushQuiet < FLUSH_QUIET_TURNS && ++this.flushTurns < FLUSH_TURNS_MAX) {
      void resolved.then(this.flushTask);
      return;
    }
    this.flushIsDue = false;
    this.flush();
  };

  private flush(): void {
    const { socket, welcome } = this;
    if (socket === undefined || welcome === undefined) return;
    while (!this.queue.isEmpty) {
      // Checked anew for each frame: a socket that is closing takes nothing.
      if (socket.readyState !== SOCKET_OPEN) return;
      // Answers to what is outstanding bring the next flush.
      if (socket.bufferedAmount > SOCKET_BUFFER_BYTES_MAX && this.outstanding.count > 0) return;
      if (!this.outbox.send(socket, welcome.limits)) return;
    }
  }

  // Settling

  private fail(call: Call, error: RondoError): void {
    call.reject(error);
    this.settled(call);
  }

  private settled(call: Call): void {
    call.state = SETTLED;
    if (call.signal !== undefined) this.signals.remove(call, call.signal);
    this.ended();
  }

  private ended(): void {
    this.active--;
    if (this.active === 0 && this.idleWaiters.length > 0) {
      for (const resolve of this.idleWaiters.splice(0)) resolve();
    }
  }

  /** Ends a call whose caller no longer waits, wherever it stands. */
  private giveUp(call: Call, error: RondoError): void {
    if (call.state === RESTING || call.state === UNSENT) this.queue.giveUp(call);
    this.fail(call, error);
  }

  private rest(call: Call, status: number): void {
    if (call.repeats >= REPEATS_MAX) {
      this.fail(call, statusError(status, call.subject, false, 0));
      return;
    }
    call.repeat(RESTING);
    const { repeatDelayMsMin, repeatDelayMsMax, random } = this.options;
    const delayMs = backoffMs(call.repeats, repeatDelayMsMin, repeatDelayMsMax, random);
    call.restUntil = this.receivedAt + delayMs;
    this.queue.addResting(call);
    this.alarm.set(call.restUntil, this.receivedAt);
  }

  /** Looks at every call: ends those whose deadline has passed, and sends those that have rested. */
  private sweep(now: number): void {
    let nearest = this.queue.wake(now);
    let oldestSentAt = now;
    const late: Call[] = [];
    const look = (call: Call): void => {
      if (call.state === SETTLED) return;
      if (call.deadline <= now) late.push(call);
      else if (call.deadline < nearest) nearest = call.deadline;
    };
    this.queue.forEach(look);
    this.outstanding.forEach((call) => {
      if (call.sentAt < oldestSentAt) oldestSentAt = call.sentAt;
      look(call);
    });
    for (const call of late) {
      const isSent = call.state === SENT;
      const isConnected = this.socket !== undefined;
      this.giveUp(call, isSent ? unanswered(call) : unsent(call, isConnected, this.absence));
    }
    if (!this.queue.isEmpty && !this.flushIsDue) this.scheduleFlush();
    if (nearest < Number.POSITIVE_INFINITY) this.alarm.set(nearest, now);

    // A connection on which answers are due and nothing at all comes is dead, whatever the operating
    // system thinks of it: the caller makes another.
    const { timeoutMs } = this.options;
    const silentMs = now - Math.max(oldestSentAt, this.receivedAt);
    const isSilent = silentMs >= timeoutMs * SILENCE_SHARE;
    if (this.socket !== undefined && late.length > 0 && isSilent) {
      this.options.onSilence(
        new RondoError('TIMEOUT', `the node has sent nothing for ${Math.round(silentMs)} ms`),
      );
    }
  }
}
