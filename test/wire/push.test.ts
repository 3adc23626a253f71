// Push frames: the byte positions against the generated code, and what a reader makes of frames that are
// cut or changed.

import { Builder, ByteBuffer } from 'flatbuffers';
import { describe, expect, it } from 'vitest';
import { Event } from '../../ts/wire/generated/rondo/wire/event.js';
import { Frame } from '../../ts/wire/generated/rondo/wire/frame.js';
import { FrameKind } from '../../ts/wire/generated/rondo/wire/frame-kind.js';
import * as layout from '../../ts/wire/layout.js';
import { EventKind, type EventSource, PushReader, PushWriter } from '../../ts/wire/push.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { Status } from '../../ts/wire/status.js';
import { bytes, copyOf, encodeRequest, get } from '../drive/operations.js';
import { Random, seedOf } from '../parity/random.js';

const SEED = seedOf(53);
const MUTATIONS = 20_000;

function event(key: string, value: string, fields: Partial<EventSource> = {}): EventSource {
  const content = bytes(`<${key}|${value}>`);
  const keyEnd = 1 + bytes(key).length;
  return {
    kind: EventKind.Put,
    flags: 0,
    status: Status.Ok,
    partition: 0,
    revision: 0,
    previous: 0,
    position: 0,
    bytes: content,
    keyAt: 1,
    keyEnd,
    valueAt: keyEnd + 1,
    valueEnd: content.length - 1,
    ...fields,
  };
}

const EVENTS: readonly [id: number, event: EventSource][] = [
  [
    1,
    event('k', 'value', {
      flags: layout.FLAG_SNAPSHOT,
      partition: 65_535,
      revision: 2 ** 53 - 1,
      previous: 2 ** 52,
      position: 2 ** 40 + 1,
    }),
  ],
  [2 ** 32 - 1, event('é', '', { kind: EventKind.LockReleased, previous: 7, position: 9 })],
  [3, event('', '', { kind: EventKind.Ended, status: Status.WatchOverflow })],
];

