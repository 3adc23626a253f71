// A data directory on a disk that forgets: processes that run with `environment()` have each of their
// changes journalled by `shim/volatile_disk.c`, and after a kill `lose` puts the directory into a
// state that a power cut could have left. A kill without `lose` is the death of the process alone:
// nothing is gone, but what was not synced still is not, and a later `lose` may take it.
//
// Names (files made, renamed, removed; directories) count as durable once their directory was
// synced afterwards, both of them for a rename; they are lost from the newest back, as journalling
// file systems do.

import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Random } from '../parity/random.js';
import { type JournalRecord, Kind, readJournal } from './journal.js';
import { type Change, contentLeft, type Loss } from './sectors.js';

export interface Lost {
  /** Changes of bytes and sizes, and of names, that no sync covered. */
  readonly changes: number;
  readonly names: number;
}

export class VolatileDisk {
  readonly directory: string;
  private readonly journal: string;
  private readonly graves: string;

  /** Beneath `folder`, which exists; `library` is the compiled shim. */
  constructor(
    folder: string,
    private readonly library: string,
  ) {
    this.directory = join(folder, 'data');
    this.journal = join(folder, 'journal');
    this.graves = join(folder, 'graves');
    mkdirSync(this.directory);
    mkdirSync(this.graves);
    writeFileSync(this.journal, '');
  }

  /** For the process to run on this disk. `syncUs`: a sync takes up to so much longer. */
  environment(options: { syncUs?: number; failSync?: number } = {}): Record<string, string> {
    const { syncUs = 0, failSync = 0 } = options;
    return {
      LD_PRELOAD: this.library,
      VOLATILE_DISK_DIR: this.directory,
      VOLATILE_DISK_JOURNAL: this.journal,
      VOLATILE_DISK_GRAVES: this.graves,
      VOLATILE_DISK_SYNC_US: String(syncUs),
      VOLATILE_DISK_FAIL_SYNC: String(failSync),
      // File calls past libc would go unseen.
      UV_USE_IO_URING: '0',
    };
  }

  /** After the death of a process: the power stays on. */
  settle(): void {
    truncateSync(this.journal, readJournal(this.journal).wholeBytes);
  }

  /** After the death of a process: the power fails. What is left is durable, and the journal empty. */
  lose(loss: Loss, random: Random): Lost {
    const { records } = readJournal(this.journal);
    const refused = records.find(({ kind }) => kind === Kind.Unsupported);
    if (refused !== undefined) {
      throw new Error(`the shim keeps no journal of ${refused.other} (${refused.path})`);
    }
    const changes = this.loseBytes(records, loss, random);
    const names = this.loseNames(records, loss, random);
    rmSync(this.graves, { recursive: true });
    mkdirSync(this.graves);
    writeFileSync(this.journal, '');
    return { changes, names };
  }

  private loseBytes(records: readonly JournalRecord[], loss: Loss, random: Random): number {
    const paths = new Map<number, string>();
    for (const folder of [this.directory, this.graves]) {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isFile()) paths.set(statSync(path).ino, path);
      }
    }
    let lost = 0;
    for (const [inode, changes] of unsyncedChanges(records)) {
      const path = paths.get(inode);
      if (path === undefined) continue;
      const left = contentLeft(readFileSync(path), changes, loss, random);
      // Into the same inode: another name may be linked to it.
      writeFileSync(path, left, { flag: 'r+' });
      truncateSync(path, left.length);
      lost += changes.filter(({ isSynced }) => !isSynced).length;
    }
    return lost;
  }

  private loseNames(records: readonly JournalRecord[], loss: Loss, random: Random): number {
    const open = records.filter((record) => !isNameDurable(record, records));
    const kept = loss === 'everything' ? 0 : random.below(open.length + 1);
    for (const [index, record] of open.slice(kept).toReversed().entries()) {
      this.takeBack(record, join(this.graves, `undone-${index}`));
    }
    return open.length - kept;
  }

  /** Undoes a change of names, where it was made at all: the process may have died before. */
  private takeBack({ kind, inode, path, other, data }: JournalRecord, aside: string): void {
    // Its folder is gone for good, and with it whatever its names were.
    if (kind !== Kind.Rmdir && !existsSync(dirname(path))) return;
    const buried = data.length === 0 ? undefined : join(this.graves, data.toString());
    switch (kind) {
      case Kind.Create:
      case Kind.Mkdir:
        if (existsSync(path)) renameSync(path, aside);
        break;
      case Kind.Rename:
        if (!existsSync(other) || statSync(other).ino !== inode) break;
        renameSync(other, path);
        if (buried !== undefined) linkSync(buried, other);
        break;
      case Kind.Unlink:
        if (buried !== undefined && !existsSync(path)) linkSync(buried, path);
        break;
      case Kind.Rmdir:
        mkdirSync(path, { recursive: true });
        break;
    }
  }
}

/** Of each file with an unsynced change: its changes from the first such one on. */
function unsyncedChanges(records: readonly JournalRecord[]): Map<number, Change[]> {
  const files = new Map<
    number,
    { open: Set<JournalRecord>; lost: Set<JournalRecord>; all: JournalRecord[] }
  >();
  for (const record of records) {
    const file = files.get(record.inode) ?? { open: new Set(), lost: new Set(), all: [] };
    switch (record.kind) {
      case Kind.Write:
      case Kind.Truncate:
      case Kind.Allocate:
        files.set(record.inode, file);
        file.open.add(record);
        file.all.push(record);
        break;
      case Kind.WriteSynced:
        for (const write of file.open) if (write.at === record.position) file.open.delete(write);
        break;
      case Kind.Sync:
      case Kind.SyncFailed:
        for (const change of file.open) {
          if (change.at >= record.position) continue;
          file.open.delete(change);
          if (record.kind === Kind.SyncFailed) file.lost.add(change);
        }
        break;
    }
  }
  const unsynced = new Map<number, Change[]>();
  for (const [inode, { open, lost, all }] of files) {
    const isUnsynced = (record: JournalRecord): boolean => open.has(record) || lost.has(record);
    const first = all.findIndex(isUnsynced);
    if (first < 0) continue;
    const changes = all.slice(first);
    unsynced.set(
      inode,
      changes.map((record) => ({ record, isSynced: !isUnsynced(record) })),
    );
  }
  return unsynced;
}

function isNameDurable(record: JournalRecord, records: readonly JournalRecord[]): boolean {
  const { kind, path, other, at } = record;
  if (![Kind.Create, Kind.Mkdir, Kind.Rename, Kind.Unlink, Kind.Rmdir].includes(kind)) return true;
  const directories = kind === Kind.Rename ? [dirname(path), dirname(other)] : [dirname(path)];
  return directories.every((directory) =>
    records.some(
      (sync) => sync.kind === Kind.SyncDirectory && sync.path === directory && at < sync.position,
    ),
  );
}
