// Several engines that share the partitions among them, each on a thread of its own: their part of the
// contract of `engine.ts`. An engine with `routing` reads the routing table in place and knows with it which
// worker has a partition. That does not change while it lives; whether a worker serves does, at any time, and is
// no concern of an engine: the node has the links, and answers what it cannot hand over. Without routing there is
// one worker, 0, and nothing below happens but the checks of an address.
//
// WHOSE AN OPERATION IS:
//   - SCAN, LIST_LOCKS, WATCH with a prefix: `ttl_ms` - 1 is the index of the worker. 0: where the key holds a
//     whole `{tag}`, the worker of its partition; otherwise this worker, which answers INVALID_ARGUMENT where
//     the table has more than one. A watch of this kind or a scan tells of the partitions of the worker asked.
//   - UNWATCH: `ttl_ms` - 1 is the index of the worker; 0: this one.
//   - RENEW, END_SESSION: with a session in INPUT_SESSION the worker of the session (of the partition of its
//     text), else this one.
//   - All others, unknown codes too: the worker of the partition of their key, whatever bytes it is.
// An index that the table does not have: this worker, which answers INVALID_ARGUMENT (step 2 of `engine.ts`).
// So an operation has the same place in every call for its frame, whatever came between two of them.
// With INPUT_FORWARDED set nothing is forwarded again: an operation of another worker is answered UNAVAILABLE
// with revision 0 (step 0, before all others).
//
// FORWARDING. An operation of another worker, whatever the state of that, has no result: it goes to `forwards`, in
// the call with first = 0 that gets on, and is passed over by all later ones. OUTCOME_COUNT and OUTCOME_NEXT count it like any
// other, but it needs no room in the reply: it is passed over also where that is full. The node hands each entry
// over whole, or answers all of its operations with UNAVAILABLE and revision 0.
// `forwards` has an entry for each worker that gets something, by ascending index: FORWARD_HEAD_BYTES, then a
// request frame of its operations in their order, then zeros to 8, which the entry's bytes count. Where all
// operations of the frame go to one worker it is the frame as it came; otherwise it is written as `RequestWriter`
// does, with addresses as they were. An operation that is forwarded counts in no counter here, and has seen nothing;
// one that comes forwarded and is answered UNAVAILABLE counts, and has seen nothing. All other calls leave no forwards.
//
// REVISIONS. An engine with routing stores the newest revision of each of its partitions, with release order, at
// the end of every call that moved it, before the call returns. The revision of another worker's partition, as
// FENCES in `coordination.ts` want it, is read from there.
//
// GUESTS. A session is of the worker of its partition, which alone has its SESSION record, its deadline and its
// secret. Elsewhere it is a guest: `admitSession` makes it known without a record, and it is then "there" for
// every operation, never due, until `endGuest`. What it holds is recorded as ever. `openSession` of another
// worker's partition: INVALID_ARGUMENT. OUTCOME_SESSIONS counts no guests. Fold and restore make a guest of any
// session that holds a lock or has an ephemeral key and is not there; its SESSION record, if it comes later, makes
// it a session with all of that. A SESSION_END record makes a guest of what is left, and a guest that comes
// to hold nothing, and waits for nothing, by a record of `fold` is forgotten. `endGuest` leaves EXPIRE and HOLD_END
// records, drops waits, leaves a SESSION_ENDED notice where the guest was known, and settles, as the end of a
// session does. A guest costs no memory by itself and has no secret: `resumeSession` answers SESSION_UNKNOWN,
// `openSession` ALREADY_EXISTS, RENEW a ttl of 0, and END_SESSION does what `endGuest` does. A guest with more than one
// step may end goes the same way in steps; one whose end goes on is among `guests`, `endGuest` of it does nothing
// (Ok, OUTCOME_MORE is 1), and `admitSession` answers SESSION_UNKNOWN.
// `endGuest` and `refuseWait` move time on and do no due work, so that what they make always has room; all
// but a lock that has no room for being settled. `admitSession`, `guests` and `listBlockers` leave no records.
//
// BLOCKERS. A cycle of waits through several workers is seen by none of them. `listBlockers` says whom sessions wait
// for here, as DEADLOCK in `coordination.ts` has it, for the node to search: a notice for each pair of a wait and
// a session that it waits for, waits in the order in which they began. Where an older exclusive wait of another
// session stands before it (of one millisecond: of a lower session), no upgrade, the last such one is a barrier: it
// waits for all before it itself, which are left out. So a queue of n costs n pairs, not their square, and who is waited for is still come to.

/** Ready request frames for other workers: u32 bytes of the entry, u32 worker, u32 operations, u32 frame bytes. */
export const FORWARD_HEAD_BYTES = 16;

/**
 * A session waits for another: the notice's session waits; in the struct OperationResult the id is that of its
 * Lock operation, revision the session that it waits for, ttl_ms since when it waits, flags 1 where that one only
 * waits before it; the key is the lock's name.
 */
export const NOTICE_BLOCKER = 4;
