//! Every bound of the generator, units last.

/// Connections of one run.
pub const CONNECTIONS_MAX: u32 = 60_000;
pub const THREADS_MAX: u32 = 256;
/// Operations in flight on one connection.
pub const OUTSTANDING_MAX: u32 = 65_536;
/// Operations in flight on one connection in an open loop, where the option does not say.
pub const OUTSTANDING_OPEN_DEFAULT: u32 = 256;
/// Operations in one frame, or Redis commands in one write.
pub const BATCH_MAX: u32 = 8192;
/// A key's number has twelve digits in its name, and 32 bits in the ring.
pub const KEYS_MAX: u32 = u32::MAX;
/// Bytes of a value: what a node can be configured to take.
pub const VALUE_BYTES_MAX: u32 = 64 * 1024 * 1024;
pub const DURATION_SECONDS_MAX: f64 = 7.0 * 24.0 * 3600.0;
/// Keys that are read again after a run that wrote, where the option does not say, and at most.
pub const READ_BACK_DEFAULT: u32 = 1000;
pub const READ_BACK_MAX: u32 = 10_000_000;
/// Arrivals a second, over all connections.
pub const RATE_MAX: f64 = 100e6;
/// Exponent of the Zipf distribution.
pub const ZIPF_THETA_MAX: f64 = 10.0;

/// Share of the keys drawn that a connection may use, at least, where a route leaves it some of them only:
/// the others are drawn again.
pub const KEY_SHARE_MIN: f64 = 0.001;

/// Connections that one thread opens at a time: fewer than a server's backlog holds.
pub const CONNECTING_MAX: usize = 64;
/// Bytes that one read takes in.
pub const READ_BYTES: usize = 256 * 1024;
/// Bytes of the HTTP answer to an upgrade.
pub const HTTP_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one RESP line, which a status or an error is.
pub const RESP_LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one RESP bulk string.
pub const RESP_BULK_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bytes of a value that etcd takes with its default settings: a request of 1.5 MiB, less its head.
pub const ETCD_VALUE_BYTES_MAX: usize = 1_500_000;
/// Operations in flight on one connection while etcd's keys are filled in: with many more it refuses
/// some, because what it has agreed on runs ahead of what it has stored.
pub const ETCD_FILLING_OUTSTANDING: usize = 16;
/// Bytes that an HTTP/2 peer may send ahead.
pub const HTTP2_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Bytes of one write of the bare disk loop, of its file, and of a write that fills the file.
pub const DISK_WRITE_BYTES_MAX: u32 = 64 * 1024 * 1024;
pub const DISK_FILE_BYTES_MAX: u64 = 1 << 40;
pub const DISK_CHUNK_BYTES: usize = 1024 * 1024;
/// Bytes of one WebSocket message from the server.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes of one Redis write at most, where the server names no bound of its own.
pub const WRITE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes and operations of one batch while keys are filled in.
pub const PREFILL_BATCH_BYTES: usize = 256 * 1024;
pub const PREFILL_BATCH_OPERATIONS: usize = 512;
/// Arrivals that wait for a free place in a thread; past it the rate is hopeless.
pub const BACKLOG_MAX: usize = 16 * 1024 * 1024;
/// Nanoseconds that an open loop sleeps at least, so that timers do not eat the machine.
pub const ARRIVAL_SLEEP_NANOS_MIN: u64 = 20_000;
/// Milliseconds between two looks at deadlines, progress and the stop flag.
pub const CHECK_INTERVAL_MS: u64 = 50;
/// Bytes of an unexpected answer that a message shows.
pub const EXCERPT_BYTES: usize = 120;
/// Microseconds: the largest latency that a histogram tells apart.
pub const LATENCY_MICROS_MAX: u64 = 3600 * 1_000_000;
