// One connection at a time, kept up: socket, hello, welcome, and another try with jittered backoff
// when it is lost. What is sent over it is the dispatcher's affair.

import { PROTOCOL_VERSION } from '../wire/layout.js';
import { CLOSE_CODE_BASE, Status, statusName } from '../wire/status.js';
import type { Dispatcher } from './dispatcher.js';
import { adviceOf, RondoError } from './errors.js';
import { decodeWelcome, encodeHello } from './hello.js';
import type { Session } from './session.js';
import type { Welcome } from './status.js';
import {
  SOCKET_OPEN,
  terminate,
  type WebSocketConstructor,
  type WebSocketLike,
  webSocketConstructor,
} from './websocket.js';

/** What the node's log shows of this library. */
export const CLIENT_NAME = 'rondo-client/0.1.0';

/** Also of a connection whose client has a newer one to the same worker. */
export const CLOSE_NORMAL = 1000;
/** Milliseconds that `close` waits for the peer to close too. */
const CLOSE_WAIT_MS = 1000;

export interface ConnectionOptions {
  readonly token: string;
  /** Shared by all connections of the client. */
  readonly group: number;
  /** Milliseconds from the opening of a socket to the welcome. */
  readonly timeoutMs: number;
  readonly attempts: number;
  /** Milliseconds from which on a connection counts as one of use. */
  readonly delayMsMax: number;
  readonly WebSocket: WebSocketConstructor | undefined;
}

/** Whose connection it is: it says where to, and hears how it goes. */
export interface ConnectionOwner {
  /** Where the next try goes; undefined: nowhere until `open` is called again. */
  url(): string | undefined;
  /** A welcome that fits, before anything is sent; false: it is of no use, and the connection ends. */
  welcomed(welcome: Welcome, resumed: boolean): boolean;
  /** What waited may have left. */
  connected(welcome: Welcome, resumed: boolean): void;
  /** A message has been taken. */
  received(): void;
  /** It is gone, or could not be made. Returns the milliseconds until try number `attempt`. */
  lost(reason: RondoError, attempt: number): number;
  /** The session was ended by the node. */
  sessionEnded(reason: RondoError): void;
  /** There is no use in going on, with this connection or another. Undefined: as was asked for. */
  finish(reason: RondoError | undefined): void;
  /** Whether a close with this code is the end of the whole client. */
  isFinal(closeCode: number): boolean;
}

