// The newest records of a recovery, for the history of watches: what a log's tail holds is known only when it
// was read to its end, so that the last ones are kept as they come, whole pieces of them.

import type { History } from './history.js';

interface Piece {
  readonly records: Uint8Array;
  /** Sum of all revisions before the first of them. */
  readonly position: number;
}

export class RecentRecords {
  private readonly pieces: Piece[] = [];
  private bytes = 0;

  /** `bytesMax`: what is kept at least, as far as there was as much. */
  constructor(private readonly bytesMax: number) {}

  /** Takes a copy of whole records that come behind `position`. */
  take(records: Uint8Array, position: number): void {
    this.pieces.push({ records: records.slice(), position });
    this.bytes += records.length;
    for (
      let oldest = this.pieces[0];
      oldest !== undefined && this.bytes - oldest.records.length >= this.bytesMax;
      oldest = this.pieces[0]
    ) {
      this.bytes -= oldest.records.length;
      this.pieces.shift();
    }
  }

  /** Gives the history all that was kept, and keeps nothing. */
  pourInto(history: History): void {
    for (const { records, position } of this.pieces.splice(0)) {
      history.append(records, position, position);
    }
    this.bytes = 0;
  }
}
