// The transport over uWebSockets.js: the fast one.

import type { HttpResponse, HttpRequest as UwsRequest, WebSocket } from 'uWebSockets.js';
import { STATUS_CODES } from 'node:http';
import { NodeError } from '../errors.js';
import { CLOSE_DEADLINE_MS, IDLE_TIMEOUT_S, UWS_LINGER_MS } from '../limits.js';
import { listenError, probeListen } from './listen-failure.js';
import type {
  Connection,
  HttpReply,
  ListenOptions,
  SendOutcome,
  Transport,
  TransportHandler,
  TransportOptions,
} from './transport.js';
import type { NativeApp, UwsBinary } from './uws-binary.js';

interface UserData<T> {
  readonly data: T;
  readonly remoteAddress: string;
}

type Socket<T> = WebSocket<UserData<T>> & {
  /** Set in `open`, before any other event. A property of its own costs less than `getUserData()`. */
  connection: UwsConnection<T>;
};

class UwsConnection<T> implements Connection<T> {
  isOpen = true;
  /** The close frame that waits for the bytes before it to leave. */
  closing: { code: number; reason: string; deadline: NodeJS.Timeout } | undefined;

  constructor(
    readonly id: number,
    readonly data: T,
    readonly remoteAddress: string,
    /** Undefined once uWebSockets.js has given the socket up: any use would throw. */
    public socket: Socket<T> | undefined,
    private readonly transport: UwsTransport<T>,
  ) {}

  get bufferedBytes(): number {
    return this.socket === undefined ? 0 : this.socket.getBufferedAmount();
  }

  send(bytes: Uint8Array): SendOutcome {
    if (!this.isOpen || this.socket === undefined) return 'dropped';
    const answer = this.socket.send(bytes, true, false);
    return answer === 1 ? 'sent' : answer === 0 ? 'buffered' : 'dropped';
  }

  cork(action: () => void): void {
    if (this.isOpen && this.socket !== undefined) this.socket.cork(action);
    else action();
  }

  close(code: number, reason: string): void {
    this.transport.closeConnection(this, code, reason);
  }
}

export class UwsTransport<T> implements Transport {
  readonly kind = 'uws';
  private readonly app: NativeApp;
  private listenSockets: unknown[] = [];
  private isClosed = false;
  private lastId = 0;
  private endedAt = Number.NEGATIVE_INFINITY;
  /** Closed for their owner, with bytes that the peer has not taken yet. */
  private readonly closing = new Set<UwsConnection<T>>();
  private whenClosed: (() => void) | undefined;

  constructor(
    private readonly binary: UwsBinary,
    options: TransportOptions,
    private readonly handler: TransportHandler<T>,
  ) {
    this.app = binary.App();
    this.app.ws<UserData<T>>('/*', {
      maxPayloadLength: options.payloadBytesMax,
      idleTimeout: IDLE_TIMEOUT_S,
      sendPingsAutomatically: true,
      compression: binary.DISABLED,
      // No bound here: past one, uWebSockets.js would drop a reply. The worker closes slow readers.
      maxBackpressure: 0,
      upgrade: (response, request, context) => this.upgrade(response, request, context),
      open: (socket) => this.open(socket as Socket<T>),
      message: (socket, message, isBinary) => {
        const { connection } = socket as Socket<T>;
        if (!connection.isOpen) return;
        if (isBinary) handler.onMessage(connection, message);
        else handler.onText(connection);
      },
      drain: (socket) => this.drain(socket as Socket<T>),
      close: (socket, code, message) => this.closed(socket as Socket<T>, code, message),
    });
    this.app.any('/*', (response, request) => this.http(response, request));
  }

  async listen(host: string, port: number, { isShared }: ListenOptions = {}): Promise<number> {
    const socket = this.tryListen(host, port, isShared === true);
    if (socket) {
      this.listenSockets.push(socket);
      return this.binary.us_socket_local_port(socket);
    }
    // uWebSockets.js says only that it failed; Node's own listener says why.
    throw (await probeListen(host, port)) ?? listenError(host, port, undefined);
  }

  stopAccepting(): void {
    for (const socket of this.listenSockets) this.binary.us_listen_socket_close(socket);
    this.listenSockets = [];
  }

  async close(lingerMs: number): Promise<void> {
    this.stopAccepting();
    if (this.closing.size > 0 && lingerMs > 0) {
      await new Promise<void>((resolve) => {
        const deadline = setTimeout(resolve, lingerMs);
        this.whenClosed = () => {
          clearTimeout(deadline);
          resolve();
        };
      });
    }
    const sinceEnd = performance.now() - this.endedAt;
    const linger = Math.min(lingerMs, UWS_LINGER_MS - sinceEnd);
    if (linger > 0) await new Promise((resolve) => setTimeout(resolve, linger));
    if (this.isClosed) return;
    this.isClosed = true;
    this.app.close();
  }

