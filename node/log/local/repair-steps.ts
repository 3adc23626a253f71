// From a plan to files: which are made anew of which batches, which have no place any more, and how the
// one takes the place of the other without a moment in which something whole is nowhere.

import { copyFileSync, existsSync, linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { LogError } from '../log.js';
import { unreadable } from './data-errors.js';
import { FileCopy } from './file-copy.js';
import { encodeSegmentHeader, FILE_HEADER_BYTES, type SegmentHeader } from './format.js';
import type { DataPaths } from './format-file.js';
import type { Piece, RepairPlan } from './repair-plan.js';
import type { RepairSide } from './repair-sides.js';
import { SegmentReader } from './segment-reader.js';
import type { SegmentFinding } from './segment-walk.js';
import { syncFile, syncFolder } from './sync.js';
import { absentFile } from './verification.js';

export interface RepairStep {
  readonly action: 'rebuild' | 'add' | 'move away';
  /** Of the file of the data directory. */
  readonly path: string;
  /** Set: it becomes a copy of this file. */
  readonly copyOf?: string;
  /** Set: it becomes a segment of these. */
  readonly pieces?: readonly Piece[];
  readonly header?: SegmentHeader;
}

/** What is to be done, in this order. Empty where the plan is what is there. */
export function stepsOf(damaged: RepairSide, backup: RepairSide, plan: RepairPlan): RepairStep[] {
  const { directory } = damaged;
  const covered = plan.snapshot?.file.number ?? 0;
  const isThere = new Map(damaged.segments.map((finding) => [finding.file.number, finding]));
  const made: RepairStep[] = [];
  if (plan.snapshot !== undefined && plan.isBackup) {
    const { path } = absentFile(directory, 'snapshot', covered);
    const action = existsSync(path) ? 'rebuild' : 'add';
    made.push({ action, path, copyOf: plan.snapshot.file.path });
  }
  const layout = new Map<number, Piece[]>();
  for (const piece of plan.pieces) {
    const { number } = piece.run.file;
    layout.set(number, [...(layout.get(number) ?? []), piece]);
  }
  for (const [number, pieces] of layout) {
    const finding = isThere.get(number);
    if (finding !== undefined && isAsPlanned(finding, pieces, directory)) continue;
    const { path } = absentFile(directory, 'segment', number);
    const header = headerOf(number, damaged, backup);
    made.push({ action: finding === undefined ? 'add' : 'rebuild', path, pieces, header });
  }
  const gone = [
    ...damaged.damagedSnapshots.map((file) => file),
    ...damaged.snapshots.map(({ file }) => file).filter(({ number }) => number > covered),
  ].filter(({ path }) => made.every((step) => step.path !== path));
  const foreign = damaged.segments.filter((finding) => {
    const { number } = finding.file;
    if (number <= covered || layout.has(number)) return false;
    const isBehind = finding.runs.some(({ to }) => to > plan.newest);
    return isBehind || isForeign(finding, directory);
  });
  const away = [...gone, ...foreign.map(({ file }) => file)];
  return [...made, ...away.map(({ path }): RepairStep => ({ action: 'move away', path }))];
}

/**
 * `kept` is the folder for the damaged files. Throws `DATA_UNREADABLE`; what was done until then stays, and the
 * repair can be run again.
 */
export async function applySteps(
  paths: DataPaths,
  steps: readonly RepairStep[],
  kept: string,
): Promise<void> {
  const aside = (path: string) => `${path}.tmp`;
  try {
    mkdirSync(kept, { recursive: true, mode: 0o700 });
    for (const step of steps) {
      if (step.action !== 'move away') await make(step, aside(step.path));
    }
    for (const { action, path } of steps) {
      if (action === 'rebuild') keep(path, join(kept, basename(path)));
    }
    for (const folder of [kept, dirname(kept), paths.path]) syncFolder(folder);
    for (const { action, path } of steps) {
      if (action === 'move away') continue;
      renameSync(aside(path), path);
      syncFolder(dirname(path));
    }
    for (const { action, path } of steps) {
      if (action !== 'move away') continue;
      renameSync(path, join(kept, basename(path)));
      syncFolder(kept);
      syncFolder(dirname(path));
    }
  } catch (error) {
    throw error instanceof LogError ? error : unreadable(paths.path, 'repair', error);
  }
}

/** Writes a file, synced. */
async function make(step: RepairStep, path: string): Promise<void> {
  rmSync(path, { force: true });
  if (step.copyOf !== undefined) {
    copyFileSync(step.copyOf, path);
    syncFile(path);
    return;
  }
  const { header, pieces = [] } = step;
  if (header === undefined) return;
  const copy = await FileCopy.create(path, encodeSegmentHeader(header));
  try {
    for (const { run } of pieces) await appendRun(copy, run, header.logId);
    await copy.close();
  } catch (error) {
    await copy.abandon();
    throw error;
  }
}

async function appendRun(copy: FileCopy, run: Piece['run'], logId: bigint): Promise<void> {
  const reader = await SegmentReader.open(run.file.path);
  try {
    const stream = reader.batches({ logId, before: run.before, next: run.from }, run.offset);
    while (stream.chain.next <= run.to) {
      const batch = await stream.nextBatch();
      if (batch === undefined) {
        throw unreadable(run.file.path, 'read again', `batch ${stream.chain.next} has changed`);
      }
      await copy.append(batch);
    }
  } finally {
    await reader.close();
  }
}

/** Gives a file a second name, durably; a copy where the file system has no links. */
function keep(path: string, kept: string): void {
  try {
    linkSync(path, kept);
  } catch {
    copyFileSync(path, kept);
    syncFile(kept);
  }
}

/** Whether the file is what the plan says of it already. */
function isAsPlanned(
  finding: SegmentFinding,
  pieces: readonly Piece[],
  directory: RepairSide['directory'],
): boolean {
  const [piece] = pieces;
  const [run] = finding.runs;
  if (pieces.length !== 1 || finding.runs.length !== 1 || piece?.run !== run) return false;
  if (run?.offset !== FILE_HEADER_BYTES || isForeign(finding, directory)) return false;
  const { header } = finding;
  return typeof header !== 'string' && header.segment === finding.file.number;
}

function isForeign({ header }: SegmentFinding, directory: RepairSide['directory']): boolean {
  if (typeof header === 'string') return false;
  return header.logId !== directory.logId || header.partitions !== directory.partitions;
}

/** The header that the segment has on either side, or one that fits between the others. */
function headerOf(number: number, damaged: RepairSide, backup: RepairSide): SegmentHeader {
  const { logId, partitions } = damaged.directory;
  const headers = [...damaged.segments, ...backup.segments].flatMap((finding) => {
    const { header, file } = finding;
    if (typeof header === 'string' || isForeign(finding, damaged.directory)) return [];
    return header.segment === file.number ? [header] : [];
  });
  const own = headers.find(({ segment }) => segment === number);
  if (own !== undefined) return own;
  const epochs = headers.filter(({ segment }) => segment < number).map(({ epoch }) => epoch);
  return { logId, partitions, segment: number, epoch: Math.max(1, ...epochs) };
}
