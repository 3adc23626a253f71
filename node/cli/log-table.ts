// How a verification is shown: a table of files and a verdict, or the same as JSON.

import { relative } from 'node:path';
import { formatSize } from '../config/size.js';
import type { DirectoryVerification, FileReport } from '../log/local/verification.js';
import { isoTime } from './log-options.js';

const HEADINGS = ['file', 'kind', 'batches', 'records', 'bytes', 'numbers', 'state'] as const;
/** Columns of figures, which end in one line. */
const FIGURES: readonly string[] = ['batches', 'records', 'bytes'];

/** Lines of the table, the damage and the verdict. */
export function describeVerification(found: DirectoryVerification): string[] {
  const rows = found.files.map((report) => rowOf(found, report));
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const lineOf = (cells: readonly string[]) =>
    cells
      .map((cell, column) => {
        const width = column === cells.length - 1 ? 0 : (widths[column] ?? 0);
        return FIGURES.includes(HEADINGS[column] ?? '') ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ');
  return [lineOf(HEADINGS), ...rows.map(lineOf), '', ...verdictOf(found)];
}

function rowOf({ path }: DirectoryVerification, report: FileReport): string[] {
  const { file, kind, batches, records, from, to } = report;
  const figure = (count: number) => (count === 0 ? '-' : String(count));
  return [
    relative(path, file.path),
    kind,
    figure(batches),
    figure(records),
    String(file.bytes),
    to === 0 ? '-' : `${from}-${to}`,
    stateOf(report),
  ];
}

function stateOf({ state, tornAt, damage }: FileReport): string {
  if (state === 'torn') return `torn tail at byte ${tornAt}`;
  if (state === 'active') return 'being written';
  if (state === 'missing') return 'MISSING';
  if (state !== 'damaged') return state;
  return damage
    .map(({ offset, expected, found }) => {
      return `DAMAGED at byte ${offset}: expected ${expected}, found ${found}`;
    })
    .join('; ');
}

function verdictOf(verification: DirectoryVerification): string[] {
  const { path, damage, undecided, openIn } = verification;
  const lines: string[] = [];
  if (openIn !== undefined) {
    lines.push(`Process ${openIn} has it open: the newest batches may have moved on meanwhile.`);
  }
  if (undecided !== undefined) {
    const { file, offset } = undecided;
    lines.push(
      `UNDECIDED: values behind the end, in ${relative(path, file)} from byte ${offset} on, look so much like ` +
        'batches that whether some are missing could not be told. Compare with a backup.',
    );
  }
  if (damage.length === 0) {
    lines.push(`Whole. ${extentOf(verification)}.`);
  } else {
    const places = damage.length === 1 ? 'in one place' : `in ${damage.length} places`;
    lines.push(
      `DAMAGED ${places}. Nothing was changed. See what a backup can mend: ` +
        `rondo log repair --data-dir ${path} --from-backup <backup> --dry-run`,
    );
  }
  return lines;
}

function extentOf({ logs, newestBatch, time }: DirectoryVerification): string {
  if (newestBatch === 0) return 'No batch yet';
  if (logs.length === 1) return `Batches up to ${newestBatch}, of ${isoTime(time)}`;
  const newest = logs.map((log) => log.newestBatch).join(', ');
  return `Batches of ${logs.length} workers up to ${newest}; the newest of ${isoTime(time)}`;
}

export function verificationJson(found: DirectoryVerification): Record<string, unknown> {
  const { path, damage, undecided, newestBatch, time, openIn, partitions, logId } = found;
  return {
    dataDir: path,
    logId: idText(logId),
    partitions,
    whole: damage.length === 0,
    undecided:
      undecided === undefined
        ? null
        : { file: relative(path, undecided.file), offset: undecided.offset },
    openIn: openIn ?? null,
    newestBatch,
    time: isoTime(time) || null,
    logs: found.logs.map((log) => ({
      worker: log.worker,
      logId: idText(log.logId),
      whole: log.damage.length === 0,
      newestBatch: log.newestBatch,
      time: isoTime(log.time) || null,
    })),
    files: found.files.map((report) => ({
      file: relative(path, report.file.path),
      kind: report.kind,
      state: report.state,
      batches: report.batches,
      records: report.records,
      bytes: report.file.bytes,
      from: report.from,
      to: report.to,
      tornAt: report.tornAt ?? null,
      damage: report.damage.map(({ offset, expected, found }) => ({ offset, expected, found })),
    })),
  };
}

/** The id of a log or directory, as FORMAT has it. */
export function idText(id: bigint): string {
  return id.toString(16).padStart(16, '0');
}

/** A line about what a directory holds. */
export function summaryOf(found: DirectoryVerification): string {
  const { batches, records, bytes } = totalsOf(found);
  const newest = found.time === 0 ? 'no record yet' : `the newest of ${isoTime(found.time)}`;
  return `${batches} batches, ${records} records, ${formatSize(bytes)}; ${newest}`;
}

/** Sums over the files that a start reads. */
export function totalsOf({ files, newestBatch }: DirectoryVerification) {
  const read = files.filter(({ state }) => state !== 'covered' && state !== 'unused');
  return {
    batches: newestBatch,
    records: read.reduce((sum, { records }) => sum + records, 0),
    bytes: read.reduce((sum, { file }) => sum + file.bytes, 0),
  };
}
