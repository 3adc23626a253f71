// The routing table as clients get it: which worker has which partition, and where the worker listens by
// itself. In the welcome, and in a push when it has changed. Little-endian:
//
//    0  u32 version: ascends with every change
//    4  u32 number of workers, 1..WORKERS_MAX
//    8  u32 number of partitions
//   12  u32 zero
//   16  16 bytes a worker: u64 node id, u16 port (0: it has none of its own), u8 1 while it serves, 5 zeros
//   ..  u16 a partition: the worker that has it

import { readU64, writeU64 } from './layout.js';
import { INTEGER_LIMIT, PARTITIONS_MAX, WORKERS_MAX } from './limits.js';

const HEAD_BYTES = 16;
const WORKER_BYTES = 16;

export interface RoutedWorker {
  /** As in resume tokens of its watches; 0: not known yet. */
  readonly node: number;
  /** Where it listens beside the shared port; 0: it does not. */
  readonly port: number;
  readonly isServing: boolean;
}

export interface Routing {
  readonly version: number;
  readonly workers: readonly RoutedWorker[];
  /** Indices of workers, one a partition. */
  readonly owners: Uint16Array;
}

export function encodeRouting({ version, workers, owners }: Routing): Uint8Array<ArrayBuffer> {
  const ownersAt = HEAD_BYTES + workers.length * WORKER_BYTES;
  const bytes = new Uint8Array(ownersAt + owners.length * 2);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, version, true);
  view.setUint32(4, workers.length, true);
  view.setUint32(8, owners.length, true);
  for (const [index, { node, port, isServing }] of workers.entries()) {
    const at = HEAD_BYTES + index * WORKER_BYTES;
    writeU64(view, at, node);
    view.setUint16(at + 8, port, true);
    view.setUint8(at + 10, isServing ? 1 : 0);
  }
  for (const [partition, owner] of owners.entries()) {
    view.setUint16(ownersAt + partition * 2, owner, true);
  }
  return bytes;
}

/** Undefined where the bytes are not a whole, valid table. */
export function decodeRouting(bytes: Uint8Array): Routing | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getUint32(4, true);
  const partitions = view.getUint32(8, true);
  if (count < 1 || count > WORKERS_MAX) return undefined;
  if (partitions < 1 || partitions > PARTITIONS_MAX) return undefined;
  const ownersAt = HEAD_BYTES + count * WORKER_BYTES;
  if (bytes.length !== ownersAt + partitions * 2) return undefined;
  const workers: RoutedWorker[] = [];
  for (let at = HEAD_BYTES; at < ownersAt; at += WORKER_BYTES) {
    const node = readU64(view, at);
    if (node >= INTEGER_LIMIT) return undefined;
    const port = view.getUint16(at + 8, true);
    workers.push({ node, port, isServing: view.getUint8(at + 10) === 1 });
  }
  const owners = new Uint16Array(partitions);
  for (let partition = 0; partition < partitions; partition++) {
    const owner = view.getUint16(ownersAt + partition * 2, true);
    if (owner >= count) return undefined;
    owners[partition] = owner;
  }
  return { version: view.getUint32(0, true), workers, owners };
}
