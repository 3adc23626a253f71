// One worker as the supervisor sees it: its thread, one after another, and how far that one is.

import { NodeError } from './errors.js';
import type { RecoveryProgress } from './log/open-log.js';
import type { StartThread, Thread } from './thread.js';
import { errorOf, type FromThread, type ThreadStart, type ToThread } from './thread-messages.js';

export interface StartedThread {
  /** Its own. */
  readonly port: number;
  readonly node: number;
}

export interface MemberEvents {
  readonly onRecovery: (worker: number, progress: RecoveryProgress) => void;
  readonly onLine: (line: string) => void;
  /** The thread has ended though nobody asked it to, or is about to: `Member.ended` tells when. */
  readonly onDeath: (member: Member, error: Error) => void;
}

export class Member {
  /** How often its thread was started. */
  epoch = 0;
  /** Times in a row that its event loop was found not to have turned, and where it stood. */
  stalls = 0;
  beats = 0;
  isServing = false;
  /** When the thread is gone; with what its log failed while it stopped. */
  ended: Promise<Error | undefined> = Promise.resolve(undefined);
  /** Ends when it serves again, or has died in the attempt; undefined: it never died. */
  revival: Promise<void> | undefined;
  private thread: Thread | undefined;
  private isAsked = false;
  private hasFailed = false;
  private logFailure: Error | undefined;
  private onStarted: (started: StartedThread) => void = () => {};
  private onAccepting: (port: number) => void = () => {};
  private onRefused: (error: Error) => void = () => {};
  private onGone: (error: Error) => void = () => {};

  constructor(
    readonly index: number,
    private readonly start: ThreadStart,
    private readonly startThread: StartThread,
    private readonly events: MemberEvents,
  ) {}

  /** Starts a thread; the one before has ended. Rejects where it ends before it serves. */
  begin(): Promise<StartedThread> {
    this.epoch++;
    this.isAsked = false;
    this.hasFailed = false;
    this.isServing = false;
    this.stalls = 0;
    this.logFailure = undefined;
    return new Promise((resolve, reject) => {
      this.onStarted = resolve;
      this.onGone = reject;
      this.ended = new Promise((end) => {
        this.thread = this.startThread(this.start, {
          onMessage: (message) => this.hear(message),
          onError: (error) => this.fail(error as Error),
          onExit: () => {
            this.thread = undefined;
            this.fail(this.gone());
            this.isServing = false;
            end(this.logFailure);
          },
        });
      });
    });
  }

  /** Has it listen at the port that clients know. Returns the port. Rejects with `NodeError`. */
  accept(port: number, isShared: boolean): Promise<number> {
    if (this.thread === undefined) return Promise.reject(this.gone());
    return new Promise((resolve, reject) => {
      this.onAccepting = resolve;
      this.onRefused = reject;
      const settle = this.onGone;
      this.onGone = (error) => {
        settle(error);
        reject(error);
      };
      this.post({ kind: 'accept', port, isShared });
    });
  }

  /** Ends its thread: gently where it serves, at once where it has not come so far. */
  stop(): Promise<Error | undefined> {
    this.isAsked = true;
    this.post({ kind: this.isServing ? 'stop' : 'end' });
    return this.ended;
  }

  /** Ends its thread at once. */
  end(): Promise<Error | undefined> {
    this.isAsked = true;
    this.post({ kind: 'end' });
    return this.ended;
  }

  post(message: ToThread): void {
    this.thread?.post(message);
  }

  private hear(message: FromThread): void {
    switch (message.kind) {
      case 'recovery':
        this.events.onRecovery(this.index, message.progress);
        break;
      case 'started':
        this.onStarted(message);
        break;
      case 'accepting':
        this.onAccepting(message.port);
        break;
      case 'refused':
        this.onRefused(errorOf(message.failure));
        break;
      case 'stopped':
        this.logFailure = message.failure && errorOf(message.failure);
        break;
      case 'failed':
        this.fail(errorOf(message.failure));
        break;
      case 'line':
        this.events.onLine(message.line);
        break;
    }
  }

  private gone(): NodeError {
    return new NodeError('WORKER_DIED', `the thread of worker ${this.index} has ended`);
  }

  /** Once a thread; an end that was asked for is none. */
  private fail(error: Error): void {
    this.onGone(error);
    if (this.hasFailed || this.isAsked) return;
    this.hasFailed = true;
    this.events.onDeath(this, error);
  }
}
