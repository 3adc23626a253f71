// The first exchange of a connection: Hello from the client, Welcome from the node. Rare, so it uses
// the generated code to write; what is read comes from outside and is walked with every check.

import { Builder, ByteBuffer } from 'flatbuffers';
import { Frame } from './generated/rondo/wire/frame.js';
import { FrameKind } from './generated/rondo/wire/frame-kind.js';
import { Hello } from './generated/rondo/wire/hello.js';
import { Limits } from './generated/rondo/wire/limits.js';
import { Welcome } from './generated/rondo/wire/welcome.js';
import {
  FILE_IDENTIFIER,
  FRAME_BYTES_MIN,
  IDENTIFIER_AT,
  readU64,
  SLOT_DATA,
  SLOT_EVENTS,
  SLOT_HELLO,
  SLOT_KIND,
  SLOT_OPERATIONS,
  SLOT_RESULTS,
  SLOT_WELCOME,
} from './layout.js';
import { fieldAt, followOffset, stringAt, vectorAt, vtableOf } from './walk.js';

export interface HelloFrame {
  readonly protocol: number;
  /** Empty where the client sent none. */
  readonly token: string;
  readonly client: string;
  /** Milliseconds; 0: no session is asked for. */
  readonly sessionTtlMs: number;
  /** The session to resume; 0: a new one. */
  readonly session: number;
  /** SESSION_SECRET_BYTES; empty where there is none. */
  readonly sessionSecret: Uint8Array;
  /** Connections of one group share the session; 0: none. */
  readonly group: number;
}

/** What the node tells of itself at hello. Lengths in bytes. */
export interface WelcomeFrame {
  readonly protocol: number;
  readonly version: string;
  readonly engine: string;
  readonly engineReason: string;
  readonly transport: string;
  readonly durability: string;
  readonly partitions: number;
  readonly limits: {
    readonly frameBytesMax: number;
    readonly keyBytesMax: number;
    readonly valueBytesMax: number;
    readonly operationsPerFrameMax: number;
    readonly operationsOutstandingMax: number;
    readonly scanEntriesMax: number;
    readonly sessionTtlMsMin: number;
    readonly sessionTtlMsMax: number;
    readonly watchesMax: number;
    readonly answersRememberedMax: number;
  };
  readonly uptimeMs: number;
  readonly keys: number;
  readonly memoryBytes: number;
  /** 0 = no bound. */
  readonly memoryBytesMax: number;
  readonly connections: number;
  /** Told apart from every other node and every log: part of a watch's resume token. Below 2^53. */
  readonly node: number;
  /** The session of this connection; 0: none. */
  readonly session: number;
  readonly sessionTtlMs: number;
  /** SESSION_SECRET_BYTES of a session that is new; otherwise empty. */
  readonly sessionSecret: Uint8Array;
  /** The session that was asked for goes on, with all that it holds. */
  readonly sessionResumed: boolean;
  /** It goes on in the same process: unanswered operations may be repeated. */
  readonly answersRemembered: boolean;
  /** Where a watch that starts now begins. */
  readonly position: number;
  readonly sessions: number;
  readonly watches: number;
  /** Which worker has the connection. */
  readonly worker: number;
  /** `decodeRouting` reads it. */
  readonly routing: Uint8Array;
}

export function encodeHello(hello: HelloFrame): Uint8Array<ArrayBuffer> {
  const builder = new Builder(256);
  const token = builder.createString(hello.token);
  const client = builder.createString(hello.client);
  const secret = secretIn(builder, hello.sessionSecret);
  Hello.startHello(builder);
  Hello.addProtocol(builder, hello.protocol);
  Hello.addToken(builder, token);
  Hello.addClient(builder, client);
  Hello.addSessionTtlMs(builder, BigInt(hello.sessionTtlMs));
  Hello.addSession(builder, BigInt(hello.session));
  Hello.addSessionSecret(builder, secret);
  Hello.addGroup(builder, BigInt(hello.group));
  const table = Hello.endHello(builder);
  Frame.startFrame(builder);
  Frame.addKind(builder, FrameKind.Hello);
  Frame.addHello(builder, table);
  return finish(builder);
}