export class Connection {
  /** The session that the present socket's hello named, or its welcome; 0: none. */
  session = 0;
  /** Losses and failed tries since the connection was last good. */
  failures = 0;
  private socket: WebSocketLike | undefined;
  private isWelcome = false;
  private isStopped = false;
  private helloAt = 0;
  private welcomedAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** What the platform said before it closed the socket. */
  private socketError: unknown;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly dispatcher: Dispatcher,
    private readonly sessionKept: Session,
    private readonly owner: ConnectionOwner,
  ) {}

  /** A hello is on its way, and the node may have seen it. */
  get isOpening(): boolean {
    return this.socket !== undefined && !this.isWelcome;
  }

  /** Tries now, unless there is a connection or a try under way. */
  open(): void {
    if (this.isStopped || this.socket !== undefined) return;
    clearTimeout(this.timer);
    const found = webSocketConstructor(this.options.WebSocket);
    if (!(found instanceof Promise)) {
      this.openWith(found);
      return;
    }
    found.then(
      (loaded) => {
        if (!this.isStopped && this.socket === undefined) this.openWith(loaded);
      },
      (cause: unknown) =>
        this.owner.finish(
          new RondoError(
            'OFFLINE',
            'this platform has no WebSocket and the package "ws" cannot be loaded; install it or ' +
              'pass connect({ WebSocket })',
            { cause },
          ),
        ),
    );
  }

  /** Fulfilled when the socket that there is has closed, or has not for too long. Before `stop`. */
  closed(): Promise<void> {
    const { socket } = this;
    if (socket === undefined) return Promise.resolve();
    return new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        terminate(socket);
        resolve();
      }, CLOSE_WAIT_MS);
      socket.onclose = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends for good: no more tries. */
  stop(): void {
    const { socket } = this;
    this.isStopped = true;
    this.release();
    if (socket !== undefined) closeQuietly(socket, CLOSE_NORMAL, '');
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
    const url = this.owner.url();
    if (url === undefined) return;
    let socket: WebSocketLike;
    try {
      socket = new Socket(url);
    } catch (cause) {
      this.lost(new RondoError('CONNECTION_LOST', 'no socket could be made', { cause }), true);
      return;
    }
    this.socket = socket;
    this.isWelcome = false;
    this.socketError = undefined;
    this.session = 0;
    socket.binaryType = 'arraybuffer';
    const { token, group, timeoutMs } = this.options;
    this.timer = setTimeout(() => {
      this.abandon(
        new RondoError('TIMEOUT', `no welcome from ${url} within ${timeoutMs} ms`),
        true,
      );
    }, timeoutMs);

    socket.onopen = () => {
      if (socket !== this.socket) return;
      this.helloAt = performance.now();
      const hello = { protocol: PROTOCOL_VERSION, token, client: CLIENT_NAME, group };
      const asked = this.sessionKept.hello();
      this.session = asked.session;
      socket.send(encodeHello({ ...hello, ...asked }));
    };
    socket.onmessage = (event: { readonly data: unknown }) => {
      if (socket === this.socket) this.receive(socket, event.data);
    };
    socket.onerror = (event: { readonly error?: unknown }) => {
      if (socket === this.socket) this.socketError = event.error;
    };
    socket.onclose = (event: { readonly code: number; readonly reason: string }) => {
      if (socket !== this.socket) return;
      const reason = this.closeReason(url, event.code, event.reason);
      const isSessionOver = event.code === CLOSE_CODE_BASE + Status.SessionUnknown;
      if (this.owner.isFinal(event.code)) this.owner.finish(reason);
      else if (isSessionOver && this.sessionKept.isEnding) this.owner.finish(undefined);
      else {
        if (isSessionOver) this.sessionOver(reason);
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
      if (reason?.code === 'SESSION_UNKNOWN') this.sessionOver(reason);
      if (reason !== undefined) this.abandon(reason, reason.code !== 'PROTOCOL_ERROR');
      else this.owner.received();
      return;
    }
    const welcome = readWelcome(data);
    if (welcome instanceof RondoError) {
      if (welcome.code === 'PROTOCOL_MISMATCH') {
        this.owner.finish(welcome);
        closeQuietly(socket, CLOSE_CODE_BASE + Status.ProtocolMismatch, 'protocol mismatch');
      } else {
        this.abandon(welcome, true);
      }
      return;
    }
    const { sessionKept } = this;
    const resumed = sessionKept.welcomed(welcome, this.helloAt, this.session);
    if (resumed instanceof RondoError) {
      this.abandon(resumed, true);
      return;
    }
    if (socket !== this.socket) {
      // It came when the session had to count as lost, or who heard of a loss has closed the client.
      if (this.isStopped) sessionKept.lose(new RondoError('CLOSED', 'the client was closed'));
      return;
    }
    this.session = welcome.session;
    if (!this.owner.welcomed(welcome, resumed)) {
      this.abandon(new RondoError('UNAVAILABLE', 'another worker of the node has answered'), true);
      return;
    }
    clearTimeout(this.timer);
    this.isWelcome = true;
    this.welcomedAt = performance.now();
    this.dispatcher.attach(socket, welcome, resumed);
    sessionKept.connectionChanged();
    this.owner.connected(welcome, resumed);
  }

  /** Told of the session that this connection has, which may not be the client's any more. */
  private sessionOver(reason: RondoError): void {
    if (this.session === this.sessionKept.id) this.owner.sessionEnded(reason);
  }

  private lost(reason: RondoError, mayRepeat: boolean): void {
    this.release();
    const { attempts, delayMsMax } = this.options;
    // A connection that was of use ends the row of failures; one that is closed as soon as it has
    // been made does not, so that a client which the node throws out backs off. Neither is one of use
    // whose answers are wrong.
    const isProven =
      reason.code !== 'PROTOCOL_ERROR' &&
      (this.dispatcher.hasAnswered || this.wasUpFor(delayMsMax));
    this.failures = isProven ? 1 : this.failures + 1;
    const wasWelcome = this.isWelcome;
    this.isWelcome = false;
    if (wasWelcome) this.dispatcher.detach(reason, mayRepeat);
    else this.dispatcher.noteAbsence(reason);
    this.dispatcher.hasAnswered = false;
    this.sessionKept.connectionChanged();
    // Who heard that the session is lost may have closed the client.
    if (this.isStopped) return;
    if (this.failures > attempts) {
      const tries = attempts === 0 ? '' : ` (${attempts} more tries failed, too)`;
      this.owner.finish(
        new RondoError('OFFLINE', `${reason.message}${tries}; the client has stopped`, {
          cause: reason,
        }),
      );
      return;
    }
    const delayMs = this.owner.lost(reason, this.failures);
    if (!this.isStopped) this.timer = setTimeout(() => this.open(), delayMs);
  }

  private wasUpFor(ms: number): boolean {
    return this.isWelcome && performance.now() - this.welcomedAt > ms;
  }

  private release(): void {
    clearTimeout(this.timer);
    this.socket = undefined;
  }

  private closeReason(url: string, code: number, text: string): RondoError {
    const status = code - CLOSE_CODE_BASE;
    const said = text === '' ? '' : `: ${text}`;
    if (status > 0 && status < 256) {
      const advice = adviceOf(status);
      return new RondoError(
        statusName(status),
        `the node closed the connection${said} (${advice})`,
      );
    }
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
export function isPermanent(closeCode: number): boolean {
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
    return new RondoError('PROTOCOL_ERROR', 'the node allows no operation');
  }
  return welcome;
}

function closeQuietly(socket: WebSocketLike, code: number, reason: string): void {
  if (socket.readyState === SOCKET_OPEN) socket.close(code, reason);
  else terminate(socket);
}