  closeConnection(connection: UwsConnection<T>, code: number, reason: string): void {
    const { socket } = connection;
    if (!connection.isOpen || !socket) return;
    connection.isOpen = false;
    if (socket.getBufferedAmount() === 0) {
      this.end(socket, code, reason);
    } else {
      // After `end` a socket is out of reach, and one whose peer never reads would hold its bytes
      // for good: so `end` waits for them to leave, and the deadline destroys the socket.
      const deadline = setTimeout(() => connection.socket?.close(), CLOSE_DEADLINE_MS).unref();
      connection.closing = { code, reason, deadline };
      this.closing.add(connection);
    }
    this.handler.onClose(connection, code, reason);
  }

  /**
   * Exclusive unless shared, because by default a second listener on a port that is in use succeeds silently
   * and takes half of the connections (SO_REUSEPORT, which uWebSockets.js leaves out for port 0).
   */
  private tryListen(host: string, port: number, isShared: boolean): unknown {
    const options = isShared ? 0 : this.binary.LIBUS_LISTEN_EXCLUSIVE_PORT;
    let listening: unknown;
    this.app.listen(host, port, options, (socket) => {
      listening = socket;
    });
    return listening;
  }

  private upgrade(
    response: HttpResponse,
    request: UwsRequest,
    context: Parameters<HttpResponse['upgrade']>[4],
  ): void {
    const remoteAddress = Buffer.from(response.getRemoteAddressAsText()).toString();
    const answer = this.handler.onUpgrade({
      path: request.getUrl(),
      origin: request.getHeader('origin') || undefined,
      authorization: request.getHeader('authorization') || undefined,
      remoteAddress,
    });
    if ('refusal' in answer) {
      writeReply(response, answer.refusal, false);
      return;
    }
    const userData: UserData<T> = { data: answer.data, remoteAddress };
    response.upgrade(userData, request.getHeader('sec-websocket-key'), '', '', context);
  }

  private open(socket: Socket<T>): void {
    const id = ++this.lastId;
    const { data, remoteAddress } = socket.getUserData();
    socket.connection = new UwsConnection(id, data, remoteAddress, socket, this);
    this.handler.onOpen(socket.connection);
  }

  private drain(socket: Socket<T>): void {
    if (socket.getBufferedAmount() > 0) return;
    const connection = socket.connection;
    if (connection.isOpen) {
      this.handler.onDrain(connection);
    } else if (connection.closing) {
      this.end(socket, connection.closing.code, connection.closing.reason);
    }
  }

  private closed(socket: Socket<T>, code: number, message: ArrayBuffer): void {
    const connection = socket.connection;
    connection.socket = undefined;
    if (connection.closing) {
      clearTimeout(connection.closing.deadline);
      this.closing.delete(connection);
      if (this.closing.size === 0) this.whenClosed?.();
    }
    if (!connection.isOpen) return;
    connection.isOpen = false;
    const reason = Buffer.from(message).toString();
    this.handler.onClose(connection, code === 1006 ? foundCode(reason) : code, reason);
  }

  private end(socket: Socket<T>, code: number, reason: string): void {
    this.endedAt = performance.now();
    socket.end(code, reason);
  }

  private http(response: HttpResponse, request: UwsRequest): void {
    const method = request.getMethod().toUpperCase();
    const isHead = method === 'HEAD';
    const reply = this.handler.onHttp({
      method: isHead ? 'GET' : method,
      path: request.getUrl(),
      authorization: request.getHeader('authorization') || undefined,
    });
    if (!(reply instanceof Promise)) {
      writeReply(response, reply, isHead);
      return;
    }
    let aborted = false;
    response.onAborted(() => {
      aborted = true;
    });
    void reply.then((answer) => {
      if (!aborted) response.cork(() => writeReply(response, answer, isHead));
    });
  }
}

function writeReply(response: HttpResponse, reply: HttpReply, isHead: boolean): void {
  response.writeStatus(`${reply.status} ${STATUS_CODES[reply.status] ?? ''}`);
  response.writeHeader('content-type', reply.contentType);
  for (const [name, value] of Object.entries(reply.headers ?? {})) {
    response.writeHeader(name, value);
  }
  if (!isHead) {
    response.end(reply.body);
    return;
  }
  // Given the length as its argument, `endWithoutBody` waits for that many bytes, and the process is
  // aborted when the handler returns.
  response.writeHeader('content-length', String(Buffer.byteLength(reply.body)));
  response.endWithoutBody();
}

/** uWebSockets.js reports what it finds wrong as 1006, with a text or without. */
function foundCode(reason: string): number {
  if (reason.startsWith('Received too big message')) return 1009;
  if (reason === 'Received invalid UTF-8') return 1007;
  return 1006;
}

/** For the loader and the tests: a transport over a binary that was found. */
export function createUwsTransport<T>(
  binary: UwsBinary,
  options: TransportOptions,
  handler: TransportHandler<T>,
): Transport {
  if (options.payloadBytesMax > 0xffff_ffff) {
    throw new NodeError('CONFIG_INVALID', 'a message bound above 4 GiB is not supported');
  }
  return new UwsTransport(binary, options, handler);
}
