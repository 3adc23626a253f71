// Measures the series that rows need, in rounds in which the sides take turns.

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { dataPaths } from '../../node/log/local/data-directory.js';
import { RECORD_HEADER_BYTES } from '../../ts/engine/records.js';
import { runLoad } from '../peers/load.js';
import type { LoadMeasurement } from '../peers/measurements.js';
import { measureGets, type Windows } from './compaction-gets.js';
import type { MadeLog } from './data.js';
import { RECORD_BYTES } from './limits.js';
import type { LogSample } from './results.js';
import { type SeriesId, SHAPES, type Shape } from './rows.js';
import { runTask, type TaskContext } from './run-task.js';
import { KINDS, type Kind, type TaskAnswer } from './tasks.js';

export interface LogBench extends TaskContext {
  readonly generator: string;
  readonly pinning: Parameters<typeof measureGets>[2]['pinning'];
  readonly folder: string;
  readonly bytes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Of which rows ask. */
  readonly series: ReadonlySet<SeriesId>;
  /** Seconds that a round of a series takes, for the estimate. */
  readonly plan: (series: SeriesId) => number;
}

/** Bytes of the generator's keys, which the bare loop's writes are counted from. */
const KEY_BYTES = 17;

export class LogMeasuring {
  readonly samples = new Map<SeriesId, LogSample[]>();
  private folders = 0;

  constructor(private readonly bench: LogBench) {}

  async run(): Promise<void> {
    await this.recoveries();
    await this.appends();
    await this.lonelyAppends();
    await this.compactions();
  }

  private async recoveries(): Promise<void> {
    for (const shape of SHAPES) {
      const kinds = KINDS.filter((kind) => this.wants(`recovery.${shape}.${kind}`));
      if (kinds.length === 0) continue;
      const folder = await this.logOf(shape);
      await this.rounds(kinds, async (kind, turn) => {
        const what = `recovery of ${shape}, ${kind}, ${turn}`;
        const answer = await this.task(what, { kind: 'recover', by: kind, folder });
        this.add(`recovery.${shape}.${kind}`, speedOf(answer));
      });
      rmSync(folder, { recursive: true });
    }
  }

  private async logOf(shape: Shape): Promise<string> {
    const bytes = this.bench.bytes / 4;
    const log = await this.make(bytes, shape === 'single');
    if (shape !== 'snapshot') return log.folder;
    const { snapshot, wal } = dataPaths(log.folder);
    const into = this.fresh();
    const made = await this.compact('native', log, into, 'making a snapshot');
    const path = made.path ?? '';
    renameSync(path, join(snapshot, basename(path)));
    rmSync(into, { recursive: true });
    rmSync(wal, { recursive: true });
    mkdirSync(wal);
    return log.folder;
  }

  private async appends(): Promise<void> {
    const kinds = KINDS.filter((kind) => this.wants(`append.${kind}`));
    await this.rounds(kinds, async (kind, turn) => {
      const folder = this.fresh();
      const bytes = this.bench.bytes / 4;
      const order = { kind: 'append', by: kind, folder, bytes } as const;
      this.add(`append.${kind}`, speedOf(await this.task(`appends, ${kind}, ${turn}`, order)));
      rmSync(folder, { recursive: true });
    });
  }

  private async lonelyAppends(): Promise<void> {
    const kinds = KINDS.filter((kind) => this.wants(`lonely.${kind}`));
    if (kinds.length === 0) return;
    const { seconds, warmUpSeconds } = this.bench;
    await this.rounds([...kinds, 'disk'] as const, async (side, turn) => {
      const what = `lonely appends, ${side}, ${turn}`;
      if (side === 'disk') {
        this.add('lonely.disk', await this.bareLoop(what));
        return;
      }
      const folder = this.fresh();
      const order = { kind: 'lonely', by: side, folder, seconds, warmUpSeconds } as const;
      const { latencyMicros } = await this.task(what, order);
      if (latencyMicros === undefined) throw new Error(`${what} has no latencies`);
      this.add(`lonely.${side}`, latencyMicros);
      rmSync(folder, { recursive: true });
    });
  }