function push(writer: PushWriter, events: typeof EVENTS): Uint8Array<ArrayBuffer> {
  const sizes = events.map(([, { keyAt, keyEnd, valueAt, valueEnd }]) => {
    return keyEnd - keyAt + valueEnd - valueAt;
  });
  writer.begin(
    events.length,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  for (const [id, source] of events) writer.event(id, source);
  return writer.finish();
}

function rowsOf(reader: PushReader): unknown[] {
  const rows: unknown[] = [];
  while (reader.next()) {
    const { id, kind, flags, status, partition, revision, previous, position } = reader;
    const [key, value] = [Buffer.from(reader.key).toString(), Buffer.from(reader.value).toString()];
    rows.push([id, kind, flags, status, partition, revision, previous, position, key, value]);
  }
  return rows;
}

const ROWS = [
  [1, EventKind.Put, 1, 0, 65_535, 2 ** 53 - 1, 2 ** 52, 2 ** 40 + 1, 'k', 'value'],
  [2 ** 32 - 1, EventKind.LockReleased, 0, 0, 0, 0, 7, 9, 'é', ''],
  [3, EventKind.Ended, 0, Status.WatchOverflow, 0, 0, 0, 0, '', ''],
];

describe('a push frame', () => {
  it('has the sizes and the slot of the generated code', () => {
    expect(Event.sizeOf()).toBe(layout.EVENT_BYTES);
    const builder = new Builder(64);
    builder.createString('target');
    Frame.startFrame(builder);
    Frame.addEvents(builder, 4);
    builder.finish(Frame.endFrame(builder));
    const view = new DataView(copyOf(builder.asUint8Array()));
    const table = view.getUint32(0, true);
    const vtable = table - view.getInt32(table, true);
    expect(view.getUint16(vtable, true)).toBe(layout.SLOT_EVENTS + 2);
  });

  it('has every field where the generated code reads it', () => {
    const content = push(new PushWriter(), EVENTS).slice();
    expect(content).toHaveLength(layout.PUSH_HEADER_BYTES + 3 * layout.EVENT_BYTES + 4 + 8);
    const frame = Frame.getRootAsFrame(new ByteBuffer(content));
    expect(frame.kind()).toBe(FrameKind.Push);
    expect([frame.operationsLength(), frame.resultsLength()]).toEqual([0, 0]);
    expect([frame.hello(), frame.welcome()]).toEqual([null, null]);
    const rows = Array.from({ length: frame.eventsLength() }, (_, index) => {
      const read = frame.events(index)!;
      const numbers = [read.id(), read.kind(), read.flags(), read.status(), read.partition()];
      const large = [read.revision(), read.previous(), read.position()].map(Number);
      return [...numbers, ...large, read.keyLength(), read.valueLength()];
    });
    expect(rows).toEqual([
      [...ROWS[0]!.slice(0, 8), 1, 5],
      [...ROWS[1]!.slice(0, 8), 2, 0],
      [...ROWS[2]!.slice(0, 8), 0, 0],
    ]);
    expect(Buffer.from(frame.dataArray()!).toString()).toBe('kvalueé');
  });

  it('is read as it was written, also when the buffer had to grow and shrink again', () => {
    const writer = new PushWriter();
    const reader = new PushReader();
    const long = 'x'.repeat(20_000);
    expect(reader.open(copyOf(push(writer, [[5, event('long', long)]])))).toBe(true);
    expect(rowsOf(reader)).toEqual([[5, EventKind.Put, 0, 0, 0, 0, 0, 0, 'long', long]]);
    expect(reader.open(copyOf(push(writer, EVENTS)))).toBe(true);
    expect(rowsOf(reader)).toEqual(ROWS);
    expect(reader.open(copyOf(push(writer, [])))).toBe(true);
    expect(rowsOf(reader)).toEqual([]);
  });

  it('is given other watches without being written anew', () => {
    const writer = new PushWriter();
    push(writer, EVENTS);
    writer.readdress(1, 77);
    const reader = new PushReader();
    reader.open(copyOf(writer.finish()));
    expect(rowsOf(reader)).toEqual(ROWS.map((row, at) => (at === 1 ? [77, ...row.slice(1)] : row)));
  });

  it('from the generated code is read by ours', () => {
    const builder = new Builder(64);
    const data = Frame.createDataVector(builder, bytes('keyvalue'));
    Frame.startEventsVector(builder, 1);
    Event.createEvent(builder, 9, EventKind.Put, 1, 3, 5, Status.Ok, 12, 34n, 33n, 99n);
    const events = builder.endVector();
    Frame.startFrame(builder);
    Frame.addData(builder, data);
    Frame.addEvents(builder, events);
    Frame.addKind(builder, FrameKind.Push);
    Frame.finishFrameBuffer(builder, Frame.endFrame(builder));
    const reader = new PushReader();
    expect(reader.open(copyOf(builder.asUint8Array()))).toBe(true);
    expect(rowsOf(reader)).toEqual([[9, EventKind.Put, 1, 0, 12, 34, 33, 99, 'key', 'value']]);
  });
});

describe(`push frames from a node that is not trusted, RONDO_SEED=${SEED}`, () => {
  const frame = push(new PushWriter(), EVENTS).slice();

  it('cut anywhere are refused', () => {
    const reader = new PushReader();
    for (let length = 0; length < frame.length; length++) {
      expect(reader.open(copyOf(frame.subarray(0, length))), `${length}`).toBe(false);
      expect(reader.next()).toBe(false);
    }
  });

  it('changed are refused or read within their bytes, and never throw', () => {
    const random = new Random(SEED);
    const reader = new PushReader();
    let read = 0;
    for (let index = 0; index < MUTATIONS; index++) {
      const changed = copyOf(frame);
      const view = new DataView(changed);
      if (random.oneIn(2)) view.setUint8(random.below(frame.length), random.below(256));
      else {
        const place = random.below(frame.length >> 2) * 4;
        const values = [0, 1, 4, frame.length - place, 2 ** 31, 2 ** 32 - 1, random.u32()];
        view.setUint32(place, random.pick(values), true);
      }
      if (!reader.open(changed)) continue;
      read++;
      let total = 0;
      while (reader.next()) total += reader.key.length + reader.value.length;
      expect(total).toBeLessThanOrEqual(frame.length);
    }
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(MUTATIONS);
  });

  it('are no replies, and replies and requests are no push frames', () => {
    expect(new ReplyReader().open(copyOf(frame))).toBe(false);
    expect(new PushReader().open(encodeRequest([get('k')]))).toBe(false);
  });
});
