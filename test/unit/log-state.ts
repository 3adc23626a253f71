// The fold of records as maps, written a third time and as plainly as can be: what recovery and
// compaction are held against.

import type { RecoveringEngine } from '../../node/log/local/recovery.js';
import { recordsMalformed } from '../../ts/engine/engine.js';
import { RecordReader } from '../../ts/engine/records.js';
import { PARTITIONS } from './log-files.js';

export interface Entry {
  /** Of the record that says what it is. */
  readonly kind: number;
  readonly partition: number;
  readonly value: string;
  readonly revision: number;
  readonly expiresAt: number;
  readonly isEphemeral: boolean;
  readonly back: number;
  /** Of the newest record about the key. */
  readonly time: number;
}

/** By kind: which map it goes into and what it does there. */
const KINDS = [
  undefined,
  { space: 0, does: 'set' },
  { space: 0, does: 'remove' },
  { space: 0, does: 'remove' },
  { space: 0, does: 'touch' },
  { space: 1, does: 'set' },
  { space: 1, does: 'remove' },
  { space: 2, does: 'set' },
  { space: 2, does: 'remove' },
  { space: 3, does: 'set' },
] as const;

export class MapState implements RecoveringEngine {
  /** Keys, sessions, holds, fences; each by the key of its records, as latin1. */
  readonly spaces = Array.from({ length: 4 }, () => new Map<string, Entry>());
  readonly revisions: Float64Array;
  private newest = '';

  constructor(partitions = PARTITIONS) {
    this.revisions = new Float64Array(partitions);
  }

  get entries(): Map<string, Entry> {
    return this.spaces[0] as Map<string, Entry>;
  }

  fold(records: Uint8Array): void {
    for (const { reader, space, does, entry } of decoded(records)) {
      const { partition, revision, expiresAt, time } = reader;
      if (revision !== (this.revisions[partition] ?? -1) + 1) throw recordsMalformed();
      this.revisions[partition] = revision;
      const map = this.spaces[space] as Map<string, Entry>;
      const key = textOf(reader.key);
      const held = map.get(key);
      if (does === 'set') map.set(key, entry);
      else if (does === 'remove') map.delete(key);
      else if (held) map.set(key, { ...held, revision, expiresAt, time, isEphemeral: false });
    }
  }

  restore(records: Uint8Array): void {
    for (const { reader, space, does, entry } of decoded(records)) {
      if (does !== 'set') throw recordsMalformed();
      const key = textOf(reader.key);
      if (space + key <= this.newest) throw recordsMalformed();
      this.newest = space + key;
      this.spaces[space]?.set(key, entry);
    }
  }

  restoreRevisions(revisions: Float64Array): void {
    this.revisions.set(revisions);
  }

  revisionOf(partition: number): number {
    return this.revisions[partition] ?? 0;
  }

  /** In order of the keys; to compare. `others` are those that are no keys, by space. */
  get state(): {
    entries: [string, Entry][];
    others: [string, Entry][][];
    revisions: number[];
  } {
    const [entries = [], ...others] = this.spaces.map((map) =>
      [...map].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    return { entries, others, revisions: [...this.revisions] };
  }
}

/** The state that these records give. */
export function stateOf(records: Iterable<Uint8Array>, partitions = PARTITIONS) {
  const map = new MapState(partitions);
  for (const record of records) map.fold(record);
  return map.state;
}

function* decoded(records: Uint8Array) {
  const reader = new RecordReader(records);
  while (!reader.done) {
    const kind = reader.next() ? KINDS[reader.kind] : undefined;
    if (kind === undefined) throw recordsMalformed();
    const { partition, revision, expiresAt, time, back, flags } = reader;
    const value = textOf(reader.value);
    const isEphemeral = flags === 1;
    const entry: Entry = {
      kind: reader.kind,
      partition,
      value,
      revision,
      expiresAt,
      isEphemeral,
      back,
      time,
    };
    yield { reader, ...kind, entry };
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
