// Between callers and the socket: calls of one tick gather here and leave as one frame; answers are
// matched by id; deadlines, cancellation and what happens to each call when the connection is lost
// are decided here and nowhere else.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { HEADER_BYTES, OPERATION_BYTES } from '../wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX } from '../wire/limits.js';
import { ReplyReader } from '../wire/reply.js';
import { RequestWriter } from '../wire/request.js';
import { isRetryable } from '../wire/status.js';
import { ANSWERED, answer, CONTINUES, passOver, VIOLATION } from './answer.js';
import { backoffMs } from './backoff.js';
import { type Call, type CallOwner, RESTING, SENT, SETTLED, UNSENT } from './call.js';
import { invalidArgument, RondoError, statusError } from './errors.js';
import { UTF8_BYTES_PER_UNIT_MAX } from './key.js';
import { Outstanding } from './outstanding.js';
import type { Welcome } from './status.js';
import { SOCKET_OPEN, type WebSocketLike } from './websocket.js';

/** Part of the client's `timeoutMs` after which a connection that owes answers counts as dead. */
const SILENCE_SHARE = 0.9;
/** Times that a read is repeated by the client itself, whatever its deadline. */
const REPEATS_MAX = 8;
/** Bytes handed to the socket and not yet taken by the network, above which calls wait. */
const SOCKET_BUFFER_BYTES_MAX = 16 * 1024 * 1024;
/** Milliseconds between two looks at the deadlines: how late a deadline may be noticed. */
const SWEEP_INTERVAL_MS = 5;
/** Turns of the microtask queue without a new call after which the calls of a tick leave. */
const FLUSH_QUIET_TURNS = 4;
/** Turns after which they leave in any case. */
const FLUSH_TURNS_MAX = 64;
/** Settled calls that may stand in the queue before it is compacted. */
const QUEUE_REMNANTS_MAX = 1024;
/** The longest timer that the platforms have. */
const TIMER_MS_MAX = 2 ** 31 - 1;

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

const encoder = new TextEncoder();
/** A turn through it costs a third of `queueMicrotask`, which keeps an async context in Node. */
const resolved = Promise.resolve();

export class Dispatcher implements CallOwner {
  /** Whether the present connection has answered anything. */
  hasAnswered = false;
  /** Why no call is taken any more. */
  private refusal: RondoError | undefined;
  /** Why there is no connection, for messages. */
  private absence: RondoError | undefined;

  private socket: WebSocketLike | undefined;
  private welcome: Welcome | undefined;

  /** In order of issue, from `queueHead` on; settled calls stay until the queue is next walked. */
  private queue: Call[] = [];
  private queueHead = 0;
  /** Unsettled calls in `queue` and `resting`. */
  private unsent = 0;
  private remnants = 0;
  /** Reads that wait to be repeated. */
  private resting: Call[] = [];
  private readonly outstanding: Outstanding;
  /** Calls whose caller has not been told. */
  private active = 0;
  private idleWaiters: (() => void)[] = [];

  private flushIsDue = false;
  private flushSeen = 0;
  private flushQuiet = 0;
  private flushTurns = 0;
  /** The clock at the first call of this tick. */
  private tickNow = 0;
  private receivedAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = Number.POSITIVE_INFINITY;

  private readonly batch: Call[] = [];
  private readonly writer = new RequestWriter();
  private readonly reader = new ReplyReader();

  constructor(private readonly options: DispatcherOptions) {
    this.outstanding = new Outstanding(options.idFirst);
  }

  /** Takes a call; its promise tells the end. Never throws. */
  submit<R>(call: Call, options: CallOptions | undefined): Promise<R> {
    const error = this.accept(call, options);
    if (error !== undefined) call.reject(error);
    return call.promise as Promise<R>;
  }

