// Sessions, locks, fences and watches in an engine: their part of the contract of `engine.ts`, and the
// layout of what an engine tells the node beside a reply. Both engines do all of this in the same order
// and leave the same bytes.
//
// SESSIONS. `openSession` makes one: an id that the node has drawn (1..2^53 - 1, not in use), a time to
// live and 16 bytes that stand for its secret. INPUT_SESSION names the session whose frame `execute` gets;
// 0: none. A session is due when `now >= last sign of life + ttl`. A sign of life is: being opened or
// resumed, and each `execute` of a frame that is not refused while the session is there and, when its frame
// came, was not due (where no room was left to end it, it lives on). An engine that took sessions by `fold`
// or `restore` counts the first `execute`, `advance`, `openSession` or `resumeSession` after that as their
// sign of life. Nothing of a session's deadlines is in a record but that it has ended.
//
// The end of a session, by END_SESSION or because it is due, is one step of one call: a SESSION_END record;
// an EXPIRE record for each of its ephemeral keys, in the order in which they came to be its; a HOLD_END
// record for each of its holds, in order of grant; its waits are dropped without an answer; a SESSION_ENDED
// notice; then the locks that were freed are settled (below), in that order. The room for that is bounded by
// SESSION_END_BYTES_MAX: the sum of `recordBytes` of all but the SESSION_END, of a session. What would raise
// it above is refused with SESSION_FULL.
//
// A session that has come by `fold` or `restore` may have more than that, where the logs of several workers have been
// made one. Its end takes several steps, of one call each: the first is as above, but makes only as many EXPIRE and
// HOLD_END records, in that order, as the bound allows; SESSION_ENDED is told by it alone. From then on the session
// is not there for any operation. What is left of it is a guest's (`workers.ts`), and OUTCOME_MORE is 1: the due
// work of each next call begins with one more such step, of that session whose end began first, and settles the
// locks that this has freed. None is made under a write refusal.
//
// DUE WORK. `execute` (behind the check of the frame), `advance`, `openSession` and `resumeSession` first
// move time on and go on with what earlier calls have left (ends of sessions, above; locks, below). Then they do
// what is due, earliest deadline first, and of equal ones the one that was set first: sessions end, leases of holds
// run out (HOLD_END, the lock is settled), waits time out (LOCK_TIMEOUT as a deferred answer). Deadlines are looked up anew when their turn comes: one that has moved is set again.
// Each step is done only if its records and notices have room (a session: SESSION_END_BYTES_MAX + one
// SESSION_END + 64 KiB of records and 64 KiB of notices; others: 16 KiB and 16 KiB); OUTCOME_MORE is 1 where
// something is left for want of room, or more than DUE_PER_CALL_MAX steps were due: the node then calls
// `advance` soon. Under a write refusal nothing is due but the waits' ends.
// `advance` does this before it expires keys, and expires keys while records have room for them.
//
// LOCKS. A lock is known by its name (as valid as a key; `{tag}` counts) and belongs to the partition of it.
// It has holds and a queue of waits; where both are empty it is gone. A hold has a token (the revision of
// its record, so that tokens of a lock only grow), a session, the id of the operation that asked for it, a
// mode, a depth, and a lease (0: as long as its session lives). Every grant is a hold of its own, also
// within one session: two tasks of one agent exclude each other.
// A request fits the holds when: exclusive: there are none; shared: all are shared; permit with n: all are
// permits, and fewer than n.
//
// LOCK, in this order:
//   a. flags, limit, fields (steps 1 to 3 of `engine.ts`; mode 3, bits 4 to 7, permits outside 1..PERMITS_MAX
//      in mode permit, a token of 0 with UPGRADE, REENTRANT with UPGRADE, UPGRADE in another mode than
//      exclusive, expected_revision set otherwise, a value: INVALID_ARGUMENT); the name as a key. A lease above
//      LEASE_MS_MAX: TTL_OUT_OF_RANGE (also in EXTEND).
//   b. no session: SESSION_REQUIRED; the frame's session is not there: SESSION_UNKNOWN.
//   c. a hold of this lock that the session was granted for this id: OK again. A wait of it: nothing, its answer
//      will come.
//   d. a write refusal: its status.
//   e. REENTRANT, and the session has a hold that covers the request (exclusive covers exclusive and shared,
//      else the same mode; of several the newest): depth + 1 (above LOCK_DEPTH_MAX: RESOURCE_EXHAUSTED), a HOLD
//      record, OK with its token. Its lease stays.
//   f. UPGRADE: the session's hold of that token, which is shared, or NOT_HOLDER. Exclusive already: OK. Another
//      upgrade waits: UPGRADE_CONFLICT. It is the only hold: HOLD_END of it, a new HOLD (exclusive, same depth
//      and lease, this id), OK with the new token. Else it waits, in front of the queue (g, i, j).
//   g. it fits and the queue is empty: granted. Bounds before that: SESSION_FULL, then memory as in step 6 of
//      `engine.ts` (a hold is name + HOLD_OVERHEAD_BYTES): RESOURCE_EXHAUSTED. (SESSION_FULL also before a wait.)
//   h. wait 0: LOCK_HELD with the newest hold's token as revision (0: none, only waits).
//   i. SESSION_WAITS_MAX waits of the session: RESOURCE_EXHAUSTED. A cycle: DEADLOCK.
//   j. it waits, behind all others. No result in this reply.
// Granted: a HOLD record; OK with revision = token, count = depth, ttl = the lease left (0: the session's).
//
// Settling a lock, after each release and downgrade and after a wait has gone: while the first wait fits (an
// upgrade: its own hold is the only one) its session is looked at: due: it is ended first (if there is room;
// if not the lock is settled later). Then it is granted, and the answer is deferred. Where the memory bound
// refuses the grant, the answer is RESOURCE_EXHAUSTED, where SESSION_FULL does, that. Where 16 KiB of
// records or notices have no room the lock is settled later: by the due work of the next call, before all
// deadlines, and OUTCOME_MORE is 1. So waits are granted in order, and a shared one never passes an exclusive one.
//
// UNLOCK: the hold of that token and session, or NOT_HOLDER (revision: the newest hold's token or 0). Depth
// above 1: less 1, a HOLD record. Else a HOLD_END record, and the lock is settled. OK with that record's
// revision and count = depth left.
// DOWNGRADE: such a hold, or NOT_HOLDER; exclusive becomes shared under the same token (HOLD record, settled);
// shared: OK, nothing made; permit: INVALID_ARGUMENT. Revision = token, count, ttl as after a grant.
// EXTEND: such a hold, or NOT_HOLDER; the lease becomes now + ttl_ms (0: none of its own); a HOLD record;
// revision = token, count, ttl. CANCEL_LOCK: the session's wait of that id (expected_revision): dropped, with
// LOCK_CANCELLED as deferred answer; its hold of that id: ALREADY_EXISTS with the token as revision; else
// NOT_FOUND. These four: sessions as in b, then a write refusal (not CANCEL_LOCK), then as here.
// RENEW: OK with ttl = the session's. END_SESSION: as above, OK; what follows in the frame has the session no more.
//
// LIST_LOCKS: names that begin with the prefix and are greater than the cursor, in byte order, as `scan` does
// it (limit 1..SCAN_ENTRIES_MAX, SCAN_BYTES_MAX, MORE with the last name as cursor), each an entry with the
// newest hold's token as revision and a view as value, little-endian: u32 holds, u32 waits, u32 holds shown, u32
// waits shown, then for each shown (holds in order of grant, waits in order of the queue, LOCK_ITEMS_SHOWN_MAX
// of each) 40 bytes: u64 token (a wait: 0), u64 session, u64 since when, u64 lease or deadline (0: none), u32 id
// of the operation, u16 depth (a wait: 0), u8 mode, u8 1 for an upgrade. Needs no session. A hold is "since" the
// time of its grant's record.
//
// DEADLOCK. Sessions wait for sessions: for those with holds of the lock that the request does not fit beside,
// and those with waits before it in the queue that it does not fit beside (shared beside shared and permit
// beside permit do); for an upgrade all other holds, and upgrades. Never for themselves, and one that waits for
// the asker at the very lock that is asked for closes no cycle: it waits for another task of the asker, which may
// go on. A search in depth from
// the request, over each session's waits in the order in which they began, and blockers in the order: holds in
// order of grant, then waits in order of the queue; each session is entered once. It ends without a finding
// after DEADLOCK_WAITS_EXAMINED_MAX waits, or DEADLOCK_BLOCKERS_EXAMINED_MAX holds and waits that it has looked
// at to find out whom they wait for. It is made only where the asking session has a hold or another wait.
// The answer's value names the cycle in UTF-8, a line a step, the asker first: `<session> waits for "<name>" held
// by <session>` or `... behind <session>`, sessions as 14 hexadecimal digits; after DEADLOCK_STEPS_SHOWN_MAX steps
// a line `...`. (The youngest wait of a cycle is always the one that closes it.)
//
// FENCES. A put, delete, increment or touch with FLAG_FENCED has in front of its value u64 token, u16 length, and
// the name of a lock. A head that does not fit, a token of 0 or of 2^53 or more: INVALID_ARGUMENT; a name that is
// no valid key: KEY_TOO_LONG or INVALID_KEY; both before step 4 of `engine.ts`, whose value is what follows. After
// step 5 and before step 6: where the lock is of the key's partition: a hold of that token must be there, or FENCED
// with the newest hold's token as revision (0: none). Else: FENCED with the highest token seen of that lock in
// the key's partition where that is higher, and FENCED with revision 0 where the lock's partition has not come to
// such a revision; a higher token than was seen is noted (a FENCE record of the key's partition) before the
// write goes on, whatever becomes of it; memory: name + FENCE_OVERHEAD_BYTES for a new one, RESOURCE_EXHAUSTED.
//
// EPHEMERAL. A put with FLAG_EPHEMERAL (ttl none, else INVALID_ARGUMENT; sessions as in LOCK b, before step 5)
// makes the key live with the frame's session: expiry 0 in answers; the record has RECORD_FLAG_EPHEMERAL and the
// session in place of an expiry. Each write that sets or clears an expiry ends that; one that keeps it keeps the
// session. By `fold` and `restore`, a session that is not there becomes a guest (`workers.ts`). SESSION_FULL before memory.
//
// ONCE. Put, delete, increment, touch and UNLOCK, DOWNGRADE, EXTEND with FLAG_ONCE need a session (as in LOCK b,
// before step 5; otherwise the flag is INVALID_ARGUMENT). Where the session remembers an answer to this id, that is
// the answer again: status, revision, count, ttl as it was, value; it saw the append of the first one. Remembered
// are answers of operations that made a record of their own, the newest ANSWERS_REMEMBERED_MAX of a session. The
// memory is not folded.
//
// WATCH and UNWATCH are the node's: the engine checks flags and fields (WATCH: bits 6 and 7 zero, overflow 3,
// classes outside 1..CLASSES_ALL, a value other than RESUME_BYTES with START_POSITION and 0 otherwise,
// expected_revision with another start than START_REVISION, START_REVISION with prefix, or without CLASS_KEYS,
// ttl without prefix: INVALID_ARGUMENT; with prefix ttl is an address, as in UNWATCH (`workers.ts`); key as a prefix of `scan`, without prefix as a key) and leaves a REQUEST notice. No
// result in this reply. UNWATCH: expected_revision below 2^32, else INVALID_ARGUMENT.
//
// THE GATE. A call with records: all waits for its append, as ever. In one without, RENEW, LOCK, UNLOCK, DOWNGRADE,
// EXTEND, CANCEL_LOCK saw the newest record of the partition of the lock (RENEW and any SESSION_UNKNOWN: of the
// session), LIST_LOCKS and FENCED the newest append, and so did a deferred answer. Steps 1 to 4 saw nothing.
//
// ORDER IN A REPLY. Results come in the order of the operations, but for those that have none.

