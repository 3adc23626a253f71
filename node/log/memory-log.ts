// A log in memory, for tests and simulations: appends become durable in `flush`, or after a delay of the
// clock; and it can be told to fail or to be full.

import type { Clock } from '../clock.js';
import { type Log, type LogBatch, LogError, type LogEvents, type LogRefusal } from './log.js';
import { staleEpoch, takeRecords } from './record-check.js';
import { Settlement } from './settlement.js';

export interface MemoryLogOptions {
  readonly partitions: number;
  readonly clock: Clock;
  readonly events: LogEvents;
  readonly epoch?: number;
  /** Milliseconds from a flush until its appends are durable; without it they are at once. */
  readonly delayMs?: number;
}

/** Appends that become durable together. */
interface Group {
  readonly records: Uint8Array[];
  bytes: number;
  time: number;
  last: number;
}

export class MemoryLog implements Log {
  readonly epoch: number;
  appended = 0;
  durable = 0;
  pendingBytes = 0;
  newestBatch = 0;
  refusal: LogRefusal = 'none';
  /** May be changed at any time; applies to later flushes. */
  delayMs: number | undefined;
  private fence: number;
  private trimmed = 0;
  private filling: Group = emptyGroup();
  /** Groups that were flushed and are not durable. */
  private readonly waiting: Group[] = [];
  private readonly batches: LogBatch[] = [];
  private readonly revisions: Float64Array;
  private readonly settlement: Settlement;
  private failsAtFlush = false;
  private ended: LogError | undefined;

  constructor(private readonly options: MemoryLogOptions) {
    this.epoch = options.epoch ?? 1;
    this.fence = this.epoch;
    this.delayMs = options.delayMs;
    this.revisions = new Float64Array(options.partitions);
    this.settlement = new Settlement(options.clock);
  }

  revisionOf(partition: number): number {
    return this.revisions[partition] ?? 0;
  }

  append(epoch: number, records: Uint8Array, length: number): number {
    if (this.ended !== undefined) throw this.ended;
    if (epoch < this.fence) throw staleEpoch(epoch, this.fence);
    const { time } = takeRecords(records, length, this.revisions);
    this.filling.records.push(records.slice(0, length));
    this.filling.bytes += length;
    this.filling.time = time;
    this.pendingBytes += length;
    this.filling.last = ++this.appended;
    return this.appended;
  }

  flush(): void {
    if (this.ended?.code === 'LOG_FAILED' || this.filling.records.length === 0) return;
    if (this.failsAtFlush) {
      this.fail();
      return;
    }
    this.waiting.push(this.filling);
    this.filling = emptyGroup();
    if (this.delayMs === undefined) this.settleNext();
    else this.options.clock.after(this.delayMs, () => this.settleNext());
  }

  settled(append: number, timeoutMs: number): Promise<void> {
    return this.settlement.wait(append, timeoutMs);
  }

  async *read(after: number): AsyncIterable<LogBatch> {
    if (after < this.trimmed) {
      const message = `Batches up to ${this.trimmed} are trimmed; those after ${after} were asked for.`;
      throw new LogError('LOG_TRIMMED', message);
    }
    for (let number = after + 1; number <= this.newestBatch; number++) {
      const batch = this.batches.find((one) => one.number === number);
      if (batch === undefined) throw new LogError('LOG_TRIMMED', `Batch ${number} is trimmed.`);
      yield batch;
    }
  }

  async trim(batch: number): Promise<void> {
    this.trimmed = Math.max(this.trimmed, Math.min(batch, this.newestBatch));
    while ((this.batches[0]?.number ?? Infinity) <= this.trimmed) this.batches.shift();
  }

  async seal(epoch: number): Promise<Float64Array> {
    this.fence = Math.max(this.fence, epoch);
    const revisions = this.revisions.slice();
    this.flush();
    await this.settlement.wait(this.appended, Infinity);
    return revisions;
  }

  async close(): Promise<void> {
    if (this.ended !== undefined) return;
    this.ended = new LogError('LOG_CLOSED', 'The log was closed.');
    this.flush();
    while (this.waiting.length > 0) this.settleNext();
    this.settlement.end(this.ended);
  }

  /** Takes nothing and settles nothing until it is `none` again. */
  refuse(refusal: 'none' | 'overloaded' | 'disk_full'): void {
    this.refusal = refusal;
    this.options.events.onProgress();
    while (this.refusal === 'none' && this.waiting.length > 0) this.settleNext();
  }

  /** Fails at the next flush. */
  failAtFlush(): void {
    this.failsAtFlush = true;
  }

  /** As after a failed sync: what is not durable never becomes so. */
  fail(cause?: unknown): void {
    if (this.ended !== undefined) return;
    this.ended = new LogError('LOG_FAILED', 'The log was told to fail.', { cause });
    this.refusal = 'failed';
    this.waiting.length = 0;
    this.settlement.end(this.ended);
    this.options.events.onProgress();
    this.options.events.onFailure(this.ended);
  }

  private settleNext(): void {
    const isClosing = this.ended?.code === 'LOG_CLOSED';
    if (this.refusal !== 'none' && !isClosing) return;
    const group = this.waiting.shift();
    if (group === undefined) return;
    this.newestBatch++;
    this.batches.push({ number: this.newestBatch, time: group.time, records: joined(group) });
    this.durable = group.last;
    this.pendingBytes -= group.bytes;
    this.settlement.advance(this.durable);
    this.options.events.onProgress();
  }
}

function emptyGroup(): Group {
  return { records: [], bytes: 0, time: 0, last: 0 };
}

function joined(group: Group): Uint8Array {
  const bytes = new Uint8Array(group.bytes);
  let at = 0;
  for (const records of group.records) {
    bytes.set(records, at);
    at += records.length;
  }
  return bytes;
}
