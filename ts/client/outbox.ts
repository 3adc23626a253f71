// From calls that wait to frames: as many as the limits of the node allow, in order, with ids that ascend.
// Whether a write may be repeated is settled here, where the session that it goes to is known.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  FENCE_HEAD_BYTES,
  FLAG_FENCED,
  FLAG_ONCE,
  HEADER_BYTES,
  OPERATION_BYTES,
} from '../wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX } from '../wire/limits.js';
import { RequestWriter } from '../wire/request.js';
import { type Call, type Carrier, Repeat, SENT } from './call.js';
import type { RondoError } from './errors.js';
import { valueTooLarge } from './failures.js';
import { UTF8_BYTES_PER_UNIT_MAX } from './key.js';
import type { Outstanding } from './outstanding.js';
import type { Queue } from './queue.js';
import type { Welcome } from './status.js';
import type { WebSocketLike } from './websocket.js';

const encoder = new TextEncoder();

export class Outbox {
  /** Whether a write without the flag `once` may have to be sent again: one that the node refused untried. */
  keepsValues = false;
  private readonly batch: Call[] = [];
  private readonly writer = new RequestWriter();

  constructor(
    private readonly queue: Queue,
    private readonly outstanding: Outstanding,
    private readonly carrier: Carrier,
    private readonly fail: (call: Call, error: RondoError) => void,
  ) {}

  /**
   * Sends one frame; false where no call may leave. `onceMax`: answers that the session remembers, so that
   * no more operations that may be repeated are under way at once; 0 where there is no session.
   */
  send(socket: WebSocketLike, limits: Welcome['limits'], onceMax: number): boolean {
    const { batch, queue, writer } = this;
    this.gather(limits, onceMax);
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
        call.limitAt(now),
        call.ttlMs,
        call.expectedRevision,
      );
      call.state = SENT;
      if (!call.isInDoubt) call.sentAt = now;
      // What may be sent again is kept whole.
      const isLast = call.repeatable === Repeat.Once && (call.flags & FLAG_ONCE) === 0;
      if (isLast && !this.keepsValues) call.value = undefined;
    }
    batch.length = 0;
    socket.send(writer.finish());
    return true;
  }

  /** Sends the end of the session, past all that waits. */
  sendEnd(socket: WebSocketLike): void {
    const { outstanding, writer } = this;
    writer.begin(1);
    writer.operation(outstanding.next(), OperationCode.EndSession, 0, '', undefined, 0, 0, 0);
    socket.send(writer.finish());
  }

  /** Moves as many calls as one frame takes from the queue to `batch`. */
  private gather(limits: Welcome['limits'], onceMax: number): void {
    const { batch, carrier, outstanding, queue } = this;
    const countMax = Math.min(limits.operationsPerFrameMax, OPERATIONS_PER_FRAME_MAX);
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
      if (call.id !== 0) {
        // Sent before: it counts as outstanding already.
        if (call.id <= idBefore) return;
        idBefore = call.id;
      } else {
        if (carrier.outstanding >= limits.operationsOutstandingMax) return;
        const isOnce = onceMax > 0 && call.repeatable === Repeat.Once;
        if (isOnce && outstanding.once(call.worker) >= onceMax) return;
        const id = outstanding.next();
        if (id <= idBefore) return;
        idBefore = id;
        if (isOnce) call.flags |= FLAG_ONCE;
        outstanding.add(call);
      }
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
  // The bound is one on what `put` stores; a cursor, a delta or a fence is the client's own.
  if (value.length > valueBytesMax && call.code === OperationCode.Put) {
    const isFenced = (call.flags & FLAG_FENCED) !== 0;
    const nameBytes = isFenced ? (value[8] as number) + 256 * (value[9] as number) : 0;
    const fenceBytes = isFenced ? FENCE_HEAD_BYTES + nameBytes : 0;
    if (value.length - fenceBytes > valueBytesMax) return -1;
  }
  return size + value.length;
}
