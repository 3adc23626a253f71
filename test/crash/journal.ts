// The journal that `shim/volatile_disk.c` writes: what a process changed beneath the watched directory,
// in order, with what was there before, and which syncs succeeded. Layout and kinds are also there.

import { readFileSync } from 'node:fs';

export enum Kind {
  Write = 1,
  Sync = 2,
  WriteSynced = 3,
  Truncate = 4,
  Allocate = 5,
  Create = 6,
  Mkdir = 7,
  Rename = 8,
  Unlink = 9,
  Rmdir = 10,
  Unsupported = 11,
  SyncDirectory = 12,
  SyncFailed = 13,
}

export interface JournalRecord {
  readonly kind: Kind;
  /** Where the record begins in the journal: its number. */
  readonly at: number;
  readonly inode: number;
  readonly offset: number;
  readonly length: number;
  readonly sizeBefore: number;
  /** Of a sync: it covers the records before. Of `WriteSynced`: the write. */
  readonly position: number;
  readonly path: string;
  /** Of a rename: the new path. */
  readonly other: string;
  /** The old bytes; of a name: what is in the graves instead, empty for nothing. */
  readonly data: Buffer;
}

const MAGIC = 0x4b534456;
const HEADER_BYTES = 64;

/** The records, and how many bytes they are: a process that was killed may leave part of one more. */
export function readJournal(file: string): { records: JournalRecord[]; wholeBytes: number } {
  const bytes = readFileSync(file);
  const records: JournalRecord[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    if (bytes.readUInt32LE(at) !== MAGIC) throw new Error(`no record at byte ${at} of ${file}`);
    const u64 = (offset: number): number => Number(bytes.readBigUInt64LE(at + offset));
    const pathAt = at + HEADER_BYTES;
    const otherAt = pathAt + bytes.readUInt32LE(at + 48);
    const dataAt = otherAt + bytes.readUInt32LE(at + 52);
    const end = dataAt + bytes.readUInt32LE(at + 56);
    if (end > bytes.length) break;
    records.push({
      kind: bytes.readUInt32LE(at + 4) as Kind,
      at,
      inode: u64(8),
      offset: u64(16),
      length: u64(24),
      sizeBefore: u64(32),
      position: u64(40),
      path: bytes.toString('utf8', pathAt, otherAt),
      other: bytes.toString('utf8', otherAt, dataAt),
      data: bytes.subarray(dataAt, end),
    });
    at = end;
  }
  return { records, wholeBytes: at };
}
