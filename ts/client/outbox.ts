// From calls that wait to frames: as many as the limits of the node allow, in order, with ids that ascend.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { HEADER_BYTES, OPERATION_BYTES } from '../wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX } from '../wire/limits.js';
import { RequestWriter } from '../wire/request.js';
import { type Call, SENT } from './call.js';
import type { RondoError } from './errors.js';
import { valueTooLarge } from './failures.js';
import { UTF8_BYTES_PER_UNIT_MAX } from './key.js';
import type { Outstanding } from './outstanding.js';
import type { Queue } from './queue.js';
import type { Welcome } from './status.js';
import type { WebSocketLike } from './websocket.js';

const encoder = new TextEncoder();

export class Outbox {
  private readonly batch: Call[] = [];
  private readonly writer = new RequestWriter();

  constructor(
    private readonly queue: Queue,
    private readonly outstanding: Outstanding,
    private readonly fail: (call: Call, error: RondoError) => void,
  ) {}

  /** Sends one frame; false where no call may leave. */
  send(socket: WebSocketLike, limits: Welcome['limits']): boolean {
    const { batch, queue, writer } = this;
    this.gather(limits);
    queue.compact();
    if (batch.length === 0) return false;
    const now = performance.now();
    writer.begin(batch.length);
    for (const call of batch) {
      writer.operation(
        call.id,
        call.code,
        call.flags,
        call.key,
        call.value,
        call.limit,
        call.ttlMs,
        call.expectedRevision,
      );
      call.state = SENT;
      call.sentAt = now;
      // A read is kept whole, for it may be sent again.
      if (!call.isRead) call.value = undefined;
    }
    batch.length = 0;
    socket.send(writer.finish());
    return true;
  }

  /** Moves as many calls as one frame takes from the queue to `batch`. */
  private gather(limits: Welcome['limits']): void {
    const { batch, outstanding, queue } = this;
    const countMax = Math.min(
      limits.operationsPerFrameMax,
      OPERATIONS_PER_FRAME_MAX,
      limits.operationsOutstandingMax - outstanding.count,
    );
    let bytes = HEADER_BYTES + 4;
    let idBefore = 0;
    while (batch.length < countMax) {
      const call = queue.first();
      if (call === undefined) return;
      const size = measure(call, limits.valueBytesMax);
      if (size < 0) {
        queue.shift();
        this.fail(call, valueTooLarge(call, limits.valueBytesMax));
        continue;
      }
      bytes += size;
      if (bytes > limits.frameBytesMax && batch.length > 0) return;
      const id = outstanding.next();
      if (id <= idBefore) return;
      idBefore = id;
      outstanding.add(call);
      batch.push(call);
      queue.shift();
    }
  }
}

/** Bytes that a call takes in a frame at most; -1 where its value is above the limit. */
function measure(call: Call, valueBytesMax: number): number {
  const { value } = call;
  const size = OPERATION_BYTES + call.key.length * UTF8_BYTES_PER_UNIT_MAX;
  if (value === undefined) return size;
  if (typeof value === 'string') {
    const bytesMax = value.length * UTF8_BYTES_PER_UNIT_MAX;
    if (bytesMax <= valueBytesMax) return size + bytesMax;
    call.value = encoder.encode(value);
    return measure(call, valueBytesMax);
  }
  // The bound is one on what `put` stores; a cursor or a delta is the client's own.
  if (value.length > valueBytesMax && call.code === OperationCode.Put) return -1;
  return size + value.length;
}
