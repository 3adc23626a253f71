// Frames that are not what they should be, by name: one small valid request with one thing about it
// changed, other layouts of a valid one, and what is no request at all. The table is the corpus; the
// answers that both engines must give are in test/fixtures/malformed.txt.

import { Builder } from 'flatbuffers';
import { Event } from '../../ts/wire/generated/rondo/wire/event.js';
import { Frame } from '../../ts/wire/generated/rondo/wire/frame.js';
import { FrameKind } from '../../ts/wire/generated/rondo/wire/frame-kind.js';
import { Hello } from '../../ts/wire/generated/rondo/wire/hello.js';
import { Operation } from '../../ts/wire/generated/rondo/wire/operation.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { encodeHello } from '../../ts/wire/hello.js';
import {
  DATA_OFFSET_AT,
  HEADER_BYTES,
  IDENTIFIER_AT,
  KIND_AT,
  OPERATION_BYTES,
  OPERATION_ID,
  OPERATION_KEY_LENGTH,
  OPERATION_VALUE_LENGTH,
  SLOT_DATA,
  SLOT_KIND,
  SLOT_OPERATIONS,
  SLOT_RESULTS,
  TABLE_AT,
  VECTOR_LENGTH_AT,
  VECTOR_OFFSET_AT,
  VTABLE_AT,
} from '../../ts/wire/layout.js';
import { FRAME_BYTES_MAX_DEFAULT, OPERATIONS_PER_FRAME_MAX } from '../../ts/wire/limits.js';
import { ReplyWriter } from '../../ts/wire/reply.js';
import { helloOf } from '../drive/hello.js';
import { bytes, copyOf, encodeRequest, get, put } from '../drive/operations.js';

export interface Case {
  readonly name: string;
  readonly frame: ArrayBuffer;
}

/** Two operations: put `k` = `v`, get `k`. */
const base = () => encodeRequest([put('k', 'v'), get('k')]);
const BASE_BYTES = base().byteLength;
const DATA_LENGTH_AT = HEADER_BYTES + 2 * OPERATION_BYTES;

type Change = (view: DataView) => void;

export function malformedCases(): Case[] {
  const cases: Case[] = [];
  const add = (name: string, frame: ArrayBuffer | Uint8Array): void => {
    cases.push({ name, frame: frame instanceof ArrayBuffer ? frame : copyOf(frame) });
  };
  const change = (name: string, edit: Change): void => {
    const frame = base();
    edit(new DataView(frame));
    add(name, frame);
  };

  add('as it should be', base());
  for (let length = 0; length < BASE_BYTES; length++) {
    add(`cut to ${length} bytes`, base().slice(0, length));
  }
  for (let extra = 1; extra <= 8; extra++) {
    add(`${extra} bytes too long`, Buffer.concat([new Uint8Array(base()), new Uint8Array(extra)]));
  }

  const places32 = {
    'root offset': 0,
    identifier: IDENTIFIER_AT,
    'offset to the vtable': TABLE_AT,
    'offset to the operations': VECTOR_OFFSET_AT,
    'offset to the data': DATA_OFFSET_AT,
    'count of operations': VECTOR_LENGTH_AT,
    'length of the data': DATA_LENGTH_AT,
  };
  const values32 = [
    0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 36, 104, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff,
  ];
  for (const [place, at] of Object.entries(places32)) {
    for (const value of values32) {
      change(`${place} is ${value}`, (view) => view.setUint32(at, value, true));
    }
    for (const beyond of [-8, -4, -1, 0, 1, 4]) {
      const name = `${place} leads to the end ${beyond < 0 ? '-' : '+'} ${Math.abs(beyond)}`;
      change(name, (view) => view.setUint32(at, BASE_BYTES - at + beyond, true));
    }
  }

  const places16 = {
    'length of the vtable': VTABLE_AT,
    'size of the table': VTABLE_AT + 2,
    'slot of the kind': VTABLE_AT + SLOT_KIND,
    'slot of the operations': VTABLE_AT + SLOT_OPERATIONS,
    'slot of the results': VTABLE_AT + SLOT_RESULTS,
    'slot of the data': VTABLE_AT + SLOT_DATA,
  };
  for (const [place, at] of Object.entries(places16)) {
    for (const value of [
      0, 1, 2, 3, 4, 6, 7, 8, 10, 12, 14, 16, 91, 92, 103, 104, 0xfffe, 0xffff,
    ]) {
      change(`${place} is ${value}`, (view) => view.setUint16(at, value, true));
    }
  }

  for (const kind of [0, 1, 2, 4, 5, 7, 128, 255]) {
    change(`kind ${kind}`, (view) => view.setUint8(KIND_AT, kind));
  }
  for (const text of ['RNDP', 'rndo', 'ODNR', '\0\0\0\0', 'MONS']) {
    change(`identifier ${JSON.stringify(text)}`, (view) => {
      for (let at = 0; at < 4; at++) view.setUint8(IDENTIFIER_AT + at, text.charCodeAt(at));
    });
  }

  addOperations(change);
  addShapes(add, change);
  addLayouts(add);
  addStrangers(add);
  return cases;
}

