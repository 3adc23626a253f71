// The transport over `ws` and Node's own HTTP server: runs wherever Node does.

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { CLOSE_DEADLINE_MS, HTTP_TIMEOUT_MS, IDLE_TIMEOUT_S } from '../limits.js';
import { listenError } from './listen-failure.js';
import type {
  Connection,
  HttpReply,
  HttpRequest,
  SendOutcome,
  Transport,
  TransportHandler,
  TransportOptions,
} from './transport.js';

const SEND_OPTIONS = { binary: true, compress: false, fin: true } as const;

class WsConnection<T> implements Connection<T> {
  isOpen = true;
  /** Whether anything came since the last ping. */
  isAlive = true;
  /** `send` has answered `buffered` and `onDrain` has not followed yet. */
  isBuffering = false;
  /** Called by `ws` for every message that has left; one function for the life of the connection. */
  private readonly left = () => {
    if (this.isBuffering && this.isOpen && this.socket.bufferedAmount === 0) {
      this.isBuffering = false;
      this.handler.onDrain(this);
    }
  };

  constructor(
    readonly id: number,
    readonly data: T,
    readonly remoteAddress: string,
    readonly socket: WebSocket,
    private readonly handler: TransportHandler<T>,
  ) {}

  get bufferedBytes(): number {
    return this.isOpen ? this.socket.bufferedAmount : 0;
  }

  send(bytes: Uint8Array): SendOutcome {
    if (!this.isOpen || this.socket.readyState !== this.socket.OPEN) return 'dropped';
    // Copied, because Node keeps a reference to what the socket does not take at once.
    this.socket.send(Buffer.from(bytes), SEND_OPTIONS, this.left);
    if (this.socket.bufferedAmount === 0) return 'sent';
    this.isBuffering = true;
    return 'buffered';
  }

  cork(action: () => void): void {
    action();
  }

  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.socket.close(code, reason);
    this.handler.onClose(this, code, reason);
  }
}

export class WsTransport<T> implements Transport {
  readonly kind = 'ws';
  /** One for each port. */
  private readonly servers: Server[] = [];
  private readonly sockets: WebSocketServer;
  private readonly connections = new Set<WsConnection<T>>();
  private readonly pings: NodeJS.Timeout;
  private lastId = 0;

