// Nothing is shown that could be lost: the gate gives the log what the engine made, tells the engine what
// is durable, and holds each reply until all that it shows is. Under `interval` the log is written all
// the same, but nothing waits for it.

import type { Logger } from 'pino';
import {
  type Engine,
  INPUT_DURABLE,
  INPUT_WRITE_REFUSAL,
  OUTCOME_APPEND,
  OUTCOME_RECORD_BYTES,
} from '../ts/engine/engine.js';
import { Status, statusName } from '../ts/wire/status.js';
import type { Clock } from './clock.js';
import type { Peer, Send } from './connection.js';
import { NodeError } from './errors.js';
import { HeldReplies } from './held-replies.js';
import { HELD_BYTES_MAX, HELD_OVERHEAD_BYTES, SETTLE_DEADLINE_MS } from './limits.js';
import type { Log, LogRefusal } from './log/log.js';

const REFUSALS: Readonly<Record<LogRefusal, Status>> = {
  none: Status.Ok,
  overloaded: Status.Overloaded,
  disk_full: Status.DiskFull,
  failed: Status.LogFailed,
};

export interface GateOptions {
  readonly engine: Engine;
  readonly log: Log;
  /** Whether replies wait for the log. */
  readonly isWaiting: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Sends a reply whose time has come. */
  readonly send: Send;
  /** Answers OVERLOADED in place of a reply. */
  readonly overload: (peer: Peer, reply: Uint8Array) => void;
  /** Where replies wait: all appends up to this one are durable, and the replies that waited have left. */
  readonly onDurable: (append: number) => void;
}

export class Gate {
  readonly held = new HeldReplies();
  readonly log: Log;
  /** What every write is answered with at present; Ok: they are carried out. */
  refusal: Status = Status.Ok;
  private flushIsDue = false;

  constructor(private readonly options: GateOptions) {
    this.log = options.log;
    if (options.isWaiting) options.engine.input[INPUT_DURABLE] = 0;
    // What the log refuses it may have refused before there was a gate to tell.
    this.admit();
  }

  /** Too much waits: a reply that would have to wait must not be held. */
  private get isFull(): boolean {
    const { bytes, count } = this.held;
    return bytes + count * HELD_OVERHEAD_BYTES > HELD_BYTES_MAX;
  }

  /** Gives the log the records of the engine's last call. */
  store(): void {
    const { engine, log, clock } = this.options;
    const { outcome } = engine;
    const append = log.append(log.epoch, engine.records, outcome[OUTCOME_RECORD_BYTES] as number);
    if (append !== outcome[OUTCOME_APPEND]) {
      const message = `the log counts ${append} appends, the engine ${outcome[OUTCOME_APPEND]}`;
      throw new NodeError('INVARIANT_BROKEN', message);
    }
    this.admit();
    if (this.flushIsDue) return;
    // Behind the frames that the sockets hold at present, so that one sync covers them all.
    this.flushIsDue = true;
    clock.soon(this.flush);
  }

  /**
   * Sends a reply of the engine's last call, to so many operations, once `append` is durable. `hasEffect`: the
   * call has changed something, so that the reply has to come. What changes nothing but is held, as an
   * answer to a wait, is bounded by the waits, which a write refusal keeps from growing.
   */
  hold(
    append: number,
    peer: Peer,
    reply: Uint8Array,
    operations: number,
    hasEffect: boolean,
  ): void {
    const { send, overload } = this.options;
    if (!this.mustWait(append)) {
      send(peer, reply, operations);
    } else if (this.isFull && !hasEffect) {
      // Reads only: nothing is lost by not answering them.
      overload(peer, reply);
    } else {
      this.held.hold(append, peer, reply, operations);
      this.admit();
    }
  }

  /** Does what shows `append` once that is durable, behind the replies that wait for it already. */
  after(append: number, peer: Peer | undefined, operations: number, action: () => void): void {
    if (!this.mustWait(append)) {
      action();
    } else {
      this.held.holdAction(append, peer, operations, action);
      this.admit();
    }
  }

  private mustWait(append: number): boolean {
    return this.options.isWaiting && append > this.log.durable;
  }

  /** The log has got further, or takes less or more than before. */
  onProgress(): void {
    const { engine, log, isWaiting, send, onDurable } = this.options;
    if (isWaiting) {
      engine.input[INPUT_DURABLE] = log.durable;
      this.held.release(log.durable, send);
      onDurable(log.durable);
    }
    this.admit();
  }

  /**
   * Waits until every reply that is held has left, or a deadline. Under `interval` there is none, and
   * closing the log makes it durable.
   */
  async settle(): Promise<void> {
    const { log, isWaiting, logger } = this.options;
    if (!isWaiting) return;
    log.flush();
    try {
      await log.settled(log.appended, SETTLE_DEADLINE_MS);
      this.onProgress();
    } catch (error) {
      const fields = { event: 'settle_failed', err: error, held: this.held.count };
      logger.error(fields, 'the log did not take all that was written');
    }
  }

  private readonly flush = (): void => {
    this.flushIsDue = false;
    this.log.flush();
  };

  /** Decides whether writes are carried out. */
  private admit(): void {
    const refusal = this.isFull ? Status.Overloaded : REFUSALS[this.log.refusal];
    if (refusal === this.refusal) return;
    this.refusal = refusal;
    this.options.engine.input[INPUT_WRITE_REFUSAL] = refusal;
    const { logger } = this.options;
    if (refusal === Status.Ok) {
      logger.info({ event: 'writes_accepted' }, 'writes are carried out again');
    } else {
      const status = statusName(refusal);
      const fields = { event: 'writes_refused', status, pendingBytes: this.log.pendingBytes };
      const reads = refusal === Status.LogFailed ? 'nothing is served any more' : 'reads go on';
      logger.warn(fields, `writes are answered ${status}; ${reads}`);
    }
  }
}