  /** What the disk takes for the bytes of one lonely append. */
  private async bareLoop(what: string): Promise<LogSample> {
    const { processes, generator, core, progress, seconds, warmUpSeconds } = this.bench;
    progress.show(what);
    const measurement: LoadMeasurement = {
      id: 'lonely',
      kind: 'closed',
      stage: 'durable',
      operation: 'put',
      keys: 1,
      valueBytes: RECORD_BYTES - RECORD_HEADER_BYTES - KEY_BYTES,
      connections: 1,
      outstanding: 1,
      batch: 1,
    };
    const address = this.fresh();
    const run = { target: 'disk', address, measurement, seconds, warmUpSeconds, seed: 1 } as const;
    const { latencyMicros } = await runLoad(processes, generator, core, run);
    const { p50, p99, p999 } = latencyMicros;
    return { p50, p99, p999 };
  }

  private async compactions(): Promise<void> {
    const kinds = KINDS.filter((kind) => this.wants(`compaction.${kind}`));
    const hasGets = this.wants('gets.beside');
    if (kinds.length === 0 && !hasGets) return;
    const log = await this.make(this.bench.bytes, false);
    await this.rounds(kinds, async (kind, turn) => {
      const into = this.fresh();
      const { seconds } = await this.compact(kind, log, into, `compaction, ${kind}, ${turn}`);
      this.add(`compaction.${kind}`, speedOf({ bytes: log.bytes, seconds }));
      rmSync(into, { recursive: true });
    });
    if (!hasGets) return;
    for (let round = 0; round < this.bench.rounds; round++) {
      this.addWindows(await this.gets(log));
      this.bench.progress.done(this.bench.plan('gets.beside'));
    }
    if ((this.samples.get('gets.beside') ?? []).length === 0) {
      throw new Error(
        `no compaction of ${Math.round(this.bench.bytes / 1e6)} MB lasted as long as a window of ` +
          `${this.bench.seconds} s: give more --bytes or fewer --seconds`,
      );
    }
  }

  private gets(log: MadeLog): Promise<Windows> {
    return measureGets(log.folder, this.fresh(), this.bench);
  }

  private addWindows({ beside, alone }: Windows): void {
    for (const sample of beside) this.add('gets.beside', sample);
    for (const sample of alone) this.add('gets.alone', sample);
  }

  private async make(bytes: number, isSingle: boolean): Promise<MadeLog> {
    const what = `making a log of ${Math.round(bytes / 1e6)} MB`;
    const order = { kind: 'make', folder: this.fresh(), bytes, isSingle } as const;
    const { log } = await this.task(what, order);
    if (log === undefined) throw new Error('no log was made');
    return log;
  }

  private compact(kind: Kind, log: MadeLog, into: string, what: string): Promise<TaskAnswer> {
    const { folder, segments } = log;
    return this.task(what, { kind: 'compact', by: kind, folder, segments, into });
  }

  private task(what: string, order: Parameters<typeof runTask>[1]): Promise<TaskAnswer> {
    return runTask(what, order, this.bench);
  }

  private async rounds<S>(
    sides: readonly S[],
    measure: (side: S, turn: string) => Promise<void>,
  ): Promise<void> {
    const { rounds } = this.bench;
    for (let round = 0; round < rounds; round++) {
      for (const side of sides) await measure(side, `round ${round + 1} of ${rounds}`);
    }
  }

  private wants(series: SeriesId): boolean {
    return this.bench.series.has(series);
  }

  private add(series: SeriesId, sample: LogSample): void {
    const samples = this.samples.get(series) ?? [];
    samples.push(sample);
    this.samples.set(series, samples);
    if (!series.startsWith('gets.')) this.bench.progress.done(this.bench.plan(series));
  }

  /** A path in the run's folder at which nothing is. */
  private fresh(): string {
    return join(this.bench.folder, `${++this.folders}`);
  }
}

function speedOf({ bytes, seconds }: Pick<TaskAnswer, 'bytes' | 'seconds'>): LogSample {
  return { megabytesPerSecond: bytes / 1e6 / seconds };
}
