// The Log boundary: where the effects of a worker's partitions become durable, in one order. State is
// the fold of what a log holds.
//
// An append brings the records of one engine call, of any partitions; they become durable together or
// not at all. Each record carries its partition and revision, so that the expected revision of a
// partition is that of its first record less one. That compare and the epoch are the fence: an append of
// a former owner, or of one that has missed records, is refused whole, whatever its clock says.
//
// Appends are numbered 1, 2, 3, ... since the log was opened, as engines number them. They become
// durable in that order. An append that was accepted and never became durable is unknown, not failed:
// after the next opening it is either there whole, or it is not there and none after it is.

export type Durability = 'sync' | 'interval' | 'none';

export type LogErrorCode =
  /** A newer owner has sealed the epoch: this one must not write again. */
  | 'EPOCH_STALE'
  /** The records do not go on from the newest ones that the log holds. */
  | 'REVISION_MISMATCH'
  /** The records are not whole, valid ones. */
  | 'RECORDS_MALFORMED'
  /** A write or sync failed: what was accepted and is not durable is unknown. */
  | 'LOG_FAILED'
  /** `settled` gave up waiting: the append is unknown. */
  | 'LOG_TIMEOUT'
  /** The log was closed. */
  | 'LOG_CLOSED'
  /** What is asked for was trimmed away: a snapshot stands for it. */
  | 'LOG_TRIMMED'
  /** Another process has the data directory open. */
  | 'DATA_LOCKED'
  /** The data directory is of another format version, or is no data directory. */
  | 'DATA_FORMAT'
  /** The data directory was made for another number of partitions. */
  | 'DATA_PARTITIONS'
  /** Bytes that were durable are missing or changed. */
  | 'DATA_DAMAGED'
  /** The data directory cannot be read or written. */
  | 'DATA_UNREADABLE'
  /** A directory that is to be made holds something already. */
  | 'DATA_NOT_EMPTY'
  /** What was being done to a data directory was told to stop; nothing has changed. */
  | 'DATA_CANCELLED'
  /** The node took files away faster than they could be copied, each time. */
  | 'BACKUP_OVERTAKEN'
  /** What is damaged is in no backup that was given, and its loss was not accepted. */
  | 'REPAIR_LOSES';

export class LogError extends Error {
  override readonly name = 'LogError';
  constructor(
    /** Stable: tests and scripts tell errors apart by it. */
    readonly code: LogErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  /** Whether the append that met this error may still be found in the log. */
  get maybeApplied(): boolean {
    return this.code === 'LOG_FAILED' || this.code === 'LOG_TIMEOUT';
  }
}

/** A batch of the log, as `read` gives it: valid until the next one is asked for. */
export interface LogBatch {
  /** Ascends by 1 from 1, for as long as the log lives. */
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly records: Uint8Array;
}

/** Why a log takes no appends at present. */
export type LogRefusal = 'none' | 'overloaded' | 'disk_full' | 'failed';

export interface LogEvents {
  /** `durable` or `refusal` has changed. */
  onProgress(): void;
  /**
   * A write or sync has failed for good: the log takes nothing more, and appends above `durable` are
   * unknown. Called once.
   */
  onFailure(error: LogError): void;
}

export interface Log {
  /** The owner's; ascends with every opening. */
  readonly epoch: number;
  /** Number of the newest append. */
  readonly appended: number;
  /** Number of the newest durable append; published whenever it grows. */
  readonly durable: number;
  /** Bytes of appends that are not durable. */
  readonly pendingBytes: number;
  /**
   * Anything but `none`: the owner should make no more records until it is `none` again. What is
   * appended nevertheless is kept and becomes durable when it can.
   */
  readonly refusal: LogRefusal;
  /** The newest revision of a partition, durable or not; 0 for none. */
  revisionOf(partition: number): number;

  /**
   * Takes the first `length` bytes of `records`, copies them and returns the append's number. Throws
   * `LogError` and takes nothing: `EPOCH_STALE`, `REVISION_MISMATCH`, `RECORDS_MALFORMED`,
   * `LOG_FAILED`, `LOG_CLOSED`.
   */
  append(epoch: number, records: Uint8Array, length: number): number;

  /** Writes out what was appended; called once a turn of the event loop, behind its appends. */
  flush(): void;

  /**
   * Resolves when an append is durable. Rejects with `LOG_TIMEOUT` after `timeoutMs`, `LOG_FAILED` or
   * `LOG_CLOSED`; the append is unknown then.
   */
  settled(append: number, timeoutMs: number): Promise<void>;

  /** Durable batches with a number above `after`, oldest first. Throws `LOG_TRIMMED`. */
  read(after: number): AsyncIterable<LogBatch>;

  /** Number of the newest durable batch; 0 for none. */
  readonly newestBatch: number;

  /** Lets go of batches up to `batch`, or fewer: an implementation may forget in larger pieces. */
  trim(batch: number): Promise<void>;

  /**
   * Refuses appends of epochs below `epoch` from here on. Resolves, when all that was accepted is
   * durable, with the newest revision of each partition.
   */
  seal(epoch: number): Promise<Float64Array>;

  /** Makes durable what was accepted, then ends. */
  close(): Promise<void>;
}
