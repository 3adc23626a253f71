// One connection at a time, kept up: socket, hello, welcome, and another try with jittered backoff
// when it is lost. What is sent over it is the dispatcher's affair.

import { PROTOCOL_VERSION } from '../wire/layout.js';
import { CLOSE_CODE_BASE, Status, statusName } from '../wire/status.js';
import { backoffMs } from './backoff.js';
import type { Dispatcher } from './dispatcher.js';
import { adviceOf, RondoError } from './errors.js';
import { decodeWelcome, encodeHello } from './hello.js';
import type { Session } from './session.js';
import type { StatusFeed, Welcome } from './status.js';
import {
  SOCKET_OPEN,
  terminate,
  type WebSocketConstructor,
  type WebSocketLike,
  webSocketConstructor,
} from './websocket.js';

/** What the node's log shows of this library. */
export const CLIENT_NAME = 'rondo-client/0.1.0';

const CLOSE_NORMAL = 1000;
/** Milliseconds that `close` waits for the peer to close too. */
const CLOSE_WAIT_MS = 1000;

export interface ConnectionOptions {
  readonly url: string;
  readonly token: string;
  /** Milliseconds from the opening of a socket to the welcome. */
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  readonly random: () => number;
  readonly WebSocket: WebSocketConstructor | undefined;
}

export class Connection {
  private socket: WebSocketLike | undefined;
  private isWelcome = false;
  private helloAt = 0;
  private welcomedAt = 0;
  /** Losses and failed tries since the connection was last good. */
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closing: Promise<void> | undefined;
  /** What the platform said before it closed the socket. */
  private socketError: unknown;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly dispatcher: Dispatcher,
    private readonly session: Session,
    private readonly feed: StatusFeed,
  ) {}

  open(): void {
    const found = webSocketConstructor(this.options.WebSocket);
    if (!(found instanceof Promise)) {
      this.openWith(found);
      return;
    }
    found.then(
      (loaded) => {
        if (this.feed.current.state !== 'closed') this.openWith(loaded);
      },
      (cause: unknown) =>
        this.finish(
          new RondoError(
            'OFFLINE',
            'this platform has no WebSocket and the package "ws" cannot be loaded; install it, ' +
              'or pass connect({ WebSocket })',
            { cause },
          ),
        ),
    );
  }

  /** Ends for good: no more tries, and whatever has no answer fails with CLOSED. Again: the same. */
  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  private closeOnce(): Promise<void> {
    const { socket } = this;
    const closed =
      socket === undefined
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            const timer = setTimeout(() => {
              terminate(socket);
              resolve();
            }, CLOSE_WAIT_MS);
            socket.onclose = () => {
              clearTimeout(timer);
              resolve();
            };
          });
    this.finish(undefined);
    return closed;
  }

  /** Drops the present connection for a reason found here, and makes another. */
  abandon(reason: RondoError, mayRepeat: boolean): void {
    const { socket } = this;
    if (socket === undefined) return;
    this.lost(reason, mayRepeat);
    if (reason.code === 'PROTOCOL_ERROR') {
      closeQuietly(socket, CLOSE_CODE_BASE + Status.Malformed, 'reply not valid');
    } else {
      terminate(socket);
    }
  }

  private openWith(Socket: WebSocketConstructor): void {
    let socket: WebSocketLike;
    try {
      socket = new Socket(this.options.url);
    } catch (cause) {
      this.lost(new RondoError('CONNECTION_LOST', 'the socket could not be made', { cause }), true);
      return;
    }
    this.socket = socket;
    this.isWelcome = false;
    this.socketError = undefined;
    socket.binaryType = 'arraybuffer';
    const { token, timeoutMs } = this.options;
    this.timer = setTimeout(() => {
      this.abandon(
        new RondoError('TIMEOUT', `no welcome from ${this.options.url} within ${timeoutMs} ms`),
        true,
      );
    }, timeoutMs);

    socket.onopen = () => {
      if (socket !== this.socket) return;
      this.helloAt = performance.now();
      const hello = { protocol: PROTOCOL_VERSION, token, client: CLIENT_NAME, group: 0 };
      socket.send(encodeHello({ ...hello, ...this.session.hello() }));
    };
    socket.onmessage = (event: { readonly data: unknown }) => {
      if (socket === this.socket) this.receive(socket, event.data);
    };
    socket.onerror = (event: { readonly error?: unknown }) => {
      if (socket === this.socket) this.socketError = event.error;
    };
    socket.onclose = (event: { readonly code: number; readonly reason: string }) => {
      if (socket !== this.socket) return;
      const reason = this.closeReason(event.code, event.reason);
      const isSessionOver = event.code === CLOSE_CODE_BASE + Status.SessionUnknown;
      if (isPermanent(event.code)) this.finish(reason);
      else if (isSessionOver && this.session.isEnding) this.finish(undefined);
      else {
        if (isSessionOver) this.session.lose(reason);
        this.lost(reason, true);
      }
    };
  }

  private receive(socket: WebSocketLike, data: unknown): void {
    if (!(data instanceof ArrayBuffer)) {
      this.abandon(new RondoError('PROTOCOL_ERROR', 'the node sent a text message'), false);
      return;
    }
    if (this.isWelcome) {
      const reason = this.dispatcher.receive(data);
      if (reason?.code === 'SESSION_UNKNOWN') this.session.lose(reason);
      if (reason !== undefined) this.abandon(reason, reason.code !== 'PROTOCOL_ERROR');
      return;
    }
    const welcome = readWelcome(data);
    if (welcome instanceof RondoError) {
      if (welcome.code === 'PROTOCOL_MISMATCH') {
        this.finish(welcome);
        closeQuietly(socket, CLOSE_CODE_BASE + Status.ProtocolMismatch, 'protocol mismatch');
      } else {
        this.abandon(welcome, true);
      }
      return;
    }
    const resumed = this.session.welcomed(welcome, this.helloAt);
    if (resumed instanceof RondoError) {
      this.abandon(resumed, true);
      return;
    }
    if (socket !== this.socket) {
      // It came when the session had to count as lost, or who heard of a loss has closed the client.
      this.session.lose(new RondoError('CLOSED', 'the client was closed'));
      return;
    }
    clearTimeout(this.timer);
    this.isWelcome = true;
    this.welcomedAt = performance.now();
    this.dispatcher.attach(socket, welcome, resumed);
    this.session.connectionChanged();
    const { id } = this.session;
    const session = id === 0 ? undefined : { id, resumed };
    this.feed.publish({ state: 'connected', welcome, session });
  }

  private lost(reason: RondoError, mayRepeat: boolean): void {
    this.release();
    const { attempts, delayMsMin, delayMsMax, random } = this.options;
    // A connection that was of use ends the row of failures; one that is closed as soon as it has
    // been made does not, so that a client which the node throws out backs off. Neither is one of use
    // whose answers are wrong.
    const isProven =
      reason.code !== 'PROTOCOL_ERROR' &&
      (this.dispatcher.hasAnswered || this.wasUpFor(delayMsMax));
    this.failures = isProven ? 1 : this.failures + 1;
    if (this.isWelcome) this.dispatcher.detach(reason, mayRepeat);
    else this.dispatcher.noteAbsence(reason);
    this.isWelcome = false;
    this.dispatcher.hasAnswered = false;
    this.session.connectionChanged();
    // Who heard that the session is lost may have closed the client.
    if (this.feed.current.state === 'closed') return;
    if (this.failures > attempts) {
      const tries = attempts === 0 ? '' : ` (${attempts} more tries failed, too)`;
      this.finish(
        new RondoError('OFFLINE', `${reason.message}${tries}; the client has stopped`, {
          cause: reason,
        }),
      );
      return;
    }
    const delayMs = backoffMs(this.failures, delayMsMin, delayMsMax, random);
    this.feed.publish({ state: 'reconnecting', attempt: this.failures, delayMs, reason });
    this.timer = setTimeout(() => this.open(), delayMs);
  }

  private wasUpFor(ms: number): boolean {
    return this.isWelcome && performance.now() - this.welcomedAt > ms;
  }

  private finish(reason: RondoError | undefined): void {
    if (this.feed.current.state === 'closed') return;
    const { socket } = this;
    this.release();
    const end = reason ?? new RondoError('CLOSED', 'the client was closed; connect again to go on');
    this.dispatcher.farewell();
    this.dispatcher.shutdown(end);
    this.session.lose(end);
    this.feed.publish({ state: 'closed', reason });
    if (socket !== undefined) closeQuietly(socket, CLOSE_NORMAL, '');
  }

  private release(): void {
    clearTimeout(this.timer);
    this.socket = undefined;
  }

  private closeReason(code: number, text: string): RondoError {
    const status = code - CLOSE_CODE_BASE;
    const said = text === '' ? '' : `: ${text}`;
    if (status > 0 && status < 256) {
      const advice = adviceOf(status);
      return new RondoError(
        statusName(status),
        `the node closed the connection${said} (${advice})`,
      );
    }
    const { url } = this.options;
    const what = this.isWelcome ? `the connection to ${url} was lost` : `cannot connect to ${url}`;
    const cause = this.socketError;
    const why = cause instanceof Error && cause.message !== '' ? `: ${cause.message}` : said;
    return new RondoError('CONNECTION_LOST', `${what}${why} (close code ${code})`, { cause });
  }
}