/** Ids and lengths of the operations themselves. */
function addOperations(change: (name: string, edit: Change) => void): void {
  const field = (index: number, offset: number) => HEADER_BYTES + index * OPERATION_BYTES + offset;
  const ids: [number, number][] = [
    [1, 1],
    [2, 1],
    [0, 0],
    [5, 0],
    [0xffffffff, 0],
    [0xffffffff, 0xffffffff],
    [0x80000000, 0x7fffffff],
    [0x7fffffff, 0x80000000],
    [0, 0xffffffff],
  ];
  for (const [first, second] of ids) {
    change(`ids ${first} and ${second}`, (view) => {
      view.setUint32(field(0, OPERATION_ID), first, true);
      view.setUint32(field(1, OPERATION_ID), second, true);
    });
  }
  for (const index of [0, 1]) {
    for (const length of [0, 2, 3, 4, 0x7fff, 0xffff]) {
      change(`operation ${index} has a key of ${length} bytes`, (view) =>
        view.setUint16(field(index, OPERATION_KEY_LENGTH), length, true),
      );
    }
    for (const length of [2, 3, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]) {
      change(`operation ${index} has a value of ${length} bytes`, (view) =>
        view.setUint32(field(index, OPERATION_VALUE_LENGTH), length, true),
      );
    }
  }
  // The sum of the lengths, taken in 32 bits, would be right.
  change('lengths that add up to 2^32 + 3', (view) => {
    view.setUint32(field(0, OPERATION_VALUE_LENGTH), 0xffffffff, true);
    view.setUint32(field(1, OPERATION_VALUE_LENGTH), 2, true);
  });
  change('lengths that add up to 2^33 + 3', (view) => {
    view.setUint32(field(0, OPERATION_VALUE_LENGTH), 0xffffffff, true);
    view.setUint32(field(1, OPERATION_VALUE_LENGTH), 0xffffffff, true);
    view.setUint16(field(0, OPERATION_KEY_LENGTH), 2, true);
    view.setUint16(field(1, OPERATION_KEY_LENGTH), 3, true);
  });
  change('lengths moved from one operation to the other', (view) => {
    view.setUint16(field(0, OPERATION_KEY_LENGTH), 0, true);
    view.setUint16(field(1, OPERATION_KEY_LENGTH), 2, true);
  });
  change('data one byte shorter than its operations', (view) =>
    view.setUint32(DATA_LENGTH_AT, 2, true),
  );
}

