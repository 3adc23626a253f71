// The first exchange from the client's side, by hand: it keeps the FlatBuffers runtime, a third of
// the whole, out of the bundle that browsers load, and reads the welcome with every check. Tests
// hold it against the generated code.

import { FrameKind } from '../wire/generated/rondo/wire/frame-kind.js';
import type { HelloFrame, WelcomeFrame } from '../wire/hello.js';
import {
  FILE_IDENTIFIER,
  FRAME_BYTES_MIN,
  IDENTIFIER_AT,
  readU64,
  SLOT_HELLO,
  SLOT_KIND,
  SLOT_WELCOME,
  writeU64,
} from '../wire/layout.js';
import { fieldAt, followOffset, stringAt, vectorAt, vtableOf } from '../wire/walk.js';

// The hello, front to back: vtable and table of Frame, vtable and table of Hello, two strings, the
// secret. The table begins where its integers of eight bytes come to stand on a multiple of eight.
const FRAME_VTABLE_AT = 8;
const FRAME_AT = 24;
const HELLO_VTABLE_AT = 36;
const HELLO_AT = 56;
const STRINGS_AT = 104;

const encoder = new TextEncoder();

export function encodeHello(hello: HelloFrame): Uint8Array<ArrayBuffer> {
  const token = encoder.encode(hello.token);
  const client = encoder.encode(hello.client);
  const clientAt = STRINGS_AT + stringBytes(token);
  const secretAt = clientAt + stringBytes(client);
  const frame = new Uint8Array(secretAt + 4 + hello.sessionSecret.length);
  const view = new DataView(frame.buffer);
  const put16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const put32 = (at: number, value: number): void => view.setUint32(at, value, true);

  put32(0, FRAME_AT);
  put32(IDENTIFIER_AT, FILE_IDENTIFIER);
  put16(FRAME_VTABLE_AT, SLOT_HELLO + 2);
  put16(FRAME_VTABLE_AT + 2, HELLO_VTABLE_AT - FRAME_AT);
  put16(FRAME_VTABLE_AT + SLOT_KIND, 8);
  put16(FRAME_VTABLE_AT + SLOT_HELLO, 4);
  put32(FRAME_AT, FRAME_AT - FRAME_VTABLE_AT);
  put32(FRAME_AT + 4, HELLO_AT - (FRAME_AT + 4));
  view.setUint8(FRAME_AT + 8, FrameKind.Hello);

  put16(HELLO_VTABLE_AT, 18);
  put16(HELLO_VTABLE_AT + 2, STRINGS_AT - HELLO_AT);
  put16(HELLO_VTABLE_AT + 4, 12);
  put16(HELLO_VTABLE_AT + 6, 4);
  put16(HELLO_VTABLE_AT + 8, 8);
  put16(HELLO_VTABLE_AT + 10, 16);
  put16(HELLO_VTABLE_AT + 12, 24);
  put16(HELLO_VTABLE_AT + 14, 32);
  put16(HELLO_VTABLE_AT + 16, 40);
  put32(HELLO_AT, HELLO_AT - HELLO_VTABLE_AT);
  put32(HELLO_AT + 4, STRINGS_AT - (HELLO_AT + 4));
  put32(HELLO_AT + 8, clientAt - (HELLO_AT + 8));
  put16(HELLO_AT + 12, hello.protocol);
  writeU64(view, HELLO_AT + 16, hello.sessionTtlMs);
  writeU64(view, HELLO_AT + 24, hello.session);
  put32(HELLO_AT + 32, secretAt - (HELLO_AT + 32));
  writeU64(view, HELLO_AT + 40, hello.group);

  put32(STRINGS_AT, token.length);
  frame.set(token, STRINGS_AT + 4);
  put32(clientAt, client.length);
  frame.set(client, clientAt + 4);
  put32(secretAt, hello.sessionSecret.length);
  frame.set(hello.sessionSecret, secretAt + 4);
  return frame;
}

/** Length, bytes, a zero, and padding to four bytes. */
function stringBytes(text: Uint8Array): number {
  return (4 + text.length + 1 + 3) & ~3;
}

