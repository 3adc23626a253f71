// Between callers and one connection: calls of one tick gather here and leave as one frame; answers are
// matched by id; deadlines, cancellation and what happens to each call when the connection is lost
// are decided here and nowhere else. Which connection a call is for is the router's affair.
//
// A connection is lost with operations unanswered. With a session they stay at the head of the queue under
// their ids, and the next welcome decides: where the session goes on and remembers answers, all are sent
// again; where it only goes on, locks and reads are; where it does not, reads are.

import { WAIT_FOREVER } from '../wire/layout.js';
import { ReplyReader } from '../wire/reply.js';
import { isRetryable, Status } from '../wire/status.js';
import { Alarm } from './alarm.js';
import { ANSWERED, answer, CONTINUES, passOver, VIOLATION } from './answer.js';
import { timeoutError } from './arguments.js';
import { type Call, type Carrier, RESTING, SENT, SETTLED, UNSENT } from './call.js';
import { overdue } from './deadlines.js';
import { RondoError, statusError } from './errors.js';
import {
  cancelled,
  offline,
  queueFull,
  refusal,
  refused,
  unanswered,
  unsent,
  violation,
} from './failures.js';
import { Flusher } from './flush.js';
import type { Intake } from './intake.js';
import type { CallOptions, DispatcherOptions } from './options.js';
import { Outbox } from './outbox.js';
import { isPush, type Pushes } from './pushes.js';
import { Queue } from './queue.js';
import { REPEATS_MAX, Recovery } from './recovery.js';
import { Rests } from './rests.js';
import type { Welcome } from './status.js';
import type { Origin } from './watch-token.js';
import { SOCKET_OPEN, type WebSocketLike } from './websocket.js';

/** Part of the client's `timeoutMs` after which a connection that owes answers counts as dead. */
const SILENCE_SHARE = 0.9;
/** Bytes handed to the socket and not yet taken by the network, above which calls wait. */
const SOCKET_BUFFER_BYTES_MAX = 16 * 1024 * 1024;

export type { CallOptions } from './options.js';
export type { Pushes } from './pushes.js';

export class Dispatcher implements Carrier {
  outstanding = 0;
  /** What waits stays where it is: what was sent another way must be answered first. */
  isHeld = false;
  /** Whether the present connection has answered anything. */
  hasAnswered = false;
  /** When the newest of the frames was sent that the node has answered. */
  heardAt = 0;
  /** When the newest frame of the node came. */
  receivedAt = 0;
  /** Takes what the node sends without being asked. */
  pushes: Pushes | undefined;
  /** Why there is no connection, for messages. */
  private absence: RondoError | undefined;

  private socket: WebSocketLike | undefined;
  private welcome: Welcome | undefined;
  /** Answers that the session of the connection remembers; 0: it has none. */
  private onceMax = 0;
  /** Whether there is a session that the next connection may go on with. */
  private hasSession = false;

  private readonly queue = new Queue();
  private readonly rests: Rests;
  readonly recovery: Recovery;
  private readonly flusher = new Flusher(this.queue, () => this.flush());
  private readonly alarm = new Alarm((now) => this.sweep(now));

  private readonly outbox: Outbox;
  private readonly reader = new ReplyReader();

  constructor(
    private readonly options: DispatcherOptions,
    private readonly intake: Intake,
  ) {
    intake.queues.push(this.queue);
    const { outstanding } = intake;
    const { failFast } = options;
    const fail = (call: Call, error: RondoError): void => this.fail(call, error);
    this.rests = new Rests(options, this.queue, this.alarm);
    this.recovery = new Recovery(this, this.queue, intake, failFast, fail);
    this.outbox = new Outbox(this.queue, outstanding, this, fail);
  }

  /** Whose the positions are that watches of the present connection's worker tell. */
  get origin(): Origin | undefined {
    const { welcome } = this;
    return welcome && { node: welcome.node, partitions: welcome.partitions };
  }

