// A node for tests of the client that does only what a test tells it: it answers, stays silent, lies
// or closes. It reads with the server's checks and writes with the server's writers.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { Columns } from '../../ts/wire/columns.js';
import {
  decodeHello,
  encodeWelcome,
  type HelloFrame,
  type WelcomeFrame,
} from '../../ts/wire/hello.js';
import {
  HEADER_BYTES,
  OPERATION_BYTES,
  OPERATION_CODE,
  OPERATION_EXPECTED_REVISION,
  OPERATION_FLAGS,
  OPERATION_ID,
  OPERATION_KEY_LENGTH,
  OPERATION_LIMIT,
  OPERATION_TTL_MS,
  OPERATION_VALUE_LENGTH,
  PROTOCOL_VERSION,
  RESULT_STATUS,
  readU64,
} from '../../ts/wire/layout.js';
import { ReplyWriter } from '../../ts/wire/reply.js';
import { checkRequest } from '../../ts/wire/request.js';
import { Status, statusName } from '../../ts/wire/status.js';

export interface SentOperation {
  readonly id: number;
  readonly code: number;
  readonly flags: number;
  readonly key: string;
  readonly value: Uint8Array;
  readonly text: string;
  readonly limit: number;
  readonly ttlMs: number;
  readonly expectedRevision: number;
}

export interface Limits {
  frameBytesMax: number;
  keyBytesMax: number;
  valueBytesMax: number;
  operationsPerFrameMax: number;
  operationsOutstandingMax: number;
  scanEntriesMax: number;
  sessionTtlMsMin: number;
  sessionTtlMsMax: number;
  watchesMax: number;
  answersRememberedMax: number;
}

/** How the node makes and resumes sessions. */
export interface Sessions {
  /** In place of the time to live that the hello asks for. */
  ttlMs?: number;
  /** Whether a session that it knows goes on. */
  resumes: boolean;
  answersRemembered: boolean;
}

/** What a test has the node do with a request; by default every operation is answered Ok. */
export type Script = (peer: Peer, operations: SentOperation[]) => void;

export class Peer {
  constructor(
    readonly socket: WebSocket,
    readonly index: number,
  ) {}

  /** Writes one reply frame. */
  reply(write: (writer: ReplyWriter) => void, resultsMax = 10_000): void {
    const bytes = new Uint8Array(4 * 1024 * 1024);
    const writer = new ReplyWriter(bytes);
    writer.begin(resultsMax);
    write(writer);
    this.socket.send(bytes.slice(0, writer.finish()));
  }

  /** Answers each operation with Ok, its key as a JSON value and revision 1. */
  confirm(operations: readonly SentOperation[]): void {
    this.reply((writer) => {
      for (const { id, key } of operations) {
        writer.resultWithValue(id, Buffer.from(JSON.stringify(key)), 1, 0);
      }
    });
  }

  /** One result with a status and a text, which no writer of the wire makes. */
  statusWithText({ id }: SentOperation, status: number, text: string): void {
    const bytes = new Uint8Array(64 * 1024);
    const writer = new ReplyWriter(bytes);
    writer.begin(1);
    writer.resultWithValue(id, Buffer.from(text), 0, 0);
    const length = writer.finish();
    bytes[HEADER_BYTES + RESULT_STATUS] = status;
    this.socket.send(bytes.slice(0, length));
  }

  status(operations: readonly SentOperation[], status: number, revision = 0): void {
    this.reply((writer) => {
      for (const { id } of operations) writer.result(id, status, revision, 0);
    });
  }
}

const SESSION_FIELDS = [
  'session',
  'sessionTtlMs',
  'sessionSecret',
  'sessionResumed',
  'answersRemembered',
] as const;

/** The secret that the scripted node gives to a session. */
export function secretOf(session: number): Uint8Array {
  return new Uint8Array(16).fill(session);
}

export class ScriptedNode {
  readonly hellos: HelloFrame[] = [];
  readonly paths: string[] = [];
  /** The operations of each request frame, over all connections. */
  readonly frames: SentOperation[][] = [];
  readonly peers: Peer[] = [];
  script: Script = (peer, operations) => peer.confirm(operations);
  /** Undefined: it makes none, whatever is asked for. */
  sessions: Sessions | undefined;
  /** Sessions that were made. */
  sessionsMade = 0;
  /** Instead of the welcome; for refusals. */
  onHello: ((peer: Peer) => void) | undefined;
  limits: Limits = {
    frameBytesMax: 4 * 1024 * 1024,
    keyBytesMax: 1024,
    valueBytesMax: 1024 * 1024,
    operationsPerFrameMax: 8192,
    operationsOutstandingMax: 65_536,
    scanEntriesMax: 10_000,
    sessionTtlMsMin: 1,
    sessionTtlMsMax: 86_400_000,
    watchesMax: 1000,
    answersRememberedMax: 1024,
  };
  protocol = PROTOCOL_VERSION;
  /** As one worker of several: which, by whose log, and what it tells of the others. */
  worker = 0;
  log = 10;
  routing: Uint8Array = new Uint8Array(0);
  private server: WebSocketServer | undefined;

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  get port(): number {
    if (this.server === undefined) throw new Error('the scripted node has been stopped');
    return (this.server.address() as AddressInfo).port;
  }

