// What an engine leaves to other workers, decoded byte by byte from the layout in `ts/engine/workers.ts`.

import { Columns } from '../../ts/wire/columns.js';
import { checkRequest } from '../../ts/wire/request.js';
import { Status } from '../../ts/wire/status.js';
import type { Asked } from './notices.js';
import { copyOf } from './operations.js';

export interface Forward {
  readonly worker: number;
  readonly frame: ArrayBuffer;
  readonly operations: Asked[];
}

const HEAD = 16;

/** Throws where `bytes` is not a run of whole entries, by ascending worker, each with a valid frame. */
export function decodeForwards(bytes: Uint8Array): Forward[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const forwards: Forward[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [length, worker] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    const [count, frameBytes] = [view.getUint32(at + 8, true), view.getUint32(at + 12, true)];
    const end = at + HEAD + frameBytes;
    if (length !== Math.ceil((HEAD + frameBytes) / 8) * 8 || at + length > bytes.length) {
      throw new Error(`an entry of ${length} bytes at ${at} with a frame of ${frameBytes}`);
    }
    if (bytes.subarray(end, at + length).some((byte) => byte !== 0)) throw new Error('no zeros');
    if (worker <= (forwards.at(-1)?.worker ?? -1)) throw new Error(`worker ${worker} out of order`);
    const frame = copyOf(bytes.subarray(at + HEAD, end));
    const operations = decodeRequest(frame);
    if (operations.length !== count)
      throw new Error(`${operations.length} operations for ${count}`);
    forwards.push({ worker, frame, operations });
    at += length;
  }
  return forwards;
}

/** The operations of a request frame; 64-bit fields as doubles. */
export function decodeRequest(frame: ArrayBuffer): Asked[] {
  const view = new DataView(frame);
  const columns = new Columns();
  const status = checkRequest(view, Number.MAX_SAFE_INTEGER, columns);
  if (status !== Status.Ok) throw new Error(`a request frame that is refused with ${status}`);
  const operations: Asked[] = [];
  let dataAt = columns.dataAt;
  for (let index = 0, at = columns.elementsAt; index < columns.count; index++, at += 32) {
    const keyEnd = dataAt + view.getUint16(at + 6, true);
    const valueEnd = keyEnd + view.getUint32(at + 8, true);
    operations.push({
      id: view.getUint32(at, true),
      code: view.getUint8(at + 4),
      flags: view.getUint8(at + 5),
      key: new Uint8Array(frame.slice(dataAt, keyEnd)),
      value: new Uint8Array(frame.slice(keyEnd, valueEnd)),
      limit: view.getUint32(at + 12, true),
      ttlMs: Number(view.getBigUint64(at + 16, true)),
      expectedRevision: Number(view.getBigUint64(at + 24, true)),
    });
    dataAt = valueEnd;
  }
  return operations;
}
