// Data directories of several workers for tests: written without the log's writer, read back as one state.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { realClock } from '../../node/clock.js';
import { segmentName } from '../../node/log/local/format.js';
import { listLogFiles } from '../../node/log/local/log-files.js';
import { recover } from '../../node/log/local/recovery.js';
import { type PrepareOptions, prepareWorkers } from '../../node/log/local/redistribution.js';
import { type DataLayout, readLayout, type WorkerLog } from '../../node/log/local/worker-logs.js';
import { RecordReader } from '../../ts/engine/records.js';
import { LogMaker, PARTITIONS } from './log-files.js';
import { inThread } from './log-jobs.js';
import { MapState } from './log-state.js';

/** Of each number of workers: which has which partition, one of them with none where there are four. */
export const OWNERS: Readonly<Record<number, Uint16Array>> = {
  1: Uint16Array.of(0, 0, 0, 0),
  2: Uint16Array.of(0, 1, 1, 0),
  3: Uint16Array.of(2, 0, 1, 0),
  4: Uint16Array.of(3, 1, 0, 1),
};

/** What was logged, by the event of its line. */
export class LoggedLines {
  readonly lines: { level: string; event?: string; [field: string]: unknown }[] = [];
  readonly info = this.at('info');
  readonly warn = this.at('warn');
  readonly error = this.at('error');

  get events(): (string | undefined)[] {
    return this.lines.map(({ event }) => event);
  }

  private at(level: string) {
    return (fields: unknown): void => {
      this.lines.push({ level, ...(fields as object) });
    };
  }
}

export function optionsOf(workers: number, rest: Partial<PrepareOptions> = {}): PrepareOptions {
  return {
    partitions: PARTITIONS,
    workers,
    owners: OWNERS[workers] as Uint16Array,
    addon: undefined,
    clock: realClock,
    logger: new LoggedLines(),
    compact: inThread,
    ...rest,
  };
}

/** Prepares, and lets go of the directory. */
export async function prepare(
  path: string,
  workers: number,
  rest: Partial<PrepareOptions> = {},
): Promise<DataLayout> {
  const { layout, close } = await prepareWorkers(path, optionsOf(workers, rest));
  close();
  return layout;
}

/** Writes a segment behind what each log has; each record goes to the log of its partition. */
export async function append(
  layout: DataLayout,
  batches: readonly (readonly Uint8Array[])[],
): Promise<void> {
  for (const log of layout.logs) {
    const maker = await makerOf(log);
    maker.write(
      batches.map((batch) =>
        batch.filter((record) => layout.owners[partitionOf(record)] === log.worker),
      ),
    );
  }
}

/** Goes on where a log ends. */
export async function makerOf(log: WorkerLog): Promise<LogMaker> {
  const { chain, nextSegment } = await recover(log, new MapState(), { isReadOnly: true });
  const maker = new LogMaker(log, PARTITIONS, log.logId);
  Object.assign(maker.chain, chain);
  maker.segment = nextSegment;
  return maker;
}

/** What all logs of a directory hold, as one; throws where two have the same thing. */
export async function wholeState(path: string) {
  const { logs, owners } = readLayout(path);
  const whole = new MapState();
  for (const log of logs) {
    const one = new MapState();
    await recover(log, one, { isReadOnly: true });
    for (const [space, entries] of one.spaces.entries()) {
      for (const [key, entry] of entries) {
        if (whole.spaces[space]?.has(key)) throw new Error(`${key} is in two logs`);
        if (owners[entry.partition] !== log.worker) throw new Error(`${key} is in another's log`);
        whole.spaces[space]?.set(key, entry);
      }
    }
    for (const [partition, revision] of one.revisions.entries()) {
      if (revision === 0) continue;
      if (owners[partition] !== log.worker) throw new Error(`${partition} is of another`);
      whole.revisions[partition] = revision;
    }
  }
  return whole.state;
}

/** Every file beneath a folder with a digest of what it holds. */
export function contentsOf(folder: string): Record<string, string> {
  const contents: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    contents[relative(folder, path)] = entry.isFile()
      ? createHash('sha1').update(readFileSync(path)).digest('hex')
      : 'folder';
  }
  return contents;
}

/** The newest segment of a log. */
export function lastSegment(log: WorkerLog): string {
  return join(log.wal, segmentName(listLogFiles(log).segments.at(-1)?.number ?? 0));
}

function partitionOf(record: Uint8Array): number {
  const reader = new RecordReader(record);
  if (!reader.next()) throw new Error('malformed');
  return reader.partition;
}
