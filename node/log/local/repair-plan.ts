// Puts a log together of what is whole in a damaged directory and in a backup of the same log. Each batch
// carries the checksum of the one before, so that the pieces prove by themselves that they belong
// together: what the directory has is taken from there, what it lacks from the backup.
//
// A backup may hold batches that the directory lost by a crash and wrote anew: written, copied, and never
// synced. Where the batches of a gap do not join to the directory's behind it, none of them is taken.

import type { WholeSnapshot } from './damage-survey.js';
import { partOf, type RepairSide } from './repair-sides.js';
import type { BatchRun } from './segment-walk.js';

export interface Piece {
  readonly run: BatchRun;
  readonly isBackup: boolean;
}

/** A log that goes on without a gap. */
export interface RepairPlan {
  /** Undefined: from the first batch on. */
  readonly snapshot: WholeSnapshot | undefined;
  /** Whether the snapshot is the backup's. */
  readonly isBackup: boolean;
  /** Ascending, and each goes on from the one before. */
  readonly pieces: readonly Piece[];
  /** Number of the newest batch. */
  readonly newest: number;
}

/** The plan that reaches furthest; undefined where neither side has a beginning. */
export async function planRepair(
  damaged: RepairSide,
  backup: RepairSide,
): Promise<RepairPlan | undefined> {
  const bases = [
    ...damaged.snapshots.map((snapshot) => ({ snapshot, isBackup: false })),
    ...backup.snapshots.map((snapshot) => ({ snapshot, isBackup: true })),
    { snapshot: undefined, isBackup: false },
  ];
  let best: RepairPlan | undefined;
  for (const { snapshot, isBackup } of bases) {
    const assembly = new Assembly(damaged, backup, snapshot);
    await assembly.run();
    const { pieces, newest } = assembly;
    if (snapshot === undefined && pieces.length === 0) continue;
    if (best === undefined || newest > best.newest) best = { snapshot, isBackup, pieces, newest };
  }
  return best;
}

class Assembly {
  pieces: Piece[] = [];
  newest: number;
  private before: bigint;
  /** Where the directory's own batches ended, while the backup's are taken. */
  private gap: { readonly pieces: number; readonly newest: number } | undefined;
  private readonly logId: bigint;
  private readonly own: readonly BatchRun[];
  private readonly others: readonly BatchRun[];

  constructor(damaged: RepairSide, backup: RepairSide, snapshot: WholeSnapshot | undefined) {
    this.logId = damaged.directory.logId;
    this.newest = snapshot?.header.lastBatch ?? 0;
    this.before = snapshot?.header.lastChecksum ?? this.logId;
    this.own = damaged.segments.flatMap(({ runs }) => runs);
    this.others = backup.segments.flatMap(({ runs }) => runs);
  }

  async run(): Promise<void> {
    while ((await this.takeOwn()) || (await this.takeOther()));
  }

  private async takeOwn(): Promise<boolean> {
    const part = await this.joining(this.own, Number.POSITIVE_INFINITY);
    if (part !== undefined) {
      this.take(part, false);
      this.gap = undefined;
      return true;
    }
    // The directory has the next batch, but another one than the backup would join to.
    if (this.gap !== undefined && this.holds(this.own, this.newest + 1)) {
      this.pieces = this.pieces.slice(0, this.gap.pieces);
      this.newest = this.gap.newest;
      this.before = 0n;
    }
    return false;
  }

  private async takeOther(): Promise<boolean> {
    // As far as the directory has none.
    const next = this.own.filter(({ from }) => from > this.newest + 1).map(({ from }) => from);
    const part = await this.joining(this.others, Math.min(...next) - 1);
    if (part === undefined) return false;
    this.gap ??= { pieces: this.pieces.length, newest: this.newest };
    this.take(part, true);
    return true;
  }

  /** The part of a run that goes on from what was taken, up to batch `last`. */
  private async joining(runs: readonly BatchRun[], last: number): Promise<BatchRun | undefined> {
    const next = this.newest + 1;
    for (const run of runs) {
      if (run.from > next || run.to < next) continue;
      const part = await partOf(run, next, Math.min(run.to, last), this.logId);
      if (part.before === this.before) return part;
    }
    return undefined;
  }

  private holds(runs: readonly BatchRun[], number: number): boolean {
    return runs.some(({ from, to }) => from <= number && number <= to);
  }

  private take(run: BatchRun, isBackup: boolean): void {
    this.pieces.push({ run, isBackup });
    this.newest = run.to;
    this.before = run.checksum;
  }
}
