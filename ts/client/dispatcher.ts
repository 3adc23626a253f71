// Between callers and the socket: calls of one tick gather here and leave as one frame; answers are
// matched by id; deadlines, cancellation and what happens to each call when the connection is lost
// are decided here and nowhere else.
//
// A connection is lost with operations unanswered. With a session they stay at the head of the queue under
// their ids, and the next welcome decides: where the session goes on and remembers answers, all are sent
// again; where it only goes on, locks and reads are; where it does not, reads are.

import { WAIT_FOREVER } from '../wire/layout.js';
import { ReplyReader } from '../wire/reply.js';
import { isRetryable, Status } from '../wire/status.js';
import { Activity } from './activity.js';
import { Alarm } from './alarm.js';
import { ANSWERED, answer, CONTINUES, passOver, VIOLATION } from './answer.js';
import { timeoutError } from './arguments.js';
import { backoffMs } from './backoff.js';
import { type Call, RESTING, Repeat, SENT, SETTLED, UNSENT } from './call.js';
import { overdue } from './deadlines.js';
import { RondoError, statusError } from './errors.js';
import {
  cancelled,
  isBlind,
  lost,
  offline,
  queueFull,
  refused,
  unanswered,
  unsent,
  violation,
} from './failures.js';
import { Flusher } from './flush.js';
import type { CallOptions, DispatcherOptions } from './options.js';
import { Outbox } from './outbox.js';
import { Outstanding } from './outstanding.js';
import { isPush, type Pushes } from './pushes.js';
import { Queue } from './queue.js';
import { Signals } from './signals.js';
import type { Welcome } from './status.js';
import { SOCKET_OPEN, type WebSocketLike } from './websocket.js';

/** Part of the client's `timeoutMs` after which a connection that owes answers counts as dead. */
const SILENCE_SHARE = 0.9;
/** Times that a read which was refused, or has no session, is repeated, whatever its deadline. */
const REPEATS_MAX = 8;
/** Bytes handed to the socket and not yet taken by the network, above which calls wait. */
const SOCKET_BUFFER_BYTES_MAX = 16 * 1024 * 1024;

export type { CallOptions } from './options.js';
export type { Pushes } from './pushes.js';

export class Dispatcher {
  /** Whether the present connection has answered anything. */
  hasAnswered = false;
  /** When the newest of the frames was sent that the node has answered. */
  heardAt = 0;
  /** When the newest frame of the node came. */
  receivedAt = 0;
  /** Takes what the node sends without being asked. */
  pushes: Pushes | undefined;
  /** Why no call is taken any more. */
  private refusal: RondoError | undefined;
  /** Why no call is taken any more but those of a whole that is under way. */
  private draining: RondoError | undefined;
  /** Why there is no connection, for messages. */
  private absence: RondoError | undefined;

  private socket: WebSocketLike | undefined;
  private welcome: Welcome | undefined;
  /** Answers that the session of the connection remembers; 0: it has none. */
  private onceMax = 0;
  /** Whether there is a session that the next connection may go on with. */
  private hasSession = false;

  private readonly queue = new Queue();
  private readonly outstanding: Outstanding;
  /** Ids of locks that may be answered once more, or after their caller has gone. */
  private readonly echoes = new Set<number>();
  private readonly signals = new Signals((call, signal) =>
    this.giveUp(call, cancelled(call, signal)),
  );
  /** What a drain waits for. */
  readonly activity = new Activity();
  private readonly flusher = new Flusher(this.queue, () => this.flush());
  private readonly alarm = new Alarm((now) => this.sweep(now));

  private readonly outbox: Outbox;
  private readonly reader = new ReplyReader();

  constructor(private readonly options: DispatcherOptions) {
    this.outstanding = new Outstanding(options.idFirst);
    this.outbox = new Outbox(this.queue, this.outstanding, (call, error) => this.fail(call, error));
  }

  /** Ids of holds, which the session remembers as long as it has them: no call gets one of them. */
  get heldIds(): Set<number> {
    return this.outstanding.held;
  }

  get isConnected(): boolean {
    return this.socket !== undefined;
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
    this.activity.begin();
    try {
      return await run();
    } finally {
      this.activity.end();
    }
  }