/** The welcome of a frame; undefined where it is not a valid one. */
export function decodeWelcome(frame: ArrayBuffer): WelcomeFrame | undefined {
  const view = new DataView(frame);
  if (view.byteLength < FRAME_BYTES_MIN) return undefined;
  if (view.getUint32(IDENTIFIER_AT, true) !== FILE_IDENTIFIER) return undefined;
  const root = tableAt(view, 0);
  if (root?.integer(SLOT_KIND, 1) !== FrameKind.Welcome) return undefined;
  const welcome = root.table(SLOT_WELCOME);
  const limits = welcome?.table(18);
  if (welcome === undefined || limits === undefined) return undefined;
  const decoded = {
    protocol: welcome.integer(4, 2),
    version: welcome.text(6),
    engine: welcome.text(8),
    engineReason: welcome.text(10),
    transport: welcome.text(12),
    durability: welcome.text(14),
    partitions: welcome.integer(16, 4),
    limits: {
      frameBytesMax: limits.integer(4, 4),
      keyBytesMax: limits.integer(6, 4),
      valueBytesMax: limits.integer(8, 4),
      operationsPerFrameMax: limits.integer(10, 4),
      operationsOutstandingMax: limits.integer(12, 4),
      scanEntriesMax: limits.integer(14, 4),
      sessionTtlMsMin: limits.integer(16, 8),
      sessionTtlMsMax: limits.integer(18, 8),
      watchesMax: limits.integer(20, 4),
      answersRememberedMax: limits.integer(22, 4),
    },
    uptimeMs: welcome.integer(20, 8),
    keys: welcome.integer(22, 8),
    memoryBytes: welcome.integer(24, 8),
    memoryBytesMax: welcome.integer(26, 8),
    connections: welcome.integer(28, 4),
    node: welcome.integer(30, 8),
    session: welcome.integer(32, 8),
    sessionTtlMs: welcome.integer(34, 8),
    sessionSecret: welcome.bytes(36),
    sessionResumed: welcome.integer(38, 1) !== 0,
    answersRemembered: welcome.integer(40, 1) !== 0,
    position: welcome.integer(42, 8),
    sessions: welcome.integer(44, 4),
    watches: welcome.integer(46, 4),
    worker: welcome.integer(48, 2),
    routing: welcome.bytes(50),
  };
  return root.isValid && welcome.isValid && limits.isValid ? decoded : undefined;
}

/** A table of a frame. A field that is absent is zero or empty; a bad one spoils `isValid`. */
class Table {
  isValid = true;

  constructor(
    private readonly view: DataView,
    private readonly at: number,
    private readonly vtable: number,
  ) {}

  /** An unsigned integer of 1, 2, 4 or 8 bytes. */
  integer(slot: number, bytes: number): number {
    const at = this.field(slot, bytes);
    if (at === 0) return 0;
    if (bytes === 1) return this.view.getUint8(at);
    if (bytes === 2) return this.view.getUint16(at, true);
    return bytes === 4 ? this.view.getUint32(at, true) : readU64(this.view, at);
  }

  text(slot: number): string {
    const at = this.field(slot, 4);
    const text = at === 0 ? '' : stringAt(this.view, at);
    if (text === undefined) this.isValid = false;
    return text ?? '';
  }

  /** A copy. */
  bytes(slot: number): Uint8Array {
    const at = this.field(slot, 4);
    const start = at === 0 ? 0 : vectorAt(this.view, at, 1);
    if (start < 0) this.isValid = false;
    if (start <= 0) return new Uint8Array(0);
    const length = this.view.getUint32(start - 4, true);
    return new Uint8Array(this.view.buffer as ArrayBuffer, start, length).slice();
  }

  table(slot: number): Table | undefined {
    const at = this.field(slot, 4);
    return at === 0 ? undefined : tableAt(this.view, at);
  }

  /** Where a field of this many bytes stands; 0 where it is absent or bad. */
  private field(slot: number, bytes: number): number {
    const at = fieldAt(this.view, this.at, this.vtable, slot, bytes);
    if (at < 0) this.isValid = false;
    return Math.max(0, at);
  }
}

function tableAt(view: DataView, offsetAt: number): Table | undefined {
  const at = followOffset(view, offsetAt);
  const vtable = at < 0 ? -1 : vtableOf(view, at);
  return vtable < 0 ? undefined : new Table(view, at, vtable);
}
