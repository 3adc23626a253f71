// The Transport boundary: WebSocket connections and plain HTTP requests on one port, or on several with the
// same handler behind them. One transport belongs to one worker thread and calls its handler on that thread, one event at a time.
//
// Who owns which bytes:
// - A message's ArrayBuffer is valid only during `onMessage`; afterwards it may be detached or
//   overwritten. A handler that keeps bytes copies them.
// - The bytes given to `send` are the caller's again when it returns: a transport copies what it
//   could not hand over at once.
//
// A handler never throws: what it would throw has nowhere to go but to end the process.

export type TransportKind = 'uws' | 'ws';

/**
 * `sent`: handed to the operating system (or about to be, at the end of this callback).
 * `buffered`: accepted; it waits in this process until the peer reads, and `onDrain` follows. Never
 * to be sent again. `dropped`: the connection is closed and the bytes are gone.
 */
export type SendOutcome = 'sent' | 'buffered' | 'dropped';

export interface Connection<T> {
  /** Unique within the transport, ascending from 1. */
  readonly id: number;
  /** The owner's state of this connection, as `onUpgrade` made it: no lookup on the hot path. */
  readonly data: T;
  readonly remoteAddress: string;
  /** False from the moment of `close` or of the peer's end on. */
  readonly isOpen: boolean;
  /** Bytes accepted by `send` that the operating system has not yet taken. */
  readonly bufferedBytes: number;
  send(bytes: Uint8Array): SendOutcome;
  /** What `action` sends leaves together, where the transport can do that. Not to be nested. */
  cork(action: () => void): void;
  /**
   * Closes: calls `onClose` before it returns, takes in no further message, and lets the peer have
   * what was sent and then a close frame with `code` and `reason` (CLOSE_REASON_BYTES_MAX at most).
   * A peer that has not taken them within CLOSE_DEADLINE_MS loses its socket. Harmless when closed.
   */
  close(code: number, reason: string): void;
}

export interface HttpRequest {
  /** Upper case. HEAD comes as GET: the transport leaves the body out. */
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly authorization: string | undefined;
}

export interface HttpReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface UpgradeRequest {
  /** Without the query. */
  readonly path: string;
  /** Set by browsers, which send it whether or not the page wants to. */
  readonly origin: string | undefined;
  readonly authorization: string | undefined;
  readonly remoteAddress: string;
}

/** `data` accepts the connection and becomes `Connection.data`; `refusal` is sent instead of it. */
export type UpgradeAnswer<T> = { readonly data: T } | { readonly refusal: HttpReply };

export interface TransportHandler<T> {
  onUpgrade(request: UpgradeRequest): UpgradeAnswer<T>;
  onOpen(connection: Connection<T>): void;
  onMessage(connection: Connection<T>, message: ArrayBuffer): void;
  /** A text message came. Its content is not handed out. */
  onText(connection: Connection<T>): void;
  /** `bufferedBytes` has come down to 0 after `send` had answered `buffered`. */
  onDrain(connection: Connection<T>): void;
  /**
   * Once for every `onOpen`. After `close` with its code and reason; else with the peer's, or with
   * what the transport found: 1002 the peer broke the WebSocket protocol (uWebSockets.js reports
   * some of that as 1006), 1006 the connection was lost, 1007 invalid UTF-8 in a text message, 1009 a
   * message over `payloadBytesMax`.
   */
  onClose(connection: Connection<T>, code: number, reason: string): void;
  /** A request that is not a WebSocket upgrade. */
  onHttp(request: HttpRequest): HttpReply | Promise<HttpReply>;
}

export interface TransportOptions {
  /** Bytes of a message; a connection that sends more is cut with 1009 or 1006. */
  readonly payloadBytesMax: number;
}

export interface ListenOptions {
  /**
   * The port may have other listeners that share it, each of which gets some of the connections. Only where
   * the transport's choice says that it `sharesPorts`; the port must not be 0.
   */
  readonly isShared?: boolean;
}

export interface Transport {
  readonly kind: TransportKind;
  /**
   * Listens at `host` and `port` (0: any free port) and returns the port. Rejects with `NodeError`:
   * `PORT_IN_USE` or `LISTEN_FAILED`. Called again, it listens at one more port.
   */
  listen(host: string, port: number, options?: ListenOptions): Promise<number>;
  /** Takes no new connection from here on; open ones stay. */
  stopAccepting(): void;
  /**
   * Ends the transport. Waits up to `lingerMs` for the peers of connections that `close` ended, then
   * destroys every socket that is left (`onClose` with 1006 for open ones). Harmless when called again.
   */
  close(lingerMs: number): Promise<void>;
}

/** Whether a transport's close code says that the peer broke the protocol. */
export function isProtocolViolation(code: number): boolean {
  return code === 1002 || code === 1007 || code === 1009;
}
