// When a local log refuses: too much waits for the disk, or there is no space for the next segment.

import type { LogRefusal } from '../log.js';
import type { LocalLogBounds } from './local-options.js';
import type { SegmentPool } from './segment-pool.js';
import type { SegmentWriter } from './segment-writer.js';

export class Admission {
  private readonly reserveBytes: number;
  /** Above the bound, and not yet below half of it. */
  private isBacklogged = false;

  constructor(private readonly bounds: LocalLogBounds) {
    // Small segments would otherwise never have the room.
    this.reserveBytes = Math.min(bounds.reserveBytes, bounds.segmentBytes / 2);
  }

  judge(
    pendingBytes: number,
    writer: SegmentWriter,
    pool: SegmentPool,
  ): Exclude<LogRefusal, 'failed'> {
    const { pendingBytesMax } = this.bounds;
    this.isBacklogged = pendingBytes > (this.isBacklogged ? pendingBytesMax / 2 : pendingBytesMax);
    if (writer.isFull) return 'disk_full';
    // A segment that is only late is waited for: what is appended meanwhile is bounded as it is.
    if (pool.isFull && writer.rest - pendingBytes < this.reserveBytes) return 'disk_full';
    return this.isBacklogged ? 'overloaded' : 'none';
  }
}
