// Bounds of the node process that neither the wire nor an engine knows; those two have theirs in
// `ts/wire/limits.ts`.

/** Seconds without a byte from a peer until it counts as dead; pings go out well before. */
export const IDLE_TIMEOUT_S = 32;
/** Milliseconds that an HTTP request may take to come in. uWebSockets.js has the same, fixed. */
export const HTTP_TIMEOUT_MS = 10_000;
/** Milliseconds that a closed connection has to take what was sent before its socket is destroyed. */
export const CLOSE_DEADLINE_MS = 5_000;
/**
 * Milliseconds that uWebSockets.js gets to exchange the last packets with peers after their close
 * frames: it does not say when a socket that was ended is gone.
 */
export const UWS_LINGER_MS = 100;
/**
 * Bytes that a transport takes in beyond the frame bound. Up to there a frame that is too large gets
 * a close code and a reason of its own; past it the transport cuts the connection by itself.
 */
export const PAYLOAD_SLACK_BYTES = 1024 * 1024;
/** Bytes of UTF-8 in the reason of a close frame (RFC 6455, 5.5). */
export const CLOSE_REASON_BYTES_MAX = 123;
/** One frame in this many is timed for the latency histogram. A power of two. */
export const FRAMES_PER_TIMED_FRAME = 16;
/** Milliseconds between two looks for operations that were refused as bad input, for the log. */
export const REFUSAL_REPORT_INTERVAL_MS = 1_000;
/** Bytes of the configuration file and of the token file. */
export const CONFIG_FILE_BYTES_MAX = 1024 * 1024;
/** UTF-16 units of a text that a client chose, such as its name or a path, in a log line. */
export const LOGGED_TEXT_MAX = 200;
/** Connections of one worker. */
export const CONNECTIONS_MAX_DEFAULT = 16_384;
/** Sessions of one worker. They outlive their connections, so there may be more of them. */
export const SESSIONS_MAX_DEFAULT = 65_536;
/** Times that the id of a new session is drawn; one that is in use has odds of 2^-37 and less. */
export const SESSION_DRAWS_MAX = 4;
/** Times that it is drawn until its partition is this worker's, which may have few of very many. */
export const SESSION_HOME_DRAWS_MAX = 16_384;
/** Milliseconds until the end of a guest is tried again that was refused as a write. */
export const GUEST_END_RETRY_MS = 500;
/** Guests that are ended in one turn, of those that a start finds or that were refused before. */
export const GUEST_ENDS_PER_TURN = 64;
/** Sessions in one message that asks their home whether they are there. */
export const SESSIONS_PER_CHECK = 1024;
/** Milliseconds from the opening of a connection to its hello. */
export const HELLO_DEADLINE_MS_DEFAULT = 5_000;
/** Bytes that a connection may leave unread before it is closed as a slow reader. */
export const SEND_BUFFER_BYTES_MAX_DEFAULT = 64 * 1024 * 1024;
/** Milliseconds that a graceful stop waits for peers to take their replies. */
export const STOP_DEADLINE_MS = 5_000;
/** Milliseconds between two looks for expired keys. */
export const EXPIRY_INTERVAL_MS = 50;
/** Operations of one connection whose replies its peer has not yet taken. */
export const OPERATIONS_OUTSTANDING_MAX_DEFAULT = 65_536;
/** Bytes unread above which a frame with several replies waits for its peer before the next one. */
export const SEND_PAUSE_BYTES = 1024 * 1024;
/** Bytes of a reply up to which its view is kept for the next reply of that length. */
export const REPLY_VIEW_BYTES_MAX = 4096;
/** Bytes of a frame of another worker up to which the memory that it is copied to is kept, and all that is kept. */
export const FRAME_BUFFER_BYTES_MAX = 256 * 1024;
export const FRAME_BUFFERS_KEPT_BYTES_MAX = 2 * 1024 * 1024;
/** Memory of replies that wait for the log, over all connections; past it writes are refused. */
export const HELD_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that a held reply takes beside its own. */
export const HELD_OVERHEAD_BYTES = 256;
/** Bytes of one piece of the memory that held replies are copied to. */
export const HELD_CHUNK_BYTES = 256 * 1024;
/** Milliseconds that a graceful stop waits for the log to take what was written. */
export const SETTLE_DEADLINE_MS = 30_000;
/** Milliseconds that peers have to take their close frames when the log has failed. */
export const FAILURE_LINGER_MS = 500;
/** Bytes of a segment of the log, as long as the configuration does not say otherwise. */
export const LOG_SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024;
/** Bytes of the smallest segment that can be configured. */
export const LOG_SEGMENT_BYTES_MIN = 64 * 1024;
/** Segments that are kept ready ahead of the one that is written to, made of ones that were freed. */
export const LOG_SEGMENTS_SPARE_MAX = 2;
/** Bytes of zeros that are written at once while a segment is made. */
export const LOG_ZERO_PIECE_BYTES = 1024 * 1024;
/** Bytes of records in one batch of the log, unless a single append is larger. */
export const LOG_BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes appended and not durable above which the log refuses; until they are half of it. */
export const LOG_PENDING_BYTES_MAX = 64 * 1024 * 1024;
/** Milliseconds between two tries to write to a full disk. */
export const LOG_SPACE_RETRY_MS = 500;
/** Milliseconds without an append after which the log leaves a mark. */
export const LOG_MARK_IDLE_MS = 20;
/** How long closing the log waits without any progress, as on a full disk, before it gives up. */
export const LOG_CLOSE_DEADLINE_MS = 5_000;
/** Bytes that are read at once from a segment, unless a batch is larger. */
export const LOG_READ_BYTES = 256 * 1024;
/** Bytes of a segment or snapshot that are read at a time; a larger batch is read whole. */
export const LOG_PIECE_BYTES = 8 * 1024 * 1024;
/** Bytes of a segment that are searched at a time for batches behind its end. */
export const LOG_SEARCH_PIECE_BYTES = 1024 * 1024;
/** Times its length that such a search may hash of a segment, where values look like batches. */
export const LOG_SEARCH_HASHED_FACTOR = 16;
/** Bytes of a batch up to which such a search hashes it whatever it has hashed: marks, and small writes. */
export const LOG_SEARCH_HASHED_BYTES_MIN = 512;
/** Bytes of records in a batch of a snapshot; a larger record has one of its own. Part of its bytes. */
export const SNAPSHOT_BATCH_BYTES = 1024 * 1024;
/** Bytes written to a snapshot between two syncs, so that none keeps the log's own waiting for long. */
export const COMPACTION_SYNC_BYTES = 4 * 1024 * 1024;
/** Bytes of records that a compaction folds in memory before it writes them to a sorted run. */
export const COMPACTION_RUN_BYTES = 64 * 1024 * 1024;
/** Keys of a sorted run. */
export const COMPACTION_RUN_KEYS = 512 * 1024;
/** Bytes of records in a batch of a run, and bytes of a run read at a time. */
export const COMPACTION_RUN_BATCH_BYTES = 256 * 1024;
export const COMPACTION_RUN_PIECE_BYTES = 512 * 1024;
/** Runs that are merged at a time; more are merged into larger runs first. */
export const COMPACTION_RUNS_MAX = 64;
/** Bytes of sealed segments from which on a compaction is worth its while; fewer where segments are small. */
export const COMPACTION_BYTES_MIN = 256 * 1024 * 1024;
export const COMPACTION_SEGMENTS_MIN = 4;
/** Bytes of sealed segments to bytes of the snapshot from which on both are compacted. */
export const COMPACTION_RATIO = 1.0;
/** Milliseconds from a compaction that failed to the next attempt, doubled each time up to the bound. */
export const COMPACTION_RETRY_MS = 10_000;
export const COMPACTION_RETRY_MS_MAX = 10 * 60_000;
/** Bytes of the file WORKERS: more than the most workers and partitions take. */
export const WORKERS_FILE_BYTES_MAX = 1024 * 1024;
/** Bytes of batches that are gathered before they are written to a copy of a log. */
export const LOG_COPY_BUFFER_BYTES = 1024 * 1024;
/** Times that a backup, or a look at a directory, starts over where a node takes files away meanwhile. */
export const LOG_ATTEMPTS_MAX = 10;
/** Segments that a backup keeps open from its beginning; those are the ones that may be removed first. */
export const LOG_PINNED_MAX = 256;
/** Bytes of records that watches can go back to; older places are answered COMPACTED. */
export const WATCH_HISTORY_BYTES = 64 * 1024 * 1024;
/** Records of that history, which bounds the work of going back to its beginning. */
export const WATCH_HISTORY_RECORDS = 1024 * 1024;
/** Bytes of one piece of it; larger records have one of their own. */
export const WATCH_HISTORY_CHUNK_BYTES = 1024 * 1024;
/** Watches of one connection, and of all together. */
export const WATCHES_PER_CONNECTION_MAX = 16_384;
export const WATCHES_MAX = 1_000_000;
/** Bytes of events and their keys and values in one push frame, unless one event is larger. */
export const WATCH_FRAME_BYTES = 512 * 1024;
/** Bytes unread above which changes are not pushed to a peer: its watches' overflow policies say what is. */
export const WATCH_UNREAD_BYTES_MAX = 8 * 1024 * 1024;
/** Part of the send buffer that pushes leave to replies: above one in this many they stop. */
export const WATCH_SEND_BUFFER_SHARE = 4;
/** Bytes unread by peers with watches or coalesced for them, over all; past it a peer with anything unread overflows. */
export const WATCH_QUEUED_BYTES_MAX = 512 * 1024 * 1024;
/** Bytes of events that one connection's coalescing watches keep; what a key costs beside its event. */
export const WATCH_COALESCED_BYTES_MAX = 4 * 1024 * 1024;
export const WATCH_COALESCED_OVERHEAD_BYTES = 256;
/** Records that are read for watches in one turn of the event loop. */
export const WATCH_TURN_RECORDS = 16_384;
/** Events that are made in one turn of the event loop. */
export const WATCH_TURN_EVENTS = 512 * 1024;
/** Groups of watches that go through the history at a time; more wait for one to arrive. */
export const WATCH_COHORTS_MAX = 8;
/** Entries of a page of a watch's snapshot. */
export const WATCH_PAGE_ENTRIES = 512;
/** Bytes of entries after which no further page is read in a turn, and pages in it. */
export const WATCH_TURN_PAGE_BYTES = 64 * 1024;
export const WATCH_TURN_PAGES = 32;
/** Bytes of pages that wait for the log, over all watches; above it no further page is read. */
export const WATCH_PAGES_HELD_BYTES_MAX = 16 * 1024 * 1024;
/** Milliseconds after which a connection with watches is told again where it stands. */
export const WATCH_HEARTBEAT_MS = 3_000;
/** Steps of that time, among which connections are spread, so that not all are told at once. */
export const WATCH_HEARTBEAT_STEPS = 20;
/** Bytes written to a ring after which they are made visible within the turn; otherwise at its end. */
export const LINK_PUBLISH_BYTES = 32 * 1024;
/** Messages that are taken from one ring in a turn of the event loop. */
export const LINK_TURN_MESSAGES = 512;
/** Milliseconds that a worker waits awake for an answer of another, and how often it does not after that was in vain. */
export const LINK_SPIN_MS = 0.05;
export const LINK_SPINS_SKIPPED_MAX = 255;
/** Milliseconds between two looks whether workers have come or gone, beside those when something comes. */
export const LINK_LOOK_INTERVAL_MS = 100;
/** Bytes that wait for room in the ring to a worker; past them operations for it are answered OVERLOADED. */
export const LINK_WAITING_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that a channel has on their way to its socket before they count as unread there. */
export const CHANNEL_WINDOW_BYTES = 256 * 1024;
/** Bytes that a socket has taken of a channel after which the other side is told. */
export const CHANNEL_CREDIT_BYTES = 64 * 1024;
/** Milliseconds that a graceful stop waits for answers from other workers. */
export const FORWARDS_DEADLINE_MS = 5_000;
/** Milliseconds between two times that a worker puts its figures into shared memory and shows that it is alive. */
export const FIGURES_INTERVAL_MS = 100;
/** Milliseconds between two looks of the supervisor whether all workers are alive. */
export const HANG_CHECK_MS = 1_000;
/** Milliseconds without a sign of life of a worker that serves after which the process ends. */
export const HANG_DEADLINE_MS = 30_000;
/** Deaths of workers within DEATH_WINDOW_MS with which the process ends. */
export const DEATHS_MAX = 3;
export const DEATH_WINDOW_MS = 60_000;
/** Milliseconds that a worker which has broken down has to close its log and sockets. */
export const THREAD_END_DEADLINE_MS = 10_000;
/** Errors that nobody catches while it does so, after which it ends at once. */
export const THREAD_END_ERRORS_MAX = 100;
/** Milliseconds after which a thread that has broken down and is still there ends the process. */
export const THREAD_GONE_DEADLINE_MS = 15_000;
/** Milliseconds without a sign of life of a worker after which a stop does not wait for it. */
export const STOP_HANG_DEADLINE_MS = 10_000;
/** Milliseconds that all workers have for a graceful stop: peers, the log, and what is behind them. */
export const WORKERS_STOP_DEADLINE_MS = 60_000;
/** Milliseconds that workers have to close their sockets when the process is to end at once. */
export const ABANDON_DEADLINE_MS = 1_000;
/** Times that a free port is looked for that workers can share. */
export const SHARED_PORT_TRIES_MAX = 4;
/** Milliseconds that a request waits for a lock until a deadlock through several workers is searched for. */
export const DEADLOCK_DELAY_MS = 50;
/** Sessions whose waits are looked at in one turn, for those that have waited so long. */
export const DEADLOCK_SESSIONS_PER_LOOK_MAX = 1024;
/** Pairs of a wait and who is waited for that such a turn goes through, about; the rest waits for the next one. */
export const DEADLOCK_PAIRS_PER_LOOK_MAX = 4096;
/** Part of its graph that a search fills with those it begins with, about; the rest is for where they lead. */
export const DEADLOCK_STARTS_FILL_MAX = 1 / 4;
/** Sessions that a search asks about at a time. */
export const DEADLOCK_SESSIONS_ASKED_MAX = 64;
