// Whose an operation is, where several engines share the partitions: this one's, or that of another worker to
// which it is forwarded. The rules are in `workers.ts`.

import { RoutingReader } from '../shared/routing-table.js';
import type { Columns } from '../wire/columns.js';
import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { FLAG_WATCH_PREFIX, OPERATION_BYTES } from '../wire/layout.js';
import { OPERATIONS_PER_FRAME_MAX } from '../wire/limits.js';
import { partitionOfTag } from '../wire/partition.js';
import { sessionText } from './coordination.js';
import type { EngineRouting } from './engine.js';
import type { ForwardWriter } from './forwards.js';
import type { Keyspace } from './keyspace.js';
import { Operation } from './operation.js';

/** This engine executes it. */
export const HERE = 0;
/** Another worker does: it has no result here. */
export const FORWARDED = 1;
/** Nobody does: it is another worker's, and the frame has been forwarded already. */
export const UNAVAILABLE = 2;

export class Router {
  private readonly table: RoutingReader;
  /** By operation of the frame: HERE, FORWARDED or UNAVAILABLE. */
  private readonly places = new Uint8Array(OPERATIONS_PER_FRAME_MAX);
  /** By operation of the frame: its worker. */
  private readonly workers = new Uint8Array(OPERATIONS_PER_FRAME_MAX);
  private readonly operation = new Operation();
  /** Partitions whose newest revision is not published yet. */
  private readonly moved = new Set<number>();

  constructor(
    private readonly routing: EngineRouting,
    private readonly keyspace: Keyspace,
  ) {
    this.table = new RoutingReader(routing.table);
    keyspace.moved = this.moved;
  }

  /** How many workers there are. */
  get workerCount(): number {
    return this.table.workers;
  }

  isOwn(partition: number): boolean {
    return this.table.owners[partition] === this.routing.worker;
  }

  /** The newest revision of a partition, whosever it is. */
  newestRevision(partition: number): number {
    const { keyspace, routing } = this;
    if (this.isOwn(partition)) return keyspace.revisions[partition] as number;
    return Number(Atomics.load(routing.revisions, partition));
  }

  /** Shows the other workers the newest revisions of own partitions that have moved. */
  publish(): void {
    const { keyspace, routing, moved } = this;
    for (const partition of moved) {
      if (!this.isOwn(partition)) continue;
      // An atomic store is a release: who sees it sees what was shared before it.
      Atomics.store(routing.revisions, partition, BigInt(keyspace.revisions[partition] as number));
    }
    moved.clear();
  }

  /** Where this operation of the frame is executed. */
  placeOf(index: number): number {
    return this.places[index] as number;
  }

  /**
   * Begins a call for a frame: finds the place of each operation, and at its `first` one writes those for
   * other workers to `forwards`.
   */
  begin(
    frame: Uint8Array,
    columns: Columns,
    first: number,
    session: number,
    isForwarded: boolean,
    forwards: ForwardWriter,
  ): void {
    const { operation, places, workers, table, routing } = this;
    if (first === 0) table.refresh();
    const view = new DataView(frame.buffer);
    let at = columns.elementsAt;
    let dataAt = columns.dataAt;
    for (let index = 0; index < columns.count; index++, at += OPERATION_BYTES) {
      operation.decode(view, at, dataAt);
      dataAt = operation.valueEnd;
      const worker = this.workerOf(frame, session);
      workers[index] = worker;
      if (worker === routing.worker) places[index] = HERE;
      else places[index] = isForwarded ? UNAVAILABLE : FORWARDED;
    }
    if (first === 0) forwards.write(frame, columns, places, workers);
  }

  /** The worker of the operation that was decoded last. */
  private workerOf(frame: Uint8Array, session: number): number {
    const { code, flags, keyAt, keyEnd } = this.operation;
    switch (code) {
      case OperationCode.Scan:
      case OperationCode.ListLocks:
        return this.workerOfPrefix(frame);
      case OperationCode.Watch:
        if ((flags & FLAG_WATCH_PREFIX) !== 0) return this.workerOfPrefix(frame);
        break;
      case OperationCode.Unwatch:
        return this.workerOfAddress();
      case OperationCode.Renew:
      case OperationCode.EndSession:
        return session === 0 ? this.routing.worker : this.workerOfSession(session);
    }
    return this.ownerOf(this.keyspace.partitionOf(frame, keyAt, keyEnd));
  }

  private workerOfPrefix(frame: Uint8Array): number {
    const { ttlMs, keyAt, keyEnd } = this.operation;
    if (ttlMs !== 0) return this.workerOfAddress();
    const partition = partitionOfTag(frame, keyAt, keyEnd, this.keyspace.partitions);
    return partition < 0 ? this.routing.worker : this.ownerOf(partition);
  }

  /** The worker that the operation names; this one where it names none, or one that there is not. */
  private workerOfAddress(): number {
    const { ttlMs: address } = this.operation;
    const isWorker = address >= 1 && address <= this.table.workers;
    return isWorker ? address - 1 : this.routing.worker;
  }

  private workerOfSession(session: number): number {
    const text = Buffer.from(sessionText(session));
    return this.ownerOf(this.keyspace.partitionOf(text, 0, text.length));
  }

  private ownerOf(partition: number): number {
    return this.table.owners[partition] as number;
  }
}