  private accept(call: Call, options: CallOptions | undefined): RondoError | undefined {
    if (this.refusal !== undefined) return refusalOf(call, this.refusal);
    if (this.socket === undefined && this.options.failFast) return this.offline(call);
    if (this.unsent >= this.options.queueMax) {
      return new RondoError(
        'QUEUE_FULL',
        `${call.subject}: ${this.unsent} calls wait to be sent (queue.max); await some of them first`,
        { cause: this.absence },
      );
    }
    let { timeoutMs } = this.options;
    if (options !== undefined) {
      if (options.timeoutMs !== undefined) {
        timeoutMs = options.timeoutMs;
        if (!(timeoutMs > 0 && timeoutMs <= TIMER_MS_MAX)) {
          return invalidArgument(`timeoutMs is a number above 0 and up to ${TIMER_MS_MAX}`);
        }
      }
      const { signal } = options;
      if (signal !== undefined) {
        if (signal.aborted) return cancelled(call, signal, false);
        call.signal = signal;
        call.owner = this;
        signal.addEventListener('abort', call);
      }
    }
    if (!this.flushIsDue) this.scheduleFlush();
    call.deadline = this.tickNow + timeoutMs;
    if (call.deadline < this.timerAt) this.wakeAt(call.deadline, this.tickNow);
    this.queue.push(call);
    this.unsent++;
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
    if (this.queueLength > 0 && !this.flushIsDue) this.scheduleFlush();
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
        this.unsent++;
        again.push(call);
      } else {
        const code = reason.code === 'PROTOCOL_ERROR' ? 'PROTOCOL_ERROR' : 'CONNECTION_LOST';
        this.fail(call, lost(call, code, reason));
      }
    }
    this.queue = [...again, ...this.queue.slice(this.queueHead)];
    this.queueHead = 0;
    if (this.options.failFast) {
      for (const call of this.takeUnsent()) this.fail(call, this.offline(call));
    }
  }

  /** The connection could not be made; kept for the messages of calls that wait for it. */
  noteAbsence(reason: RondoError): void {
    this.absence = reason;
  }

  /** Takes no more calls: further ones fail with the code of `reason`. */
  refuse(reason: RondoError): void {
    this.refusal ??= reason;
  }

  /** Takes no more calls and fails every one that has no answer yet. */
  shutdown(reason: RondoError): void {
    this.refusal = reason;
    this.socket = undefined;
    this.welcome = undefined;
    for (const call of this.takeUnsent()) this.fail(call, refusalOf(call, reason));
    for (const call of this.outstanding.clear()) {
      if (call.state === SENT) this.fail(call, refusalOf(call, reason));
    }
    clearTimeout(this.timer);
    this.timerAt = Number.POSITIVE_INFINITY;
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
    if (this.queueLength > 0 && !this.flushIsDue) this.scheduleFlush();
    return undefined;
  }

  /** The signal of a call fired. */
  cancel(call: Call): void {
    if (call.state === SETTLED || call.signal === undefined) return;
    this.giveUp(call, cancelled(call, call.signal, call.state === SENT && !call.isRead));
  }

  // Sending

  private get queueLength(): number {
    return this.queue.length - this.queueHead;
  }

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
    while (this.queueLength > 0) {
      // Checked anew for each frame: a socket that is closing takes nothing.
      if (socket.readyState !== SOCKET_OPEN) return;
      // Answers to what is outstanding bring the next flush.
      if (socket.bufferedAmount > SOCKET_BUFFER_BYTES_MAX && this.outstanding.count > 0) return;
      if (!this.gather(welcome)) return;
      this.send(socket);
    }
    this.queue.length = 0;
    this.queueHead = 0;
    this.remnants = 0;
  }

  /** Moves as many calls as one frame takes from the queue to `batch`; false where none may go. */
  private gather(welcome: Welcome): boolean {
    const { batch, outstanding, queue } = this;
    const { limits } = welcome;
    const countMax = Math.min(
      limits.operationsPerFrameMax,
      OPERATIONS_PER_FRAME_MAX,
      limits.operationsOutstandingMax - outstanding.count,
    );
    let bytes = HEADER_BYTES + 4;
    let idBefore = 0;
    while (this.queueHead < queue.length && batch.length < countMax) {
      const call = queue[this.queueHead] as Call;
      if (call.state !== UNSENT) {
        this.queueHead++;
        this.remnants--;
        continue;
      }
      const size = this.measure(call, limits.valueBytesMax);
      if (size < 0) {
        this.queueHead++;
        this.unsent--;
        this.fail(
          call,
          new RondoError(
            'VALUE_TOO_LARGE',
            `${call.subject}: the value is above the node's limit of ${limits.valueBytesMax} bytes`,
          ),
        );
        continue;
      }
      bytes += size;
      if (bytes > limits.frameBytesMax && batch.length > 0) break;
      const id = outstanding.next();
      if (id <= idBefore) break;
      idBefore = id;
      outstanding.add(call);
      batch.push(call);
      this.queueHead++;
    }
    return batch.length > 0;
  }

  /** Bytes that a call takes in a frame at most; -1 where its value is above the limit. */
  private measure(call: Call, valueBytesMax: number): number {
    const { value } = call;
    const size = OPERATION_BYTES + call.key.length * UTF8_BYTES_PER_UNIT_MAX;
    if (value === undefined) return size;
    if (typeof value === 'string') {
      const bytesMax = value.length * UTF8_BYTES_PER_UNIT_MAX;
      if (bytesMax <= valueBytesMax) return size + bytesMax;
      call.value = encoder.encode(value);
      return this.measure(call, valueBytesMax);
    }
    // The bound is one on what `put` stores; a cursor or a delta is the client's own.
    if (value.length > valueBytesMax && call.code === OperationCode.Put) return -1;
    return size + value.length;
  }

  private send(socket: WebSocketLike): void {
    const { batch, writer } = this;
    const now = performance.now();
    writer.begin(batch.length);
    for (const call of batch) {
      writer.operation(
        call.id,
        call.code,
        call.flags,
        call.key,
        call.value,
        call.limit,
        call.ttlMs,
        call.expectedRevision,
      );
      call.state = SENT;
      call.sentAt = now;
      // A read is kept whole, for it may be sent again.
      if (!call.isRead) call.value = undefined;
    }
    this.unsent -= batch.length;
    batch.length = 0;
    socket.send(writer.finish());
  }

  // Settling

  private fail(call: Call, error: RondoError): void {
    call.reject(error);
    this.settled(call);
  }

  private settled(call: Call): void {
    call.state = SETTLED;
    this.active--;
    if (call.signal !== undefined) call.signal.removeEventListener('abort', call);
    if (this.active === 0 && this.idleWaiters.length > 0) {
      for (const resolve of this.idleWaiters.splice(0)) resolve();
    }
  }

  /** Ends a call whose caller no longer waits, wherever it stands. */
  private giveUp(call: Call, error: RondoError): void {
    if (call.state === RESTING) {
      this.unsent--;
      this.resting = this.resting.filter((other) => other !== call);
    } else if (call.state === UNSENT) {
      this.unsent--;
      this.remnants++;
    }
    this.fail(call, error);
    if (this.remnants > QUEUE_REMNANTS_MAX && this.remnants * 2 > this.queueLength) {
      this.queue = this.queue.slice(this.queueHead).filter((other) => other.state === UNSENT);
      this.queueHead = 0;
      this.remnants = 0;
    }
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
    this.unsent++;
    this.resting.push(call);
    if (call.restUntil < this.timerAt) this.wakeAt(call.restUntil, this.receivedAt);
  }

  private takeUnsent(): Call[] {
    const calls = [...this.queue.slice(this.queueHead), ...this.resting];
    this.queue = [];
    this.queueHead = 0;
    this.resting = [];
    this.unsent = 0;
    this.remnants = 0;
    return calls.filter((call) => call.state !== SETTLED);
  }

  private offline(call: Call): RondoError {
    return new RondoError(
      'OFFLINE',
      `${call.subject}: not connected${because(this.absence)}; wait for the status "connected", ` +
        `or let calls queue with queue.mode "wait"`,
      { cause: this.absence },
    );
  }

  // Deadlines: one timer for all calls. It is set to the nearest deadline known; when it fires, all
  // calls are looked at. Calls that were answered in time cost nothing but a comparison.

  private wakeAt(at: number, now: number): void {
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(this.sweepTask, Math.max(at - now, SWEEP_INTERVAL_MS));
  }

  private readonly sweepTask = (): void => {
    const now = performance.now();
    this.timerAt = Number.POSITIVE_INFINITY;
    let nearest = Number.POSITIVE_INFINITY;
    let oldestSentAt = now;

    const late: Call[] = [];
    const look = (call: Call): void => {
      if (call.state === SETTLED) return;
      if (call.deadline <= now) late.push(call);
      else if (call.deadline < nearest) nearest = call.deadline;
    };
    for (let index = this.queueHead; index < this.queue.length; index++) {
      look(this.queue[index] as Call);
    }
    this.outstanding.forEach((call) => {
      if (call.sentAt < oldestSentAt) oldestSentAt = call.sentAt;
      look(call);
    });
    if (this.resting.length > 0) {
      const { resting } = this;
      this.resting = [];
      for (const call of resting) {
        look(call);
        if (call.restUntil <= now) {
          call.state = UNSENT;
          this.queue.push(call);
        } else {
          this.resting.push(call);
          if (call.restUntil < nearest) nearest = call.restUntil;
        }
      }
    }
    for (const call of late) this.giveUp(call, this.timedOut(call));
    if (this.queueLength > 0 && !this.flushIsDue) this.scheduleFlush();
    if (nearest < Number.POSITIVE_INFINITY) this.wakeAt(nearest, now);

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
  };

  private timedOut(call: Call): RondoError {
    if (call.state === SENT) {
      const isWrite = !call.isRead;
      return new RondoError(
        'TIMEOUT',
        `${call.subject}: no answer in time${isWrite ? '; it may have been carried out' : ''}. ` +
          'Pass a larger timeoutMs, or look at the load of the node',
        { maybeApplied: isWrite },
      );
    }
    const why =
      this.socket === undefined
        ? `not connected${because(this.absence)}; is the node running?`
        : 'it waited behind other calls; issue fewer at a time';
    return new RondoError('TIMEOUT', `${call.subject}: not sent in time: ${why}`, {
      cause: this.absence,
    });
  }
}