  constructor(
    options: TransportOptions,
    private readonly handler: TransportHandler<T>,
  ) {
    const serverOptions: ServerOptions & { closeTimeout: number } = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.payloadBytesMax,
      handleProtocols: () => false,
      closeTimeout: CLOSE_DEADLINE_MS,
    };
    this.sockets = new WebSocketServer(serverOptions);
    this.pings = setInterval(() => this.ping(), (IDLE_TIMEOUT_S * 1000) / 2).unref();
  }

  listen(host: string, port: number): Promise<number> {
    const server = createServer({
      headersTimeout: HTTP_TIMEOUT_MS,
      requestTimeout: HTTP_TIMEOUT_MS,
      connectionsCheckingInterval: HTTP_TIMEOUT_MS / 2,
    });
    server.on('request', (request, response) => this.http(request, response));
    server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(listenError(host, port, error)));
      server.listen({ host, port, exclusive: true }, () => {
        this.servers.push(server);
        resolve((server.address() as AddressInfo).port);
      });
    });
  }

  stopAccepting(): void {
    for (const server of this.servers) {
      if (server.listening) server.close();
      server.closeIdleConnections();
    }
  }

  async close(lingerMs: number): Promise<void> {
    this.stopAccepting();
    clearInterval(this.pings);
    const closing = [...this.connections].filter((connection) => !connection.isOpen);
    if (closing.length > 0 && lingerMs > 0) {
      await new Promise<void>((resolve) => {
        const deadline = setTimeout(resolve, lingerMs);
        let left = closing.length;
        for (const { socket } of closing) {
          socket.once('close', () => {
            left--;
            if (left > 0) return;
            clearTimeout(deadline);
            resolve();
          });
        }
      });
    }
    for (const server of this.servers) server.closeAllConnections();
    const rest = [...this.connections].map(
      ({ socket }) => new Promise((resolve) => socket.once('close', resolve).terminate()),
    );
    await Promise.all(rest);
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (!isHandshake(request)) {
      void Promise.resolve(this.handler.onHttp(requestOf(request))).then((reply) => {
        writeRaw(socket, reply, request.method === 'HEAD');
      });
      return;
    }
    const remoteAddress = request.socket.remoteAddress ?? '';
    const answer = this.handler.onUpgrade({
      path: pathOf(request),
      origin: request.headers.origin,
      authorization: request.headers.authorization,
      remoteAddress,
    });
    if ('refusal' in answer) {
      writeRaw(socket, answer.refusal, false);
      return;
    }
    this.sockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.open(webSocket, answer.data, remoteAddress);
    });
  }

  private open(socket: WebSocket, data: T, remoteAddress: string): void {
    const { handler } = this;
    const connection = new WsConnection(++this.lastId, data, remoteAddress, socket, handler);
    this.connections.add(connection);
    socket.binaryType = 'arraybuffer';
    socket.on('message', (message, isBinary) => {
      connection.isAlive = true;
      if (!connection.isOpen) return;
      if (isBinary) handler.onMessage(connection, message as ArrayBuffer);
      else handler.onText(connection);
    });
    socket.on('pong', () => {
      connection.isAlive = true;
    });
    const end = (code: number, reason: string) => {
      if (!connection.isOpen) return;
      connection.isOpen = false;
      handler.onClose(connection, code, reason);
    };
    // `ws` closes the socket by itself after an error; only the error says why.
    socket.on('error', (error: NodeJS.ErrnoException) => end(foundCode(error), error.message));
    socket.on('close', (code, reason) => {
      this.connections.delete(connection);
      end(code, reason.toString());
    });
    handler.onOpen(connection);
  }

  private ping(): void {
    for (const connection of this.connections) {
      if (connection.isAlive) {
        connection.isAlive = false;
        if (connection.isOpen) connection.socket.ping();
      } else {
        connection.socket.terminate();
      }
    }
  }

  private http(request: IncomingMessage, response: ServerResponse): void {
    const isHead = request.method === 'HEAD';
    const reply = this.handler.onHttp(requestOf(request));
    if (!(reply instanceof Promise)) {
      writeReply(response, reply, isHead);
      return;
    }
    void reply.then((answer) => writeReply(response, answer, isHead));
  }
}

/**
 * Whether this asks for a WebSocket as it should. Node hands over every request with an `Upgrade`
 * header, such as those of clients that offer HTTP/2; they get the answer that they get without it.
 */
function isHandshake({ method, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    headers['sec-websocket-version'] === '13' &&
    /^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')
  );
}

function requestOf(request: IncomingMessage): HttpRequest {
  return {
    method: request.method === 'HEAD' ? 'GET' : (request.method ?? ''),
    path: pathOf(request),
    authorization: request.headers.authorization,
  };
}

function pathOf(request: IncomingMessage): string {
  const url = request.url ?? '/';
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function writeReply(response: ServerResponse, reply: HttpReply, isHead: boolean): void {
  response.writeHead(reply.status, {
    'content-type': reply.contentType,
    'content-length': Buffer.byteLength(reply.body),
    ...reply.headers,
  });
  response.end(isHead ? undefined : reply.body);
}

/** Answers over a socket that Node's HTTP server has handed over, and hangs up. */
function writeRaw(socket: Duplex, reply: HttpReply, isHead: boolean): void {
  // The peer may be gone already; there is no one left to tell.
  socket.on('error', () => socket.destroy());
  // Without this a peer that does not hang up in turn would keep the socket for good.
  const deadline = setTimeout(() => socket.destroy(), CLOSE_DEADLINE_MS).unref();
  socket.once('close', () => clearTimeout(deadline));
  const headers = {
    'content-type': reply.contentType,
    'content-length': String(Buffer.byteLength(reply.body)),
    connection: 'close',
    ...reply.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const status = `${reply.status} ${STATUS_CODES[reply.status] ?? ''}`;
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${isHead ? '' : reply.body}`);
}

/** The close code for an error that `ws` raised. */
function foundCode(error: NodeJS.ErrnoException): number {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return 1009;
  if (error.code === 'WS_ERR_INVALID_UTF8') return 1007;
  return error.code?.startsWith('WS_ERR_') ? 1002 : 1006;
}
