// What a repair would lose: the batches behind the end of its plan, where they can still be named.

import type { RepairPlan } from './repair-plan.js';
import type { RepairSide } from './repair-sides.js';
import { SegmentReader } from './segment-reader.js';

/** Batches `from` to `to`. */
export interface LostBatches {
  readonly from: number;
  readonly to: number;
  /** Whether they are whole, and only cannot be reached: those before them are missing. */
  readonly isWhole: boolean;
  /** Times of the first and last, ms since 1970; 0 where they cannot be read. */
  readonly firstTime: number;
  readonly lastTime: number;
}

/** Ascending; empty where all that the directory holds goes on. */
export async function lossOf(
  damaged: RepairSide,
  plan: RepairPlan | undefined,
): Promise<LostBatches[]> {
  const lost: LostBatches[] = [];
  let next = (plan?.newest ?? 0) + 1;
  const runs = damaged.segments.flatMap((segment) => segment.runs);
  for (const run of runs) {
    if (run.to < next) continue;
    const from = Math.max(run.from, next);
    if (from > next) {
      lost.push({ from: next, to: from - 1, isWhole: false, firstTime: 0, lastTime: 0 });
    }
    const firstTime = from === run.from ? await timeAt(run.file.path, run.offset) : 0;
    lost.push({ from, to: run.to, isWhole: true, firstTime, lastTime: run.time });
    next = run.to + 1;
  }
  return lost;
}

async function timeAt(path: string, offset: number): Promise<number> {
  const reader = await SegmentReader.open(path);
  try {
    return (await reader.batchHeaderAt(offset)).time;
  } finally {
    await reader.close();
  }
}