function because(reason: RondoError | undefined): string {
  return reason === undefined ? '' : ` (${reason.message})`;
}

function lost(
  call: Call,
  code: 'CONNECTION_LOST' | 'PROTOCOL_ERROR',
  cause: RondoError,
): RondoError {
  const isWrite = !call.isRead;
  const advice = isWrite ? '; it may have been carried out, so read before repeating it' : '';
  return new RondoError(code, `${call.subject}: ${cause.message}${advice}`, {
    cause,
    maybeApplied: isWrite,
  });
}

/** The error of a call that meets, or is met by, the end of the client. */
function refusalOf(call: Call, reason: RondoError): RondoError {
  return new RondoError(reason.code, `${call.subject}: ${reason.message}`, {
    cause: reason.cause ?? reason,
    retryable: false,
    maybeApplied: call.state === SENT && !call.isRead,
  });
}

function cancelled(call: Call, signal: AbortSignal, maybeApplied: boolean): RondoError {
  return new RondoError('CANCELLED', `${call.subject}: given up by its signal`, {
    cause: signal.reason as unknown,
    maybeApplied,
  });
}

function violation(what: string): RondoError {
  return new RondoError(
    'PROTOCOL_ERROR',
    `the node sent ${what}; the connection was closed. Do client and node have the same version?`,
  );
}
