// The byte positions of layout.ts against the generated code: frames written by our writers, read by
// the generated classes, field by field; and the other way round.

import { Builder, ByteBuffer } from 'flatbuffers';
import { describe, expect, it } from 'vitest';
import { Frame } from '../../ts/wire/generated/rondo/wire/frame.js';
import { FrameKind } from '../../ts/wire/generated/rondo/wire/frame-kind.js';
import { Operation } from '../../ts/wire/generated/rondo/wire/operation.js';
import { OperationResult } from '../../ts/wire/generated/rondo/wire/operation-result.js';
import * as layout from '../../ts/wire/layout.js';
import { ReplyReader, ReplyWriter } from '../../ts/wire/reply.js';
import { RequestWriter } from '../../ts/wire/request.js';
import { Status } from '../../ts/wire/status.js';
import { bytes, copyOf } from '../drive/operations.js';

const frameOf = (content: Uint8Array) => Frame.getRootAsFrame(new ByteBuffer(content));

describe('layout', () => {
  it('has the sizes of the generated structs', () => {
    expect(Operation.sizeOf()).toBe(layout.OPERATION_BYTES);
    expect(OperationResult.sizeOf()).toBe(layout.RESULT_BYTES);
  });

  it('has the lengths of key and value at the same places in every struct', () => {
    const keys = [layout.OPERATION_KEY_LENGTH, layout.RESULT_KEY_LENGTH, layout.EVENT_KEY_LENGTH];
    const { OPERATION_VALUE_LENGTH, RESULT_VALUE_LENGTH, EVENT_VALUE_LENGTH } = layout;
    const values = [OPERATION_VALUE_LENGTH, RESULT_VALUE_LENGTH, EVENT_VALUE_LENGTH];
    expect(keys).toEqual(keys.map(() => layout.ELEMENT_KEY_LENGTH));
    expect(values).toEqual(values.map(() => layout.ELEMENT_VALUE_LENGTH));
  });

  it('has the slots of the generated table', () => {
    // A table with one field at a time tells which slot the generated code gives it.
    const slots: [number, (builder: Builder) => void][] = [
      [layout.SLOT_KIND, (builder) => Frame.addKind(builder, FrameKind.Request)],
      [layout.SLOT_OPERATIONS, (builder) => Frame.addOperations(builder, 4)],
      [layout.SLOT_RESULTS, (builder) => Frame.addResults(builder, 4)],
      [layout.SLOT_DATA, (builder) => Frame.addData(builder, 4)],
      [layout.SLOT_HELLO, (builder) => Frame.addHello(builder, 4)],
      [layout.SLOT_WELCOME, (builder) => Frame.addWelcome(builder, 4)],
    ];
    for (const [slot, add] of slots) {
      const builder = new Builder(64);
      builder.createString('target');
      Frame.startFrame(builder);
      add(builder);
      builder.finish(Frame.endFrame(builder));
      const view = new DataView(copyOf(builder.asUint8Array()));
      const table = view.getUint32(0, true);
      const vtable = table - view.getInt32(table, true);
      expect(view.getUint16(vtable, true), `slot ${slot}`).toBe(slot + 2);
      expect(view.getUint16(vtable + slot, true), `slot ${slot}`).toBeGreaterThan(0);
    }
  });

  it('of a request: every field is where the generated code reads it', () => {
    const writer = new RequestWriter();
    const rows = [
      {
        id: 1,
        code: 2,
        flags: 6,
        key: 'k',
        value: 'value',
        limit: 0,
        ttl: 1,
        revision: 2 ** 53 - 1,
      },
      {
        id: 2,
        code: 6,
        flags: 16,
        key: 'prefix/',
        value: '',
        limit: 77,
        ttl: 2 ** 40,
        revision: 0,
      },
      {
        id: 2 ** 32 - 1,
        code: 255,
        flags: 255,
        key: 'é',
        value: '€',
        limit: 2 ** 32 - 1,
        ttl: 3,
        revision: 2 ** 32,
      },
    ];
    writer.begin(rows.length);
    for (const { id, code, flags, key, value, limit, ttl, revision } of rows) {
      writer.operation(id, code, flags, key, bytes(value), limit, ttl, revision);
    }
    const frame = frameOf(writer.finish().slice());
    expect(frame.kind()).toBe(FrameKind.Request);
    expect(frame.operationsLength()).toBe(rows.length);
    expect(frame.resultsLength()).toBe(0);
    expect([frame.hello(), frame.welcome()]).toEqual([null, null]);
    for (const [index, row] of rows.entries()) {
      const operation = frame.operations(index)!;
      expect({
        id: operation.id(),
        code: operation.code(),
        flags: operation.flags(),
        keyLength: operation.keyLength(),
        valueLength: operation.valueLength(),
        limit: operation.limit(),
        ttl: Number(operation.ttlMs()),
        revision: Number(operation.expectedRevision()),
      }).toEqual({
        id: row.id,
        code: row.code,
        flags: row.flags,
        keyLength: bytes(row.key).length,
        valueLength: bytes(row.value).length,
        limit: row.limit,
        ttl: row.ttl,
        revision: row.revision,
      });
    }
    const data = rows.map(({ key, value }) => key + value).join('');
    expect(Buffer.from(frame.dataArray()!).toString()).toBe(data);
  });

  it('of a reply: every field is where the generated code reads it', () => {
    const buffer = new Uint8Array(4096).fill(0xee);
    const writer = new ReplyWriter(buffer);
    writer.begin(20);
    writer.result(1, Status.NotFound, 2 ** 53 - 1, 2 ** 45 + 1);
    writer.resultWithValue(2, bytes('value'), 2 ** 33, 5);
    writer.entry(3, layout.FLAG_ENTRY, bytes('key'), bytes('v'), 9, 2 ** 32);
    writer.closing(3, layout.FLAG_MORE, bytes('cursor'), 70_000);
    const reply = buffer.slice(0, writer.finish());
    const frame = frameOf(reply);
    expect(frame.kind()).toBe(FrameKind.Reply);
    expect(frame.operationsLength()).toBe(0);
    const results = Array.from({ length: frame.resultsLength() }, (_, index) => {
      const result = frame.results(index)!;
      return [
        result.id(),
        result.status(),
        result.flags(),
        result.keyLength(),
        result.valueLength(),
        result.count(),
        Number(result.revision()),
        Number(result.ttlMs()),
      ];
    });
    expect(results).toEqual([
      [1, Status.NotFound, 0, 0, 0, 0, 2 ** 53 - 1, 2 ** 45 + 1],
      [2, Status.Ok, 0, 0, 5, 0, 2 ** 33, 5],
      [3, Status.Ok, layout.FLAG_ENTRY, 3, 1, 0, 9, 2 ** 32],
      [3, Status.Ok, layout.FLAG_MORE, 0, 6, 70_000, 0, 0],
    ]);
    expect(Buffer.from(frame.dataArray()!).toString()).toBe('valuekeyvcursor');
    expect(reply).toHaveLength(layout.HEADER_BYTES + 4 * layout.RESULT_BYTES + 4 + 15);
  });

  it('of a reply from the generated code is read by ours', () => {
    const builder = new Builder(64);
    const data = Frame.createDataVector(builder, bytes('keyvalue'));
    Frame.startResultsVector(builder, 2);
    OperationResult.createOperationResult(
      builder,
      2 ** 32 - 1,
      Status.Overloaded,
      1,
      3,
      5,
      6,
      7n,
      8n,
    );
    OperationResult.createOperationResult(builder, 1, Status.Ok, 0, 0, 0, 0, 2n ** 53n - 1n, 0n);
    const results = builder.endVector();
    Frame.startFrame(builder);
    Frame.addData(builder, data);
    Frame.addResults(builder, results);
    Frame.addKind(builder, FrameKind.Reply);
    Frame.finishFrameBuffer(builder, Frame.endFrame(builder));
    const reader = new ReplyReader();
    expect(reader.open(copyOf(builder.asUint8Array()))).toBe(true);
    expect(reader.next()).toBe(true);
    expect(reader).toMatchObject({ id: 1, status: Status.Ok, revision: 2 ** 53 - 1, ttlMs: 0 });
    expect(reader.next()).toBe(true);
    expect(reader).toMatchObject({
      id: 2 ** 32 - 1,
      status: Status.Overloaded,
      flags: 1,
      count: 6,
      revision: 7,
      ttlMs: 8,
    });
    expect([Buffer.from(reader.key).toString(), Buffer.from(reader.value).toString()]).toEqual([
      'key',
      'value',
    ]);
    expect(reader.next()).toBe(false);
  });
});