export function encodeWelcome(welcome: WelcomeFrame): Uint8Array<ArrayBuffer> {
  const builder = new Builder(512);
  const version = builder.createString(welcome.version);
  const engine = builder.createString(welcome.engine);
  const engineReason = builder.createString(welcome.engineReason);
  const transport = builder.createString(welcome.transport);
  const durability = builder.createString(welcome.durability);
  const limits = Limits.createLimits(
    builder,
    welcome.limits.frameBytesMax,
    welcome.limits.keyBytesMax,
    welcome.limits.valueBytesMax,
    welcome.limits.operationsPerFrameMax,
    welcome.limits.operationsOutstandingMax,
    welcome.limits.scanEntriesMax,
    BigInt(welcome.limits.sessionTtlMsMin),
    BigInt(welcome.limits.sessionTtlMsMax),
    welcome.limits.watchesMax,
    welcome.limits.answersRememberedMax,
  );
  const secret = secretIn(builder, welcome.sessionSecret);
  const { routing } = welcome;
  const routingAt = routing.length === 0 ? 0 : Welcome.createRoutingVector(builder, routing);
  Welcome.startWelcome(builder);
  Welcome.addProtocol(builder, welcome.protocol);
  Welcome.addVersion(builder, version);
  Welcome.addEngine(builder, engine);
  Welcome.addEngineReason(builder, engineReason);
  Welcome.addTransport(builder, transport);
  Welcome.addDurability(builder, durability);
  Welcome.addPartitions(builder, welcome.partitions);
  Welcome.addLimits(builder, limits);
  Welcome.addUptimeMs(builder, BigInt(welcome.uptimeMs));
  Welcome.addKeys(builder, BigInt(welcome.keys));
  Welcome.addMemoryBytes(builder, BigInt(welcome.memoryBytes));
  Welcome.addMemoryBytesMax(builder, BigInt(welcome.memoryBytesMax));
  Welcome.addConnections(builder, welcome.connections);
  Welcome.addNode(builder, BigInt(welcome.node));
  Welcome.addSession(builder, BigInt(welcome.session));
  Welcome.addSessionTtlMs(builder, BigInt(welcome.sessionTtlMs));
  Welcome.addSessionSecret(builder, secret);
  Welcome.addSessionResumed(builder, welcome.sessionResumed);
  Welcome.addAnswersRemembered(builder, welcome.answersRemembered);
  Welcome.addPosition(builder, BigInt(welcome.position));
  Welcome.addSessions(builder, welcome.sessions);
  Welcome.addWatches(builder, welcome.watches);
  Welcome.addWorker(builder, welcome.worker);
  Welcome.addRouting(builder, routingAt);
  const table = Welcome.endWelcome(builder);
  Frame.startFrame(builder);
  Frame.addKind(builder, FrameKind.Welcome);
  Frame.addWelcome(builder, table);
  return finish(builder);
}

/** The hello of a frame from outside; undefined where it is not a valid one. */
export function decodeHello(frame: ArrayBuffer): HelloFrame | undefined {
  const view = new DataView(frame);
  if (view.byteLength < FRAME_BYTES_MIN) return undefined;
  if (view.getUint32(IDENTIFIER_AT, true) !== FILE_IDENTIFIER) return undefined;
  const table = followOffset(view, 0);
  const vtable = table < 0 ? -1 : vtableOf(view, table);
  if (vtable < 0) return undefined;
  const kind = fieldAt(view, table, vtable, SLOT_KIND, 1);
  if (kind <= 0 || view.getUint8(kind) !== FrameKind.Hello) return undefined;
  for (const slot of [SLOT_OPERATIONS, SLOT_RESULTS, SLOT_DATA, SLOT_WELCOME, SLOT_EVENTS]) {
    if (fieldAt(view, table, vtable, slot, 4) !== 0) return undefined;
  }
  const field = fieldAt(view, table, vtable, SLOT_HELLO, 4);
  const hello = field <= 0 ? -1 : followOffset(view, field);
  const helloVtable = hello < 0 ? -1 : vtableOf(view, hello);
  if (helloVtable < 0) return undefined;

  const protocol = fieldAt(view, hello, helloVtable, 4, 2);
  const token = optionalString(view, fieldAt(view, hello, helloVtable, 6, 4));
  const client = optionalString(view, fieldAt(view, hello, helloVtable, 8, 4));
  if (protocol < 0 || token === undefined || client === undefined) return undefined;
  const sessionTtlMs = optionalInteger(view, fieldAt(view, hello, helloVtable, 10, 8));
  const session = optionalInteger(view, fieldAt(view, hello, helloVtable, 12, 8));
  const sessionSecret = optionalBytes(view, fieldAt(view, hello, helloVtable, 14, 4));
  const group = optionalInteger(view, fieldAt(view, hello, helloVtable, 16, 8));
  if (sessionTtlMs === undefined || session === undefined) return undefined;
  if (sessionSecret === undefined || group === undefined) return undefined;
  return {
    protocol: protocol === 0 ? 0 : view.getUint16(protocol, true),
    token,
    client,
    sessionTtlMs,
    session,
    sessionSecret,
    group,
  };
}

