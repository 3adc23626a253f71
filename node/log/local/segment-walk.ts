// Walks over the segments of a log as recovery does, but on past damage, so that all of it is known.
//
// Where the chain stops, the log has ended, unless a whole batch follows that proves that the next one was
// synced. So a stop is pending until such a batch proves it to be damage; what is pending at the end is the
// tail.

import { EngineError } from '../../../ts/engine/engine.js';
import type { Chain } from './batch.js';
import type { BatchStream } from './batch-stream.js';
import type { DataFormat, DataPaths } from './data-directory.js';
import { DataDamage } from './data-errors.js';
import type { FoldCheck } from './fold-check.js';
import { FILE_HEADER_BYTES } from './format.js';
import type { NumberedFile } from './log-files.js';
import { SegmentReader } from './segment-reader.js';

/** Whole batches of one file, one after another, each with the checksum of the one before. */
export interface BatchRun {
  readonly file: NumberedFile;
  /** Byte of the file at which the first one begins. */
  readonly offset: number;
  /** Byte behind the newest. */
  readonly end: number;
  /** Number of the first. */
  readonly from: number;
  /** Number of the newest. */
  readonly to: number;
  /** The checksum before the first. */
  readonly before: bigint;
  /** The checksum of the newest. */
  readonly checksum: bigint;
  readonly records: number;
  /** Of the newest, ms since 1970. */
  readonly time: number;
}

export interface SegmentFinding {
  readonly file: NumberedFile;
  readonly header: SegmentReader['header'];
  readonly runs: BatchRun[];
  readonly damage: DataDamage[];
  /** Where the file ends in a batch that is not whole. */
  tornAt: number | undefined;
  /** Batches before its first one are missing. */
  isSkipped: boolean;
}

interface Stop {
  readonly finding: SegmentFinding;
  readonly offset: number;
  readonly expected: string;
  readonly found: string;
}

export class SegmentWalk {
  readonly findings: SegmentFinding[] = [];
  private pending: Stop | undefined;
  /** Where the newest batch ends. */
  private ended: Pick<Stop, 'finding' | 'offset'> | undefined;

  /** `chain` and `fold` stand where the first segment is to go on. */
  constructor(
    private readonly directory: DataPaths & DataFormat,
    private readonly chain: Chain,
    private readonly fold: FoldCheck,
    private readonly onBytes: (bytes: number) => void = () => {},
  ) {}

  /**
   * Takes the next segment. `isAfterGap`: files before it are missing, so that batches which are missing
   * before its first one are the caller's to tell. Throws `DATA_UNREADABLE`.
   */
  async take(file: NumberedFile, isAfterGap: boolean): Promise<void> {
    const reader = await SegmentReader.open(file.path);
    try {
      const { header } = reader;
      const finding = { file, header, runs: [], damage: [], tornAt: undefined, isSkipped: false };
      this.findings.push(finding);
      await this.read(finding, reader, isAfterGap);
    } finally {
      await reader.close();
    }
  }

  private async read(
    finding: SegmentFinding,
    reader: SegmentReader,
    isAfterGap: boolean,
  ): Promise<void> {
    const header = this.headerStop(finding);
    let start = FILE_HEADER_BYTES;
    while (true) {
      const stream = reader.batches(this.chain, start);
      await this.readRun(finding, stream);
      const end = await reader.endOf(stream);
      const { proof, unproven } = await reader.findBehind(end.offset, this.chain);
      if (proof === undefined) {
        if (end.kind === 'torn') this.stop(finding, end.offset);
        finding.tornAt = end.kind === 'torn' ? end.offset : undefined;
        break;
      }
      if (finding.runs.length === 0) finding.isSkipped = true;
      if (!isAfterGap || finding.runs.length > 0) {
        const here = { finding, offset: end.offset };
        const ended = end.kind === 'torn' ? here : (this.ended ?? here);
        this.stop(ended.finding, ended.offset, `, although batch ${proof.number} follows`);
        this.prove();
      }
      // What was written before it belongs to the log too.
      const { before, number, offset } = unproven[0] ?? proof;
      this.chain.before = before;
      this.chain.next = number;
      this.fold.skip();
      start = offset;
    }
    if (header === undefined) return;
    if (finding.runs.length > 0) this.report(header);
    else this.pending ??= header;
  }

  /** Reads batches as far as the chain goes. */
  private async readRun(finding: SegmentFinding, stream: BatchStream): Promise<void> {
    const { file } = finding;
    const { before, next: from } = this.chain;
    const offset = stream.offset;
    let [records, time] = [0, 0];
    let at = offset;
    for (let piece = await stream.next(); piece !== undefined; piece = await stream.next()) {
      this.pending = undefined; // The chain goes on: nothing is missing where it had stopped.
      records += piece.records;
      time = piece.time;
      this.check(finding, at, piece.bodies);
      this.onBytes(stream.offset - at);
      at = stream.offset;
    }
    if (at === offset) return;
    this.ended = { finding, offset: at };
    const { before: checksum, next } = this.chain;
    finding.runs.push({
      file,
      offset,
      end: at,
      from,
      to: next - 1,
      before,
      checksum,
      records,
      time,
    });
  }

  private check(finding: SegmentFinding, offset: number, bodies: Uint8Array): void {
    try {
      this.fold.fold(bodies);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const expected = 'records that go on from those before';
      finding.damage.push(new DataDamage(finding.file.path, offset, expected, 'others'));
      this.fold.skip();
    }
  }

  private stop(finding: SegmentFinding, offset: number, although = ''): void {
    const expected = `batch ${this.chain.next}`;
    this.pending ??= {
      finding,
      offset,
      expected,
      found: `other bytes${although}`,
    };
  }

  private prove(): void {
    if (this.pending !== undefined) this.report(this.pending);
    this.pending = undefined;
  }

  private report({ finding, offset, expected, found }: Stop): void {
    finding.damage.push(new DataDamage(finding.file.path, offset, expected, found));
  }

  private headerStop(finding: SegmentFinding): Stop | undefined {
    const { header, file } = finding;
    const expected = `the header of segment ${file.number} of this log`;
    const at = (offset: number, found: string): Stop => {
      return { finding, offset, expected, found };
    };
    if (typeof header === 'string') return at(0, `a fault: ${header}`);
    const { logId, partitions } = this.directory;
    if (header.logId !== logId) return at(16, 'the id of another log');
    if (header.partitions !== partitions) return at(12, `${header.partitions} partitions`);
    return header.segment === file.number ? undefined : at(24, `number ${header.segment}`);
  }
}
