// The fold of records as a map, written a third time and as plainly as can be: what recovery and
// compaction are held against.

import type { RecoveringEngine } from '../../node/log/local/recovery.js';
import { recordsMalformed } from '../../ts/engine/engine.js';
import { RECORD_PUT, RECORD_TOUCH, RecordReader } from '../../ts/engine/records.js';
import { PARTITIONS } from './log-files.js';

export interface Entry {
  readonly value: string;
  readonly revision: number;
  readonly expiresAt: number;
  /** Of the newest record about the key. */
  readonly time: number;
}

export class MapState implements RecoveringEngine {
  readonly entries = new Map<string, Entry>();
  readonly revisions: Float64Array;
  private newestKey = '';

  constructor(partitions = PARTITIONS) {
    this.revisions = new Float64Array(partitions);
  }

  fold(records: Uint8Array): void {
    const reader = new RecordReader(records);
    while (!reader.done) {
      if (!reader.next()) throw recordsMalformed();
      const { kind, partition, revision, expiresAt, time } = reader;
      if (revision !== (this.revisions[partition] ?? -1) + 1) throw recordsMalformed();
      this.revisions[partition] = revision;
      const key = textOf(reader.key);
      const held = this.entries.get(key);
      if (kind === RECORD_PUT) {
        this.entries.set(key, { value: textOf(reader.value), revision, expiresAt, time });
      } else if (kind === RECORD_TOUCH) {
        if (held) this.entries.set(key, { ...held, revision, expiresAt, time });
      } else {
        this.entries.delete(key);
      }
    }
  }

  restore(records: Uint8Array): void {
    const reader = new RecordReader(records);
    while (!reader.done) {
      if (!reader.next() || reader.kind !== RECORD_PUT) throw recordsMalformed();
      const key = textOf(reader.key);
      if (key <= this.newestKey) throw recordsMalformed();
      this.newestKey = key;
      const { revision, expiresAt, time } = reader;
      this.entries.set(key, { value: textOf(reader.value), revision, expiresAt, time });
    }
  }

  restoreRevisions(revisions: Float64Array): void {
    this.revisions.set(revisions);
  }

  revisionOf(partition: number): number {
    return this.revisions[partition] ?? 0;
  }

  /** In order of the keys; to compare. */
  get state(): { entries: [string, Entry][]; revisions: number[] } {
    const entries = [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1));
    return { entries, revisions: [...this.revisions] };
  }
}

/** The state that these records give. */
export function stateOf(records: Iterable<Uint8Array>, partitions = PARTITIONS) {
  const map = new MapState(partitions);
  for (const record of records) map.fold(record);
  return map.state;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