const PERMANENT = new Set<number>([
  Status.Unauthenticated,
  Status.ProtocolMismatch,
  Status.SessionForbidden,
  Status.SessionMoved,
  Status.TtlOutOfRange,
]);

/** A refusal that another try would only meet again, or answer in kind. */
function isPermanent(closeCode: number): boolean {
  return PERMANENT.has(closeCode - CLOSE_CODE_BASE);
}

function readWelcome(frame: ArrayBuffer): Welcome | RondoError {
  const welcome = decodeWelcome(frame);
  if (welcome === undefined) {
    return new RondoError('PROTOCOL_ERROR', 'the first message of the node is not a welcome');
  }
  if (welcome.protocol !== PROTOCOL_VERSION) {
    return new RondoError(
      'PROTOCOL_MISMATCH',
      `the node speaks protocol ${welcome.protocol}, this client ${PROTOCOL_VERSION}; ` +
        'use the same version of both',
    );
  }
  const { frameBytesMax, operationsPerFrameMax, operationsOutstandingMax } = welcome.limits;
  if (frameBytesMax === 0 || operationsPerFrameMax === 0 || operationsOutstandingMax === 0) {
    return new RondoError('PROTOCOL_ERROR', 'the node allows no operation at all');
  }
  return welcome;
}

function closeQuietly(socket: WebSocketLike, code: number, reason: string): void {
  if (socket.readyState === SOCKET_OPEN) socket.close(code, reason);
  else terminate(socket);
}
