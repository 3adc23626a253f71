// What a repair would lose: the batches behind the end of its plan, and what is in them, where they can
// still be read.

import { RecordReader } from '../../../ts/engine/records.js';
import { LOG_PIECE_BYTES } from '../../limits.js';
import { kindName } from './record-facts.js';
import type { RepairPlan } from './repair-plan.js';
import type { RepairSide } from './repair-sides.js';
import { SegmentReader } from './segment-reader.js';
import type { BatchRun } from './segment-walk.js';

/** Batches `from` to `to`. */
export interface LostBatches {
  readonly from: number;
  readonly to: number;
  /** Whose log; left out where there is one. */
  readonly worker?: number;
  /** Whether they are whole, and only cannot be reached: those before them are missing. */
  readonly isWhole: boolean;
  /** Times of the first and last, ms since 1970; 0 where they cannot be read. */
  readonly firstTime: number;
  readonly lastTime: number;
  /** How many records of each kind they have, as far as they can be read. */
  readonly records: Readonly<Record<string, number>>;
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
      lost.push({
        from: next,
        to: from - 1,
        isWhole: false,
        firstTime: 0,
        lastTime: 0,
        records: {},
      });
    }
    const { firstTime, records } = await contentOf(run, from, damaged.directory.logId);
    lost.push({ from, to: run.to, isWhole: true, firstTime, lastTime: run.time, records });
    next = run.to + 1;
  }
  return lost;
}

/** What the batches of a run hold, from number `from` on, and the time of the first of them. */
async function contentOf(run: BatchRun, from: number, logId: bigint) {
  const records: Record<string, number> = {};
  let firstTime = 0;
  const reader = await SegmentReader.open(run.file.path);
  try {
    const chain = { logId, before: run.before, next: run.from };
    const stream = reader.batches(chain, run.offset, Math.min(LOG_PIECE_BYTES, run.end));
    while (chain.next <= run.to) {
      const batch = await stream.nextBatch();
      if (batch === undefined) break;
      const { number, time } = batch.header;
      if (number < from) continue;
      if (number === from) firstTime = time;
      count(batch.body, records);
    }
  } finally {
    await reader.close();
  }
  return { firstTime, records };
}

function count(bytes: Uint8Array, records: Record<string, number>): void {
  const reader = new RecordReader(bytes);
  while (!reader.done && reader.next()) {
    const name = kindName(reader.kind);
    records[name] = (records[name] ?? 0) + 1;
  }
}
