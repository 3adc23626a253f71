// Takes records as an engine does at recovery, and keeps nothing of them but revisions: whether a log can
// be folded is known without the memory to hold what it folds to.

import { recordsMalformed } from '../../../ts/engine/engine.js';
import { isRemoval, RECORD_TOUCH, RecordReader, spaceOf } from '../../../ts/engine/records.js';
import { compareBytes } from '../../../ts/wire/bytes.js';
import { contentFits } from './record-facts.js';
import type { RecoveringEngine } from './recovery.js';

export class FoldCheck implements RecoveringEngine {
  /** Records taken. */
  records = 0;
  /** The newest time of a record, ms since 1970. */
  time = 0;
  private readonly revisions: Float64Array;
  /** Whether the newest revision of a partition is known: not so behind a gap. */
  private readonly isKnown: boolean[];
  /** Of the newest record restored, as is its key. */
  private newestSpace = 0;
  private newestKey = new Uint8Array(0);

  constructor(private readonly partitions: number) {
    this.revisions = new Float64Array(partitions);
    this.isKnown = Array.from({ length: partitions }, () => true);
  }

  /** Throws `EngineError` (`RECORDS_MALFORMED`), as do the others. */
  restore(records: Uint8Array): void {
    const reader = new RecordReader(records);
    let [before, beforeAt, beforeEnd] = [this.newestKey, 0, this.newestKey.length];
    while (!reader.done) {
      this.next(reader, records);
      const { kind, revision, partition, keyAt, valueAt } = reader;
      const space = spaceOf(kind);
      if (isRemoval(kind) || kind === RECORD_TOUCH || revision === 0) throw recordsMalformed();
      const order =
        this.newestSpace - space ||
        compareBytes(before, beforeAt, beforeEnd, records, keyAt, valueAt);
      if (order >= 0) throw recordsMalformed();
      this.newestSpace = space;
      [before, beforeAt, beforeEnd] = [records as Uint8Array<ArrayBuffer>, keyAt, valueAt];
      this.revisions[partition] = Math.max(this.revisionOf(partition), revision);
    }
    this.newestKey = before.slice(beforeAt, beforeEnd);
  }

  restoreRevisions(revisions: Float64Array): void {
    const goOn = revisions.every((revision, partition) => revision >= this.revisionOf(partition));
    if (revisions.length !== this.partitions || !goOn) throw recordsMalformed();
    this.revisions.set(revisions);
  }

  fold(records: Uint8Array): void {
    const reader = new RecordReader(records);
    while (!reader.done) {
      this.next(reader, records);
      const { partition, revision } = reader;
      const newest = this.revisionOf(partition);
      if (this.isKnown[partition] === true ? revision !== newest + 1 : revision <= newest) {
        throw recordsMalformed();
      }
      this.revisions[partition] = revision;
      this.isKnown[partition] = true;
    }
  }

  revisionOf(partition: number): number {
    return this.revisions[partition] ?? 0;
  }

  /** Says that records before the next ones are missing. */
  skip(): void {
    this.isKnown.fill(false);
  }

  private next(reader: RecordReader, records: Uint8Array): void {
    if (!reader.next()) throw recordsMalformed();
    if (!contentFits(reader, records, this.partitions)) throw recordsMalformed();
    this.records++;
    this.time = Math.max(this.time, reader.time);
  }
}