/** Offsets that meet, cross or run in circles. */
function addShapes(
  add: (name: string, frame: Uint8Array) => void,
  change: (name: string, edit: Change) => void,
): void {
  const point =
    (from: number, to: number): Change =>
    (view) =>
      view.setUint32(from, to - from, true);
  change('data and operations are one vector', point(DATA_OFFSET_AT, VECTOR_LENGTH_AT));
  change('operations lie in the data', point(VECTOR_OFFSET_AT, DATA_LENGTH_AT));
  change('data begins inside the operations', point(DATA_OFFSET_AT, HEADER_BYTES + 8));
  change('operations begin 4 bytes late', point(VECTOR_OFFSET_AT, VECTOR_LENGTH_AT + 4));
  change('operations begin at an odd place', point(VECTOR_OFFSET_AT, VECTOR_LENGTH_AT + 1));
  change('data begins at an odd place', point(DATA_OFFSET_AT, DATA_LENGTH_AT + 1));
  change('data begins 2 bytes late', point(DATA_OFFSET_AT, DATA_LENGTH_AT + 2));
  change('the root is the vtable', point(0, VTABLE_AT));
  change('the root is the operations', point(0, VECTOR_LENGTH_AT));
  change('the root is the root offset', point(0, 0));
  change('the root is at an odd place', point(0, TABLE_AT + 1));
  change('the root is 2 bytes late', point(0, TABLE_AT + 2));
  for (const to of [
    0,
    4,
    VTABLE_AT + 1,
    VTABLE_AT + 2,
    TABLE_AT,
    VECTOR_OFFSET_AT,
    KIND_AT,
    104,
    110,
  ]) {
    change(`the vtable is at ${to}`, (view) => view.setInt32(TABLE_AT, TABLE_AT - to, true));
  }
  change('the vtable is before the frame', (view) => view.setInt32(TABLE_AT, TABLE_AT + 2, true));
  change('the offset to the vtable is the least integer', (view) =>
    view.setInt32(TABLE_AT, -(2 ** 31), true),
  );
  change('kind lies in the offset to the vtable', (view) =>
    view.setUint16(VTABLE_AT + SLOT_KIND, 1, true),
  );
  for (const slot of [SLOT_RESULTS, SLOT_OPERATIONS, SLOT_DATA]) {
    change(`slot ${slot} stands where the operations' does`, (view) =>
      view.setUint16(VTABLE_AT + slot, VECTOR_OFFSET_AT - TABLE_AT, true),
    );
  }
  // A vtable behind the frame, with slots for what a later version may add, or for what a request may
  // not have.
  const withSlots = (name: string, slots: Record<number, number>, length: number): void => {
    const room = new Uint8Array(1 + Math.max(length, 12));
    const frame = Buffer.concat([new Uint8Array(base()), room]);
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const vtable = BASE_BYTES + 1;
    view.setInt32(TABLE_AT, TABLE_AT - vtable, true);
    for (let at = 0; at < 12; at += 2) {
      view.setUint16(vtable + at, view.getUint16(VTABLE_AT + at, true), true);
    }
    view.setUint16(vtable, length, true);
    for (const [slot, value] of Object.entries(slots)) {
      view.setUint16(vtable + Number(slot), value, true);
    }
    add(name, frame);
  };
  const operations = VECTOR_OFFSET_AT - TABLE_AT;
  withSlots('a vtable behind the frame', {}, 12);
  withSlots('a vtable with slots of a later version, not set', {}, 24);
  withSlots('a vtable with a slot of a later version, set', { 18: operations }, 20);
  withSlots('a vtable with a slot of a later version, out of range', { 18: 0xffff }, 20);
  withSlots('a hello beside the operations', { 12: operations }, 16);
  withSlots('a hello out of range', { 12: 0xfff0 }, 16);
  withSlots('a welcome beside the operations', { 14: operations }, 16);
  withSlots('a welcome at an odd place', { 14: operations + 1 }, 16);
  withSlots('the operations as events too', { 16: operations }, 18);
  withSlots('the data as events', { 16: DATA_OFFSET_AT - TABLE_AT }, 18);
  withSlots('events at an odd place', { 16: operations + 1 }, 18);
  withSlots('events out of range', { 16: 0xfff0 }, 18);
  withSlots('events where the kind is', { 16: KIND_AT - TABLE_AT }, 18);
  withSlots('events in place of the operations', { 6: 0, 16: operations }, 18);
  withSlots('a vtable of 10 bytes: no data', {}, 10);
  withSlots('a vtable of 8 bytes', {}, 8);
  withSlots('a vtable of 4 bytes', {}, 4);
}

