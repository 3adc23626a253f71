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
  SLOT_DATA,
  SLOT_HELLO,
  SLOT_KIND,
  SLOT_OPERATIONS,
  SLOT_RESULTS,
  SLOT_WELCOME,
} from './layout.js';
import { fieldAt, followOffset, stringAt, vtableOf } from './walk.js';

export interface HelloFrame {
  readonly protocol: number;
  /** Empty where the client sent none. */
  readonly token: string;
  readonly client: string;
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
  };
  readonly uptimeMs: number;
  readonly keys: number;
  readonly memoryBytes: number;
  /** 0 = no bound. */
  readonly memoryBytesMax: number;
  readonly connections: number;
}

export function encodeHello(hello: HelloFrame): Uint8Array<ArrayBuffer> {
  const builder = new Builder(256);
  const token = builder.createString(hello.token);
  const client = builder.createString(hello.client);
  const table = Hello.createHello(builder, hello.protocol, token, client);
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
  );
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
  for (const slot of [SLOT_OPERATIONS, SLOT_RESULTS, SLOT_DATA, SLOT_WELCOME]) {
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
  return { protocol: protocol === 0 ? 0 : view.getUint16(protocol, true), token, client };
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
    },
    uptimeMs: Number(welcome.uptimeMs()),
    keys: Number(welcome.keys()),
    memoryBytes: Number(welcome.memoryBytes()),
    memoryBytesMax: Number(welcome.memoryBytesMax()),
    connections: welcome.connections(),
  };
}

function finish(builder: Builder): Uint8Array<ArrayBuffer> {
  Frame.finishFrameBuffer(builder, Frame.endFrame(builder));
  return builder.asUint8Array().slice();
}

function optionalString(view: DataView, field: number): string | undefined {
  if (field < 0) return undefined;
  return field === 0 ? '' : stringAt(view, field);
}
