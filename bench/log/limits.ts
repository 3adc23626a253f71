// How much the benchmark of the log does where its options do not say.

/** Bytes of the log that is compacted while gets are measured; of recoveries and appends a quarter. */
export const BYTES_DEFAULT = 1024 ** 3;
export const BYTES_MIN = 4 * 1024 ** 2;
export const BYTES_MAX = 256 * 1024 ** 3;
export const BYTES_QUICK = 8 * 1024 ** 2;
/** Bytes of one record: a key of 17 bytes, and a value. */
export const RECORD_BYTES = 128;
/** Records of one batch, where a batch is what a frame of a busy node makes: 15 KB. */
export const BATCH_RECORDS = 120;
/** Records for each key: state is smaller than its log, as it is where keys are overwritten. */
export const RECORDS_PER_KEY = 4;
/** Bytes appended and not durable that the throughput row keeps on the way. */
export const APPEND_PENDING_BYTES = 32 * 1024 ** 2;
/** Gets a second, and keys, of the light load beside a compaction. */
export const LIGHT_RATE = 2_000;
export const LIGHT_KEYS = 10_000;
export const LIGHT_CONNECTIONS = 10;
/** Windows of gets in one compaction at most, and as many behind it. */
export const WINDOWS_MAX = 5;
/** Milliseconds from the start of a node until its compaction must show. */
export const COMPACTION_SHOWS_MS = 10_000;
/** Milliseconds until a node must have recovered, and a compaction must have ended, for each MB. */
export const RECOVERY_MS_PER_MB = 60;
export const COMPACTION_MS_PER_MB = 200;