/** The same request from the generated code, in orders that our writer does not use. */
function addLayouts(add: (name: string, frame: Uint8Array) => void): void {
  const build = (name: string, make: (builder: Builder) => void): void => {
    const builder = new Builder(64);
    make(builder);
    add(name, builder.asUint8Array());
  };
  const operations = (builder: Builder, count: number): number => {
    Frame.startOperationsVector(builder, count);
    for (let id = count; id >= 1; id--) {
      Operation.createOperation(builder, id, OperationCode.Get, 0, 1, 0, 0, 0n, 0n);
    }
    return builder.endVector();
  };
  const data = (builder: Builder, length: number): number =>
    Frame.createDataVector(builder, new Uint8Array(length).fill(0x6b));
  const frame = (builder: Builder, fields: (() => void)[], identifier = true): void => {
    Frame.startFrame(builder);
    for (const field of fields) field();
    const end = Frame.endFrame(builder);
    if (identifier) Frame.finishFrameBuffer(builder, end);
    else builder.finish(end);
  };
  const request = (builder: Builder) => () => Frame.addKind(builder, FrameKind.Request);

  for (const count of [1, 2, 3, 64]) {
    build(`generated, ${count} operations, data first`, (builder) => {
      const blob = data(builder, count);
      const vector = operations(builder, count);
      frame(builder, [
        request(builder),
        () => Frame.addOperations(builder, vector),
        () => Frame.addData(builder, blob),
      ]);
    });
    build(`generated, ${count} operations, data last, kind last`, (builder) => {
      const vector = operations(builder, count);
      const blob = data(builder, count);
      frame(builder, [
        () => Frame.addData(builder, blob),
        () => Frame.addOperations(builder, vector),
        request(builder),
      ]);
    });
  }
  build('generated, no operations', (builder) => {
    const vector = operations(builder, 0);
    const blob = data(builder, 0);
    frame(builder, [
      request(builder),
      () => Frame.addOperations(builder, vector),
      () => Frame.addData(builder, blob),
    ]);
  });
  build('generated, operations left out', (builder) => {
    const blob = data(builder, 1);
    frame(builder, [request(builder), () => Frame.addData(builder, blob)]);
  });
  build('generated, data left out', (builder) => {
    const vector = operations(builder, 1);
    frame(builder, [request(builder), () => Frame.addOperations(builder, vector)]);
  });
  build('generated, kind left out', (builder) => {
    const vector = operations(builder, 1);
    const blob = data(builder, 1);
    frame(builder, [
      () => Frame.addOperations(builder, vector),
      () => Frame.addData(builder, blob),
    ]);
  });
  build('generated, without identifier', (builder) => {
    const vector = operations(builder, 1);
    const blob = data(builder, 1);
    const fields = [
      request(builder),
      () => Frame.addOperations(builder, vector),
      () => Frame.addData(builder, blob),
    ];
    frame(builder, fields, false);
  });
  build('generated, an empty frame table', (builder) => frame(builder, []));
  build('generated, a kind and nothing else', (builder) => frame(builder, [request(builder)]));
  build('generated, a hello in a request', (builder) => {
    const vector = operations(builder, 1);
    const blob = data(builder, 1);
    const hello = Hello.createHello(builder, 1, 0, 0, 0n, 0n, 0, 0n);
    frame(builder, [
      request(builder),
      () => Frame.addOperations(builder, vector),
      () => Frame.addData(builder, blob),
      () => Frame.addHello(builder, hello),
    ]);
  });
  build('generated, empty results beside the operations', (builder) => {
    const vector = operations(builder, 1);
    const blob = data(builder, 1);
    Frame.startResultsVector(builder, 0);
    const results = builder.endVector();
    frame(builder, [
      request(builder),
      () => Frame.addOperations(builder, vector),
      () => Frame.addData(builder, blob),
      () => Frame.addResults(builder, results),
    ]);
  });
  for (const count of [0, 1]) {
    build(`generated, ${count} events beside the operations`, (builder) => {
      const vector = operations(builder, 1);
      const blob = data(builder, 1);
      Frame.startEventsVector(builder, count);
      if (count > 0) Event.createEvent(builder, 1, 1, 0, 0, 0, 0, 0, 0n, 0n, 0n);
      const events = builder.endVector();
      frame(builder, [
        request(builder),
        () => Frame.addOperations(builder, vector),
        () => Frame.addData(builder, blob),
        () => Frame.addEvents(builder, events),
      ]);
    });
  }
  build('generated, a push', (builder) => {
    const blob = data(builder, 1);
    Frame.startEventsVector(builder, 1);
    Event.createEvent(builder, 1, 1, 0, 1, 0, 0, 0, 0n, 0n, 0n);
    const events = builder.endVector();
    frame(builder, [
      () => Frame.addKind(builder, FrameKind.Push),
      () => Frame.addData(builder, blob),
      () => Frame.addEvents(builder, events),
    ]);
  });
  build('generated, a hello with a session in a request', (builder) => {
    const vector = operations(builder, 1);
    const blob = data(builder, 1);
    const secret = Hello.createSessionSecretVector(builder, new Uint8Array(16));
    const hello = Hello.createHello(builder, 1, 0, 0, 10_000n, 7n, secret, 0n);
    frame(builder, [
      request(builder),
      () => Frame.addOperations(builder, vector),
      () => Frame.addData(builder, blob),
      () => Frame.addHello(builder, hello),
    ]);
  });
  build('generated, with a size prefix', (builder) => {
    const vector = operations(builder, 1);
    const blob = data(builder, 1);
    Frame.startFrame(builder);
    Frame.addKind(builder, FrameKind.Request);
    Frame.addOperations(builder, vector);
    Frame.addData(builder, blob);
    Frame.finishSizePrefixedFrameBuffer(builder, Frame.endFrame(builder));
  });
}