/**
 * The welcome of a frame; undefined where it is not one. The node is trusted further than a client
 * is: what is out of range throws, and the caller closes the connection.
 */
export function decodeWelcome(frame: ArrayBuffer): WelcomeFrame | undefined {
  const buffer = new ByteBuffer(new Uint8Array(frame));
  if (frame.byteLength < FRAME_BYTES_MIN || !Frame.bufferHasIdentifier(buffer)) return undefined;
  const root = Frame.getRootAsFrame(buffer);
  const welcome = root.kind() === FrameKind.Welcome ? root.welcome() : null;
  const limits = welcome?.limits();
  if (!welcome || !limits) return undefined;
  return {
    protocol: welcome.protocol(),
    version: welcome.version() ?? '',
    engine: welcome.engine() ?? '',
    engineReason: welcome.engineReason() ?? '',
    transport: welcome.transport() ?? '',
    durability: welcome.durability() ?? '',
    partitions: welcome.partitions(),
    limits: {
      frameBytesMax: limits.frameBytesMax(),
      keyBytesMax: limits.keyBytesMax(),
      valueBytesMax: limits.valueBytesMax(),
      operationsPerFrameMax: limits.operationsPerFrameMax(),
      operationsOutstandingMax: limits.operationsOutstandingMax(),
      scanEntriesMax: limits.scanEntriesMax(),
      sessionTtlMsMin: Number(limits.sessionTtlMsMin()),
      sessionTtlMsMax: Number(limits.sessionTtlMsMax()),
      watchesMax: limits.watchesMax(),
      answersRememberedMax: limits.answersRememberedMax(),
    },
    uptimeMs: Number(welcome.uptimeMs()),
    keys: Number(welcome.keys()),
    memoryBytes: Number(welcome.memoryBytes()),
    memoryBytesMax: Number(welcome.memoryBytesMax()),
    connections: welcome.connections(),
    node: Number(welcome.node()),
    session: Number(welcome.session()),
    sessionTtlMs: Number(welcome.sessionTtlMs()),
    sessionSecret: welcome.sessionSecretArray()?.slice() ?? new Uint8Array(0),
    sessionResumed: welcome.sessionResumed(),
    answersRemembered: welcome.answersRemembered(),
    position: Number(welcome.position()),
    sessions: welcome.sessions(),
    watches: welcome.watches(),
    worker: welcome.worker(),
    routing: welcome.routingArray()?.slice() ?? new Uint8Array(0),
  };
}

/** Where a secret stands; 0, which leaves the field out, where there is none. */
function secretIn(builder: Builder, secret: Uint8Array): number {
  return secret.length === 0 ? 0 : Hello.createSessionSecretVector(builder, secret);
}

function finish(builder: Builder): Uint8Array<ArrayBuffer> {
  Frame.finishFrameBuffer(builder, Frame.endFrame(builder));
  return builder.asUint8Array().slice();
}

function optionalString(view: DataView, field: number): string | undefined {
  if (field < 0) return undefined;
  return field === 0 ? '' : stringAt(view, field);
}

function optionalInteger(view: DataView, field: number): number | undefined {
  if (field < 0) return undefined;
  return field === 0 ? 0 : readU64(view, field);
}

function optionalBytes(view: DataView, field: number): Uint8Array | undefined {
  if (field < 0) return undefined;
  if (field === 0) return new Uint8Array(0);
  const start = vectorAt(view, field, 1);
  if (start < 0) return undefined;
  const length = view.getUint32(start - 4, true);
  return new Uint8Array(view.buffer as ArrayBuffer, start, length).slice();
}