  /** The worker of the present connection. */
  get worker(): number {
    return this.welcome?.worker ?? 0;
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

  private accept(
    call: Call,
    options: CallOptions | undefined,
    isPart: boolean,
  ): RondoError | undefined {
    const { queue, flusher, absence, intake } = this;
    const refusal = intake.refusal ?? (isPart ? undefined : intake.draining);
    if (refusal !== undefined) return refused(call, refusal);
    if (this.socket === undefined && this.options.failFast) return offline(call, absence);
    const { waiting } = intake;
    if (waiting >= this.options.queueMax) return queueFull(call, waiting, absence);
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
        intake.signals.add(call, signal);
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
    call.carrier = this;
    if (!this.rests.join(call, flusher.tickNow)) queue.add(call);
    intake.activity.begin();
    return undefined;
  }

  /** Takes over what another connection has given away, before what waits here. */
  takeOver(calls: readonly Call[]): void {
    const now = performance.now();
    for (const call of calls) {
      call.carrier = this;
      if (call.id !== 0) this.outstanding++;
      this.alarm.set(call.deadline, now);
      if (call.state !== RESTING) continue;
      this.queue.addResting(call);
      this.alarm.set(call.restUntil, now);
    }
    this.queue.addFirst(calls.filter(({ state }) => state === UNSENT));
    this.wakeFlusher();
  }

  release(): void {
    this.isHeld = false;
    this.wakeFlusher();
  }

  /** A connection is up: what waits may leave. `isResumed`: with the session there was. */
  attach(socket: WebSocketLike, welcome: Welcome, isResumed: boolean): void {
    if (!isResumed || !welcome.answersRemembered) this.recovery.decide(isResumed, this.absence);
    this.socket = socket;
    this.welcome = welcome;
    this.hasSession = welcome.session !== 0;
    this.onceMax = this.hasSession ? welcome.limits.answersRememberedMax : 0;
    this.absence = undefined;
    this.hasAnswered = false;
    this.receivedAt = performance.now();
    this.outbox.keepsValues = welcome.routing.length > 0;
    this.pushes?.attached(welcome, this);
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
    this.recovery.takeBack(reason, mayRepeat, this.hasSession, () => true);
    if (this.options.failFast) {
      for (const call of this.queue.clear()) this.fail(call, offline(call, reason));
    }
    this.pushes?.detached(reason, this);
  }

  /** A worker is gone that this connection's node passed operations on to: so is what it remembered. */
  lostWorker(worker: number, reason: RondoError): void {
    this.recovery.workerLost(worker, reason, this.hasSession);
    this.wakeFlusher();
  }

  /** The session is over; so is what only it could have repeated. */
  sessionLost(reason: RondoError): void {
    this.hasSession = false;
    this.intake.outstanding.forgetRemembered();
    this.intake.echoes.clear();
    if (this.socket === undefined) this.recovery.decide(false, reason);
  }

  /** The connection could not be made; kept for the messages of calls that wait for it. */
  noteAbsence(reason: RondoError): void {
    this.absence = reason;
  }

  /** Whoever waits for a lock hears at once that there will be none. */
  refuseWaits(reason: RondoError): void {
    // A lock that is granted from here on is of use to nobody, and may be long in coming.
    const waits: Call[] = [];
    const look = (call: Call): void => {
      if (call.isDeferred && call.state !== SETTLED) waits.push(call);
    };
    this.queue.forEach(look);
    this.intake.outstanding.forEach(this, look);
    for (const call of waits) if (call.state !== SETTLED) this.giveUp(call, refused(call, reason));
  }

  /** Ends the session with the connection; false where there are not both. Nobody waits for the answer. */
  farewell(): boolean {
    const { socket } = this;
    if (!this.hasSession || socket?.readyState !== SOCKET_OPEN) return false;
    this.outbox.sendEnd(socket);
    return true;
  }

  /** Fails every call that has no answer yet. */
  shutdown(reason: RondoError): void {
    const { outstanding } = this.intake;
    this.socket = undefined;
    this.welcome = undefined;
    for (const call of this.queue.clear()) this.fail(call, refused(call, reason));
    for (const call of outstanding.inOrder(this)) {
      outstanding.remove(call);
      if (call.state === SENT) this.fail(call, refused(call, reason));
    }
    this.alarm.stop();
    this.pushes?.closed(reason);
  }

  /** One message of the node. Returns why the connection has to end, if so. */
  receive(frame: ArrayBuffer): RondoError | undefined {
    const { reader } = this;
    const { outstanding } = this.intake;
    if (!reader.open(frame)) return this.receivePush(frame);
    this.receivedAt = performance.now();
    this.hasAnswered = true;
    let refusedBySession: Call[] | undefined;
    while (reader.next()) {
      const call = this.intake.asked(reader.id, this);
      if (call === undefined) {
        if (this.intake.isEcho(reader.id)) continue;
        return violation(`an answer to operation ${reader.id}, not asked for`);
      }
      const outcome = call.state === SETTLED ? passOver(call, reader) : answer(call, reader);
      if (outcome === CONTINUES) continue;
      if (outcome === VIOLATION) return violation(`an answer that does not fit ${call.subject}`);
      if (outcome === Status.Unavailable && this.mayRest(call)) {
        this.restForWorker(call);
        continue;
      }
      outstanding.remove(call);
      this.rests.serves(call.worker);
      if (call.sentAt > this.heardAt) this.heardAt = call.sentAt;
      if (reader.status === Status.Ok) outstanding.remember(call);
      // Sent twice, it may be answered twice: when it was granted, and when it was asked for again.
      if (call.isDeferred && call.repeats > 0) this.intake.expectEcho(call.id);
      if (reader.status === Status.SessionUnknown) refusedBySession ??= [];
      if (call.state === SETTLED) continue;
      if (outcome === ANSWERED) this.intake.settled(call);
      else if (call.failure !== undefined) this.fail(call, call.failure);
      else if (call.isRead && isRetryable(outcome)) this.rest(call, outcome);
      else if (refusedBySession !== undefined && call.isForAnySession && !call.isInDoubt) {
        call.repeat(UNSENT);
        refusedBySession.push(call);
      } else {
        const detail = outcome === Status.Deadlock ? reader.valueText() : '';
        this.fail(call, refusal(call, outcome, reader.revision, detail));
      }
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
    return this.pushes.receive(frame, this);
  }

  // Sending

  private wakeFlusher(): void {
    if (!this.queue.isEmpty && !this.flusher.isDue) this.flusher.schedule();
  }

  private flush(): void {
    const { socket, welcome } = this;
    if (socket === undefined || welcome === undefined || this.isHeld) return;
    while (!this.queue.isEmpty) {
      // Checked anew for each frame: a socket that is closing takes nothing.
      if (socket.readyState !== SOCKET_OPEN) return;
      // Answers to what is outstanding bring the next flush.
      if (socket.bufferedAmount > SOCKET_BUFFER_BYTES_MAX && this.outstanding > 0) return;
      if (!this.outbox.send(socket, welcome.limits, this.onceMax)) return;
    }
  }

  // Settling

  private fail(call: Call, error: RondoError): void {
    call.reject(error);
    this.intake.settled(call);
  }

  /** Ends a call whose caller no longer waits, wherever it stands. */
  giveUp(call: Call, error: RondoError): void {
    const isWaiting = call.state === RESTING || call.state === UNSENT;
    if (isWaiting && call.id !== 0) {
      this.intake.outstanding.remove(call);
      if (call.isDeferred) this.intake.expectEcho(call.id);
    }
    if (isWaiting) this.queue.giveUp(call);
    this.fail(call, error);
  }

  private rest(call: Call, status: number): void {
    if (call.repeats >= REPEATS_MAX) {
      this.fail(call, statusError(status, call.subject, false, 0));
      return;
    }
    call.repeat(RESTING);
    this.rests.rest(call, this.receivedAt);
  }

  /** Whether the worker that a call is for did not serve, and nothing was done: then the call may wait for it. */
  private mayRest(call: Call): boolean {
    if (!this.outbox.keepsValues || call.state !== SENT || this.reader.revision !== 0) return false;
    return !call.isInDoubt || call.isDeferred;
  }

  /** Rests until its worker may be back, within its deadline. What comes for the same worker rests behind it. */
  private restForWorker(call: Call): void {
    if (call.isInDoubt) call.repeatAs(RESTING, true);
    else {
      this.intake.outstanding.remove(call);
      call.repeat(RESTING);
    }
    this.rests.restForWorker(call, this.receivedAt);
  }

  /** Looks at every call: ends those whose deadline has passed, and sends those that have rested. */
  private sweep(now: number): void {
    const rested = this.rests.wake(now);
    const { late, nearest, oldestSentAt } = overdue(this.queue, this.intake.outstanding, this, now);
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