/** Frames of other kinds, other sizes, other protocols. */
function addStrangers(add: (name: string, frame: ArrayBuffer | Uint8Array) => void): void {
  add('a hello', encodeHello(helloOf({ token: 'secret', client: 'test' })));
  const resume = { sessionTtlMs: 10_000, session: 7, sessionSecret: new Uint8Array(16).fill(1) };
  add('a hello that resumes a session', encodeHello(helloOf({ ...resume, client: 'test' })));
  const reply = new Uint8Array(256);
  const writer = new ReplyWriter(reply);
  writer.begin(1);
  writer.result(1, 0, 1, 0);
  add('a reply', reply.slice(0, writer.finish()));
  add('a reply that says request', replyThatSaysRequest(reply));

  const many = (count: number) => encodeRequest(Array.from({ length: count }, () => get('k')));
  add('the most operations', many(OPERATIONS_PER_FRAME_MAX));
  add('one operation too many', many(OPERATIONS_PER_FRAME_MAX + 1));
  add('one operation too many, and ids twice', repeatIds(many(OPERATIONS_PER_FRAME_MAX + 1)));
  add('no operations', encodeRequest([]));
  add('zeroes, as long as a frame may be', new Uint8Array(FRAME_BYTES_MAX_DEFAULT));
  add('zeroes, a byte longer', new Uint8Array(FRAME_BYTES_MAX_DEFAULT + 1));
  add('a valid request, too long', longRequest(FRAME_BYTES_MAX_DEFAULT + 1));
  add('a valid request, as long as a frame may be', longRequest(FRAME_BYTES_MAX_DEFAULT));

  for (const length of [1, 4, 7, 8, 9, 40, 1000]) {
    add(`${length} bytes of 0xff`, new Uint8Array(length).fill(0xff));
    add(`${length} zeroes`, new Uint8Array(length));
  }
  const identified = new Uint8Array(64);
  identified.set(bytes('RNDO'), IDENTIFIER_AT);
  add('an identifier and zeroes', identified);
  add('JSON', bytes('{"op":"get","key":"plan/1"}'));
  add('an HTTP request', bytes('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
  add('a Redis command', bytes('*2\r\n$3\r\nGET\r\n$1\r\nk\r\n'));
  add('text', bytes('hello, hello, is there anyone?'));
}

function replyThatSaysRequest(reply: Uint8Array): Uint8Array {
  const frame = reply.slice(0, 128);
  frame[KIND_AT] = FrameKind.Request;
  return frame;
}

function repeatIds(frame: ArrayBuffer): ArrayBuffer {
  new DataView(frame).setUint32(HEADER_BYTES + OPERATION_BYTES, 1, true);
  return frame;
}

/** A request of exactly this many bytes: gets of no key's worth of data behind the last vector. */
function longRequest(length: number): Uint8Array {
  const frame = new Uint8Array(length);
  frame.set(new Uint8Array(base()));
  return frame;
}
