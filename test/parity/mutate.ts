// Valid request frames with a few things changed where a frame's structure is: offsets, slots, counts,
// lengths, ids. Most are then malformed, some stay valid, and both engines must agree on each.

import { Builder } from 'flatbuffers';
import { Frame } from '../../ts/wire/generated/rondo/wire/frame.js';
import { FrameKind } from '../../ts/wire/generated/rondo/wire/frame-kind.js';
import { Operation } from '../../ts/wire/generated/rondo/wire/operation.js';
import { HEADER_BYTES, OPERATION_BYTES } from '../../ts/wire/layout.js';
import { fenced, listLocks, lock, unlock, watch } from '../drive/coordination.js';
import {
  bytes,
  copyOf,
  del,
  encodeRequest,
  get,
  increment,
  put,
  scan,
  touch,
} from '../drive/operations.js';
import type { Random } from './random.js';

/** A request as our writer or the generated code lays it out, changed in up to three places. */
export function mutatedFrame(random: Random): ArrayBuffer {
  let frame = random.oneIn(3) ? generatedRequest(random) : writtenRequest(random);
  for (let left = random.between(1, 3); left > 0; left--) frame = mutate(random, frame);
  return copyOf(frame);
}

function writtenRequest(random: Random): Uint8Array {
  const count = random.oneIn(10) ? 0 : random.between(1, 6);
  return new Uint8Array(
    encodeRequest(
      Array.from({ length: count }, () => {
        const key = bytes(`k${random.below(8)}`);
        switch (random.below(11)) {
          case 0:
            return put(key, random.bytes(random.below(24)), { ttl: random.between(1, 90) });
          case 1:
            return del(key);
          case 2:
            return increment(key, random.below(9));
          case 3:
            return touch(key, random.between(1, 50));
          case 4:
            return scan('k', { limit: random.between(1, 4) });
          case 5:
            return lock(key, { shared: true });
          case 6:
            return unlock(key, random.below(4));
          case 7:
            return listLocks('k');
          case 8:
            return fenced(key, 1, put(key, 'x'));
          case 9:
            return watch(key, { flags: random.below(64) });
          default:
            return get(key);
        }
      }),
    ),
  );
}

function generatedRequest(random: Random): Uint8Array {
  const builder = new Builder(64);
  const count = random.between(1, 4);
  const dataFirst = random.oneIn(2);
  const data = () => Frame.createDataVector(builder, new Uint8Array(count * 2).fill(0x6b));
  let blob = dataFirst ? data() : 0;
  Frame.startOperationsVector(builder, count);
  for (let id = count; id >= 1; id--) {
    Operation.createOperation(builder, id, random.between(1, 3), 0, 2, 0, 0, 0n, 0n);
  }
  const operations = builder.endVector();
  if (!dataFirst) blob = data();
  const fields = [
    () => Frame.addKind(builder, FrameKind.Request),
    () => Frame.addOperations(builder, operations),
    () => Frame.addData(builder, blob),
  ];
  Frame.startFrame(builder);
  const shift = random.below(3);
  for (let at = 0; at < 3; at++) fields[(at + shift) % 3]?.();
  Frame.finishFrameBuffer(builder, Frame.endFrame(builder));
  return builder.asUint8Array();
}

function mutate(random: Random, frame: Uint8Array): Uint8Array {
  const changed = frame.slice();
  const view = new DataView(changed.buffer);
  const { length } = changed;
  if (length < 8) return changed;
  switch (random.below(12)) {
    case 0:
      return changed.subarray(0, random.below(length));
    case 1:
      return Buffer.concat([changed, random.bytes(random.between(1, 9))]);
    case 2:
      changed[random.below(length)]! ^= 1 << random.below(8);
      return changed;
    case 3:
      changed[random.below(Math.min(length, HEADER_BYTES))] = random.below(256);
      return changed;
    case 4: {
      // Part of the frame over another part.
      const from = random.below(length);
      changed.copyWithin(random.below(length), from, from + random.between(1, 16));
      return changed;
    }
    case 5:
    case 6: {
      // A slot, a length or an offset within the header, in 16 bits.
      const at = random.below(Math.min(length - 1, HEADER_BYTES) >> 1) * 2;
      const near = view.getUint16(at, true) + random.between(-8, 8);
      const value = random.oneIn(2)
        ? near
        : random.pick([0, 1, 2, 4, 6, 12, length, 0xfffe, 0xffff]);
      view.setUint16(at, value & 0xffff, true);
      return changed;
    }
    case 7:
    case 8:
    case 9: {
      // An offset, a count or a length, in 32 bits, wherever one can be.
      const at = random.below(length >> 2) * 4;
      const near = view.getUint32(at, true) + random.between(-8, 8);
      const value = random.oneIn(2) ? near : random.pick(interesting(length, at));
      view.setUint32(at, value >>> 0, true);
      return changed;
    }
    default: {
      // A field of an operation.
      const operations = Math.floor((length - HEADER_BYTES) / OPERATION_BYTES);
      const at = HEADER_BYTES + random.below(Math.max(operations, 1)) * OPERATION_BYTES;
      if (at + OPERATION_BYTES > length) return changed;
      if (random.oneIn(2)) view.setUint8(at + random.below(OPERATION_BYTES), random.below(256));
      else view.setUint16(at + random.pick([0, 4, 6, 8]), random.below(8), true);
      return changed;
    }
  }
}

function interesting(length: number, at: number): number[] {
  const end = length - at;
  return [0, 1, 2, 3, 4, 8, end, end - 4, end - 1, end + 1, -at, 4 - at, 2 ** 31, 2 ** 32 - 4, -1];
}
