// The newest records of a recovery, for the history of watches: what a log's tail holds is known only when it
// was read to its end, so that the last ones are kept as they come. A log may have a batch for each record, so
// they are gathered in pieces: what is kept of a record must not take a multiple of its bytes.

import { recordBytes } from '../../ts/engine/records.js';
import { WATCH_HISTORY_CHUNK_BYTES } from '../limits.js';
import type { History } from './history.js';

interface Piece {
  readonly bytes: Uint8Array;
  used: number;
  /** Sum of all revisions before its first record. */
  readonly position: number;
}

export class RecentRecords {
  private readonly pieces: Piece[] = [];
  private bytes = 0;

  /** `bytesMax`: what is kept at least, as far as there was as much. */
  constructor(private readonly bytesMax: number) {}

  /** Takes a copy of whole records that come behind `position`, where those before them ended. */
  take(records: Uint8Array, position: number): void {
    let piece = this.pieces.at(-1);
    if (piece === undefined || piece.used + records.length > piece.bytes.length) {
      const length = Math.max(records.length, WATCH_HISTORY_CHUNK_BYTES);
      piece = { bytes: new Uint8Array(length), used: 0, position };
      this.pieces.push(piece);
    }
    piece.bytes.set(records, piece.used);
    piece.used += records.length;
    this.bytes += records.length;
    for (
      let oldest = this.pieces[0];
      oldest !== undefined && this.bytes - oldest.used >= this.bytesMax;
      oldest = this.pieces[0]
    ) {
      this.bytes -= oldest.used;
      this.pieces.shift();
    }
  }

  /** Gives the history all that was kept, and keeps nothing. */
  pourInto(history: History): void {
    for (const { bytes, used, position } of this.pieces.splice(0)) {
      const records = bytes.subarray(0, used);
      const end = position + countOf(records);
      history.append(records, position, end, end);
    }
    this.bytes = 0;
  }
}

/** How many records these are. */
function countOf(records: Uint8Array): number {
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  let count = 0;
  for (let at = 0; at < records.length; count++) {
    at += recordBytes(view.getUint16(at + 4, true), view.getUint32(at, true));
  }
  return count;
}