  private accept(
    call: Call,
    options: CallOptions | undefined,
    isPart: boolean,
  ): RondoError | undefined {
    const { queue, flusher, absence } = this;
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
      if (signal?.aborted === true) return cancelled(call, signal);
      if (signal !== undefined) {
        call.signal = signal;
        this.signals.add(call, signal);
      }
    }
    if (!flusher.isDue) flusher.schedule();
    call.deadline = flusher.tickNow + timeoutMs;
    if (call.isDeferred) {
      // The node tells when the wait has ended; the deadline is there for where it does not.
      call.waitUntil = flusher.tickNow + (call.limit === WAIT_FOREVER ? Infinity : call.limit);
      call.deadline = call.waitUntil + timeoutMs;
    }
    this.alarm.set(call.deadline, flusher.tickNow);
    queue.add(call);
    this.activity.begin();
    return undefined;
  }

  /** A connection is up: what waits may leave. `isResumed`: with the session there was. */
  attach(socket: WebSocketLike, welcome: Welcome, isResumed: boolean): void {
    if (!isResumed || !welcome.answersRemembered) this.decide(isResumed);
    this.socket = socket;
    this.welcome = welcome;
    this.hasSession = welcome.session !== 0;
    this.onceMax = this.hasSession ? welcome.limits.answersRememberedMax : 0;
    this.absence = undefined;
    this.hasAnswered = false;
    this.receivedAt = performance.now();
    this.pushes?.attached(welcome);
    this.wakeFlusher();
  }

  /**
   * The connection is gone. What has no answer goes back to the head of the queue where `mayRepeat` says that
   * another try can help, and it changes nothing, or a session may go on: then under its id. All else that
   * was sent fails: the node may or may not have carried it out.
   */
  detach(reason: RondoError, mayRepeat: boolean): void {
    this.socket = undefined;
    this.welcome = undefined;
    this.absence = reason;
    const again: Call[] = [];
    for (const call of this.outstanding.inOrder()) {
      const isAgain = mayRepeat && !this.options.failFast && call.state === SENT;
      // Its deadline alone bounds how often: one that waits for a lock outlives any number of connections.
      if (isAgain && this.hasSession && call.repeatable !== Repeat.Never) {
        call.repeatAs(UNSENT, true);
        again.push(call);
        continue;
      }
      this.outstanding.remove(call);
      if (call.isDeferred && this.hasSession) this.echoes.add(call.id);
      if (call.state !== SENT) continue;
      if (!isAgain || !call.isRead || call.repeats >= REPEATS_MAX) {
        this.fail(call, lost(call, reason));
        continue;
      }
      call.repeat(UNSENT);
      again.push(call);
    }
    this.queue.addFirst(again);
    if (this.options.failFast) {
      for (const call of this.queue.clear()) this.fail(call, offline(call, reason));
    }
    this.pushes?.detached(reason);
  }

  /** The session is over; so is what only it could have repeated. */
  sessionLost(reason: RondoError): void {
    this.hasSession = false;
    this.outstanding.forgetRemembered();
    this.echoes.clear();
    if (this.socket === undefined) this.decide(false, reason);
  }

  /** What becomes of calls that wait to be sent again under their ids, other than all of it. */
  private decide(isResumed: boolean, reason = this.absence): void {
    for (const call of this.outstanding.inOrder()) {
      if (call.state !== UNSENT || (isResumed && call.isDeferred)) continue;
      this.outstanding.remove(call);
      if (call.isRead) {
        call.forgetId();
      } else {
        this.queue.giveUp(call);
        this.fail(call, lost(call, reason ?? new RondoError('CONNECTION_LOST', 'it was lost')));
      }
    }
  }

  /** The connection could not be made; kept for the messages of calls that wait for it. */
  noteAbsence(reason: RondoError): void {
    this.absence = reason;
  }

  /** Takes no more calls: further ones fail with the code of `reason`. What has begun goes on. */
  refuse(reason: RondoError): void {
    this.draining ??= reason;
    // A lock that is granted from here on is of use to nobody, and may be long in coming.
    const waits: Call[] = [];
    const look = (call: Call): void => {
      if (call.isDeferred && call.state !== SETTLED) waits.push(call);
    };
    this.queue.forEach(look);
    this.outstanding.forEach(look);
    for (const call of waits) if (call.state !== SETTLED) this.giveUp(call, refused(call, reason));
  }

  /** Ends the session with the connection, where there are both. Nobody waits for the answer. */
  farewell(): void {
    const { socket } = this;
    if (this.hasSession && socket?.readyState === SOCKET_OPEN) this.outbox.sendEnd(socket);
  }

  /** Takes no more calls and fails every one that has no answer yet. */
  shutdown(reason: RondoError): void {
    this.refusal = reason;
    this.socket = undefined;
    this.welcome = undefined;
    for (const call of this.queue.clear()) this.fail(call, refused(call, reason));
    for (const call of this.outstanding.inOrder()) {
      this.outstanding.remove(call);
      if (call.state === SENT) this.fail(call, refused(call, reason));
    }
    this.alarm.stop();
    this.pushes?.closed(reason);
  }

  /** One message of the node. Returns why the connection has to end, if so. */
  receive(frame: ArrayBuffer): RondoError | undefined {
    const { reader, outstanding } = this;
    if (!reader.open(frame)) return this.receivePush(frame);
    this.receivedAt = performance.now();
    this.hasAnswered = true;
    let refusedBySession: Call[] | undefined;
    while (reader.next()) {
      const call = outstanding.get(reader.id);
      if (call === undefined) {
        if (this.echoes.delete(reader.id)) continue;
        return violation(`an answer to operation ${reader.id}, not asked for`);
      }
      const outcome = call.state === SETTLED ? passOver(call, reader) : answer(call, reader);
      if (outcome === CONTINUES) continue;
      if (outcome === VIOLATION) return violation(`an answer that does not fit ${call.subject}`);
      outstanding.remove(call);
      if (call.sentAt > this.heardAt) this.heardAt = call.sentAt;
      if (reader.status === Status.Ok) outstanding.remember(call);
      // Sent twice, it may be answered twice: when it was granted, and when it was asked for again.
      if (call.isDeferred && call.repeats > 0) this.echoes.add(call.id);
      if (reader.status === Status.SessionUnknown) refusedBySession ??= [];
      if (call.state === SETTLED) continue;
      if (outcome === ANSWERED) this.settled(call);
      else if (call.failure !== undefined) this.fail(call, call.failure);
      else if (call.isRead && isRetryable(outcome)) this.rest(call, outcome);
      else if (refusedBySession !== undefined && call.isForAnySession && !call.isInDoubt) {
        call.repeat(UNSENT);
        refusedBySession.push(call);
      } else this.fail(call, this.errorOf(call, outcome));
    }
    if (refusedBySession !== undefined) {
      this.queue.addFirst(refusedBySession);
      return new RondoError('SESSION_UNKNOWN', 'the node has ended the session of this client');
    }
    this.wakeFlusher();
    return undefined;
  }

  private receivePush(frame: ArrayBuffer): RondoError | undefined {
    if (!isPush(frame)) return violation('a frame that is not a valid reply');
    if (this.pushes === undefined) return violation('events that nobody asked for');
    this.receivedAt = performance.now();
    return this.pushes.receive(frame);
  }

  private errorOf(call: Call, status: number): RondoError {
    const detail = status === Status.Deadlock ? this.reader.valueText() : '';
    const isWrite = call.repeatable === Repeat.Once;
    const error = statusError(status, call.subject, isWrite, this.reader.revision, detail);
    return call.isInDoubt && isBlind(status) ? lost(call, error) : error;
  }

  // Sending

  private wakeFlusher(): void {
    if (!this.queue.isEmpty && !this.flusher.isDue) this.flusher.schedule();
  }

  private flush(): void {
    const { socket, welcome } = this;
    if (socket === undefined || welcome === undefined) return;
    while (!this.queue.isEmpty) {
      // Checked anew for each frame: a socket that is closing takes nothing.
      if (socket.readyState !== SOCKET_OPEN) return;
      // Answers to what is outstanding bring the next flush.
      if (socket.bufferedAmount > SOCKET_BUFFER_BYTES_MAX && this.outstanding.count > 0) return;
      if (!this.outbox.send(socket, welcome.limits, this.onceMax)) return;
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
    this.activity.end();
  }

  /** Ends a call whose caller no longer waits, wherever it stands. */
  private giveUp(call: Call, error: RondoError): void {
    if (call.state === UNSENT && call.id !== 0) {
      this.outstanding.remove(call);
      if (call.isDeferred) this.echoes.add(call.id);
    }
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
    const rested = this.queue.wake(now);
    const { late, nearest, oldestSentAt } = overdue(this.queue, this.outstanding, now);
    for (const call of late) {
      const { isConnected, absence } = this;
      this.giveUp(call, call.id === 0 ? unsent(call, isConnected, absence) : unanswered(call));
    }
    this.wakeFlusher();
    const next = Math.min(rested, nearest);
    if (next < Number.POSITIVE_INFINITY) this.alarm.set(next, now);

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