/** What an engine tells the node: an answer to an operation that a session sent in an earlier frame. */
export const NOTICE_ANSWER = 1;
/** A session has ended; its connection, if any, is to be closed. */
export const NOTICE_SESSION_ENDED = 2;
/** An operation of the frame that the node carries out: Watch, Unwatch. */
export const NOTICE_REQUEST = 3;

// A notice, little-endian, a multiple of 8 bytes:
//   0  u32 bytes in all    4  u8 kind    5  three zeros    8  u64 session (a request: 0)
//  16  a struct Operation (request) or OperationResult (answer) of 32 bytes; zeros otherwise
//  48  its key and value, zeros to 8
export const NOTICE_BYTES_AT = 0;
export const NOTICE_KIND_AT = 4;
export const NOTICE_SESSION_AT = 8;
export const NOTICE_STRUCT_AT = 16;
export const NOTICE_DATA_AT = 48;

/** Steps of due work in one call. */
export const DUE_PER_CALL_MAX = 1024;
/** Room that a step of due work wants: of records beside SESSION_END_BYTES_MAX, and of notices. */
export const DUE_SESSION_ROOM_BYTES = 64 * 1024;
export const DUE_ROOM_BYTES = 16 * 1024;

/** A session's key in records: 14 hexadecimal digits, so that a dump can be read. */
export const SESSION_KEY_BYTES = 14;

/** The text of a session's id, as in records, views and messages. */
export function sessionText(session: number): string {
  return session.toString(16).padStart(SESSION_KEY_BYTES, '0');
}
