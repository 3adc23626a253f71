// The bytes of one file after a power cut: each sector is in the state that it had after some change
// since the last sync, or before all of them. A disk writes sectors whole and in any order, and the
// size of a file is written apart from its bytes.

import type { Random } from '../parity/random.js';
import { type JournalRecord, Kind } from './journal.js';

/** What a disk makes durable at once. */
export const SECTOR_BYTES = 512;

/**
 * `everything`: no unsynced byte is left. `tail`: they were written in order, up to a sector.
 * `scattered`: each sector for itself.
 */
export type Loss = 'everything' | 'tail' | 'scattered';

export interface Change {
  /** Write, truncate or allocate. */
  readonly record: JournalRecord;
  readonly isSynced: boolean;
}

interface Step {
  readonly start: number;
  /** What stands from `start` on after the change. */
  readonly bytes: Buffer;
  readonly sizeAfter: number;
  readonly isSynced: boolean;
}

/**
 * The content that is left of `content`, the file as the page cache had it. `changes`: in order, from
 * the first unsynced one on.
 */
export function contentLeft(
  content: Buffer,
  changes: readonly Change[],
  loss: Loss,
  random: Random,
): Buffer {
  const { base, steps } = unwound(content, changes);
  const cut = cutOf(steps, loss, random);
  const lastSynced = steps.findLastIndex(({ isSynced }) => isSynced);
  const size = sizeLeft(base.length, steps, Math.max(cut.size, lastSynced), cut.partial);
  const left = Buffer.alloc(Math.max(base.length, size, ...steps.map(endOf)));
  base.copy(left);
  /** Of each sector: the last change that reached it and was synced by itself. */
  const forced = new Map<number, number>();
  for (const [index, step] of steps.entries()) {
    if (step.isSynced) for (const sector of sectorsOf(step)) forced.set(sector, index);
  }
  for (const [index, { start, bytes }] of steps.entries()) {
    for (const sector of sectorsOf(steps[index] as Step)) {
      if (index > Math.max(cut.of(sector), forced.get(sector) ?? -1)) continue;
      const from = Math.max(start, sector * SECTOR_BYTES);
      const to = Math.min(start + bytes.length, (sector + 1) * SECTOR_BYTES);
      bytes.copy(left, from, from - start, to - start);
    }
  }
  return left.subarray(0, size);
}

/** Takes the changes back, newest first: the file before them, and what each of them made of it. */
function unwound(content: Buffer, changes: readonly Change[]): { base: Buffer; steps: Step[] } {
  let present = content;
  const steps: Step[] = [];
  for (const { record, isSynced } of changes.toReversed()) {
    const { kind, offset, length, sizeBefore, data } = record;
    const sizeAfter = present.length;
    const start = offset;
    const end = kind === Kind.Write ? Math.min(offset + length, sizeAfter) : offset + data.length;
    const bytes = Buffer.alloc(kind === Kind.Allocate ? 0 : Math.max(0, end - start));
    if (kind === Kind.Write) present.copy(bytes, 0, start, end);
    steps.unshift({ start, bytes, sizeAfter, isSynced });
    const before = Buffer.alloc(sizeBefore);
    present.copy(before);
    data.copy(before, offset);
    present = before;
  }
  return { base: present, steps };
}

interface Cut {
  /** The newest change that a sector has; -1: none. */
  of(sector: number): number;
  /** The change whose size the file has; -1: that before all. */
  readonly size: number;
  /** Where the bytes that are left of a change end, past the size above; 0: no such change. */
  readonly partial: number;
}

function cutOf(steps: readonly Step[], loss: Loss, random: Random): Cut {
  const last = steps.length - 1;
  if (loss === 'everything' || steps.length === 0) return { of: () => -1, size: -1, partial: 0 };
  if (loss === 'tail') {
    const next = random.below(steps.length + 1);
    const torn = steps[next];
    if (torn === undefined) return { of: () => last, size: last, partial: 0 };
    const sectors = sectorsOf(torn);
    const kept = new Set(sectors.slice(0, random.below(sectors.length + 1)));
    const end = kept.size === 0 ? 0 : (Math.max(...kept) + 1) * SECTOR_BYTES;
    const partial = Math.min(end, torn.sizeAfter, torn.start + torn.bytes.length);
    return { of: (sector) => (kept.has(sector) ? next : next - 1), size: next - 1, partial };
  }
  const choose = (): number => {
    const kind = random.below(4);
    return kind === 0 ? -1 : kind === 1 ? random.between(-1, last) : last;
  };
  const chosen = new Map<number, number>();
  const of = (sector: number): number => {
    const index = chosen.get(sector) ?? choose();
    chosen.set(sector, index);
    return index;
  };
  return { of, size: choose(), partial: 0 };
}

function sizeLeft(
  sizeBase: number,
  steps: readonly Step[],
  index: number,
  partial: number,
): number {
  return Math.max(steps[index]?.sizeAfter ?? sizeBase, partial);
}

function endOf({ start, bytes }: Step): number {
  return start + bytes.length;
}

function sectorsOf({ start, bytes }: Step): number[] {
  if (bytes.length === 0) return [];
  const first = Math.floor(start / SECTOR_BYTES);
  const last = Math.floor((start + bytes.length - 1) / SECTOR_BYTES);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