  static async start(script?: Script): Promise<ScriptedNode> {
    const node = new ScriptedNode();
    if (script !== undefined) node.script = script;
    await node.listen(0);
    return node;
  }

  async listen(port: number): Promise<void> {
    const server = new WebSocketServer({ host: '127.0.0.1', port });
    this.server = server;
    await once(server, 'listening');
    server.on('connection', (socket, request) => {
      const peer = new Peer(socket, this.peers.length);
      this.peers.push(peer);
      this.paths.push(request.url ?? '');
      let isHello = true;
      socket.on('message', (data: Buffer) => {
        const frame = data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
        if (isHello) {
          isHello = false;
          const hello = decodeHello(frame as ArrayBuffer);
          if (hello === undefined) throw new Error('the first frame is not a hello');
          this.hellos.push(hello);
          if (this.onHello === undefined) this.welcome(peer);
          else this.onHello(peer);
          return;
        }
        const operations = readRequest(frame as ArrayBuffer, this.limits.frameBytesMax);
        this.frames.push(operations);
        this.script(peer, operations);
      });
    });
  }

  welcome(peer: Peer, more: Partial<WelcomeFrame> = {}): void {
    const hello = this.hellos.at(-1) as HelloFrame;
    peer.socket.send(
      encodeWelcome({
        protocol: this.protocol,
        version: '0.0.0-scripted',
        engine: 'ts',
        engineReason: 'a test',
        transport: 'ws',
        durability: 'none',
        partitions: 64,
        limits: this.limits,
        uptimeMs: 5,
        keys: 6,
        memoryBytes: 7,
        memoryBytesMax: 8,
        connections: 9,
        node: this.log,
        position: 11,
        sessions: 12,
        watches: 13,
        worker: this.worker,
        routing: this.routing,
        ...this.sessionOf(hello),
        ...more,
      }),
    );
  }

  private sessionOf(hello: HelloFrame): Pick<WelcomeFrame, (typeof SESSION_FIELDS)[number]> {
    const { sessions } = this;
    const none = {
      session: 0,
      sessionTtlMs: 0,
      sessionSecret: new Uint8Array(0),
      sessionResumed: false,
      answersRemembered: false,
    };
    if (sessions === undefined || hello.sessionTtlMs === 0) return none;
    const sessionTtlMs = sessions.ttlMs ?? hello.sessionTtlMs;
    if (hello.session !== 0 && sessions.resumes) {
      const { answersRemembered } = sessions;
      const { session } = hello;
      return { ...none, session, sessionTtlMs, sessionResumed: true, answersRemembered };
    }
    const session = ++this.sessionsMade;
    return { ...none, session, sessionTtlMs, sessionSecret: secretOf(session) };
  }

  /** Every operation received, in order. */
  get operations(): SentOperation[] {
    return this.frames.flat();
  }

  /** Cuts all connections as a crash would. */
  cut(): void {
    for (const { socket } of this.peers) socket.terminate();
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    if (server === undefined) return;
    for (const socket of server.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  }
}

const columns = new Columns();

function readRequest(frame: ArrayBuffer, frameBytesMax: number): SentOperation[] {
  const view = new DataView(frame);
  const status = checkRequest(view, frameBytesMax, columns);
  if (status !== Status.Ok) throw new Error(`the client sent a bad frame: ${statusName(status)}`);
  const operations: SentOperation[] = [];
  let at = columns.elementsAt;
  let dataAt = columns.dataAt;
  for (let index = 0; index < columns.count; index++, at += OPERATION_BYTES) {
    const keyLength = view.getUint16(at + OPERATION_KEY_LENGTH, true);
    const valueLength = view.getUint32(at + OPERATION_VALUE_LENGTH, true);
    const value = new Uint8Array(frame, dataAt + keyLength, valueLength);
    operations.push({
      id: view.getUint32(at + OPERATION_ID, true),
      code: view.getUint8(at + OPERATION_CODE),
      flags: view.getUint8(at + OPERATION_FLAGS),
      key: Buffer.from(frame, dataAt, keyLength).toString(),
      value,
      text: Buffer.from(value).toString(),
      limit: view.getUint32(at + OPERATION_LIMIT, true),
      ttlMs: readU64(view, at + OPERATION_TTL_MS),
      expectedRevision: readU64(view, at + OPERATION_EXPECTED_REVISION),
    });
    dataAt += keyLength + valueLength;
  }
  return operations;
}
