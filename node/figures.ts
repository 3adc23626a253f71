// The figures of a worker beside those of the others of its process: what metrics, welcomes and the bounds of
// the whole process are made from. What a worker counts stands in its block at once; what others keep for it
// (gauges, the log's counters) is put there now and then, so that sums lag behind by that much.

import {
  OUTCOME_HOLDS,
  OUTCOME_POSITION,
  OUTCOME_SESSIONS,
  OUTCOME_WAITS,
} from '../ts/engine/engine.js';
import { FigureReader } from '../ts/shared/figures.js';
import { Status } from '../ts/wire/status.js';
import {
  BEATS,
  COMPACTIONS,
  COMPACTIONS_FAILED,
  CONNECTIONS,
  Counters,
  FIGURES_LENGTH,
  HELD_BYTES,
  HELD_REPLIES,
  KEYS,
  LOCK_HOLDS,
  LOCK_WAITS,
  LOG_APPENDS,
  LOG_BATCHES,
  LOG_DURABLE_APPENDS,
  LOG_PENDING_BYTES,
  LOG_SEALED_BYTES,
  MEMORY_BYTES,
  RECORDS,
  SESSIONS,
  SESSIONS_CONNECTED,
  SNAPSHOT_BYTES,
  sumInto,
  WATCHES,
  WRITES_REFUSED,
} from './counters.js';
import type { Fabric } from './fabric.js';
import type { Worker } from './worker.js';

const BLOCK_BYTES = FIGURES_LENGTH * Float64Array.BYTES_PER_ELEMENT;

export class Figures {
  readonly counters: Counters;
  /** Sums over all workers, as of the last `sum`. */
  readonly totals = new Float64Array(FIGURES_LENGTH);
  readonly totalCounters = new Counters(this.totals);
  private readonly block: Float64Array;
  private readonly reader: FigureReader;

  constructor(
    private readonly worker: Worker,
    private readonly fabric: Fabric | undefined,
  ) {
    const memory = fabric?.memory.figures ?? [new SharedArrayBuffer(BLOCK_BYTES)];
    this.block = new Float64Array(memory[fabric?.worker ?? 0] as SharedArrayBuffer);
    this.reader = new FigureReader(memory);
    this.counters = new Counters(this.block);
  }

  /** Brings `totals` and `totalCounters` up to date. */
  sum(): void {
    this.publish();
    // An engine that shares its figures counts in the block itself.
    if (this.fabric === undefined) this.counters.operations.set(this.worker.engine.counters);
    sumInto(this.totals, this.reader);
  }

  /** One gauge, summed over all workers. */
  sumOf(gauge: number): number {
    return this.reader.sumOf(gauge);
  }

  /** Puts the worker's gauges into its block. */
  publish(): void {
    const { block, worker } = this;
    block[CONNECTIONS] = worker.connections.size;
    block[KEYS] = worker.keys;
    block[MEMORY_BYTES] = worker.memoryBytes;
    block[RECORDS] = worker.outcomeOf(OUTCOME_POSITION);
    block[SESSIONS] = worker.outcomeOf(OUTCOME_SESSIONS);
    block[SESSIONS_CONNECTED] = worker.sessions.connected;
    block[LOCK_HOLDS] = worker.outcomeOf(OUTCOME_HOLDS);
    block[LOCK_WAITS] = worker.outcomeOf(OUTCOME_WAITS);
    block[WATCHES] = worker.watches.count;
    this.publishLog();
  }

  /** As `publish`, and a sign that the event loop turns. */
  beat(): void {
    this.block[BEATS] = (this.block[BEATS] as number) + 1;
    this.publish();
  }

  /** Connections of all workers. */
  connections(): number {
    this.block[CONNECTIONS] = this.worker.connections.size;
    return this.sumOf(CONNECTIONS);
  }

  /** Sessions of all other workers. */
  sessionsElsewhere(): number {
    const own = this.worker.outcomeOf(OUTCOME_SESSIONS);
    this.block[SESSIONS] = own;
    return this.sumOf(SESSIONS) - own;
  }

  private publishLog(): void {
    const { block } = this;
    const { gate } = this.worker;
    if (gate === undefined) return;
    const { log, held } = gate;
    block[LOG_APPENDS] = log.appended;
    block[LOG_DURABLE_APPENDS] = log.durable;
    block[LOG_BATCHES] = log.newestBatch;
    block[LOG_PENDING_BYTES] = log.pendingBytes;
    block[HELD_REPLIES] = held.count;
    block[HELD_BYTES] = held.bytes;
    block[WRITES_REFUSED] = gate.refusal === Status.Ok ? 0 : 1;
    const { compactor } = this.worker.options.state;
    if (compactor === undefined) return;
    block[LOG_SEALED_BYTES] = compactor.sealedBytes;
    block[SNAPSHOT_BYTES] = compactor.snapshot?.bytes ?? 0;
    block[COMPACTIONS] = compactor.done;
    block[COMPACTIONS_FAILED] = compactor.failed;
  }
}
