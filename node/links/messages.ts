// What workers say to each other over their rings. A message has a kind, two numbers and bytes; its meaning is
// fixed here and nowhere else. Workers are of one process and one version: nothing here is checked as if it came
// from outside, and nothing is kept for later versions.
//
// A CHANNEL carries one client connection on to another worker: there it is a connection like any other. Its
// number is the connection's id at the worker that has the socket. `a` is the channel, from either side:
//   OPEN     b: session, 0: none; bytes: u64 group and 16 bytes that stand for the secret, only where there is a
//            session; then the client's name. Frames behind it wait until the session is known there.
//   FRAME    bytes: a request frame. Towards the socket: DATA, bytes: a reply or push frame.
//   CREDIT   b: bytes of DATA that the socket has taken; until then they count as unread.
//   CLOSE    b: close code; bytes: reason. From the socket's side, with b = 0: the connection is gone.
//   SETTLE   a: request. Answered with SETTLED (a: the same) behind the replies to all frames that came before it,
//             but not behind what waits for a lock.
//
// SESSIONS. The home of a session is the worker of its partition; see `../session-homes.ts`.
//   ATTACH    to the home; a: request; b: session; bytes: u64 group, 16 bytes that stand for the secret, u8 1 for a
//             hello, which takes the session over from other groups; 0 for a channel, which does not.
//   ATTACHED  a: request; b: ttl in ms; bytes: u8 status, u8 1 where no worker has lost remembered answers since the
//             session was made.
//   ENDED     from the home to all; b: session; bytes: u8 1 where its client has ended it. It has ended, and that is
//             durable: what it has elsewhere ends.
//   MOVED     from the home to all; b: session; bytes: u64 group. Connections of other groups are to be closed.
//   CHECK     to the home; bytes: f64 each, sessions that have something at the sender; those that are not there
//             are answered with ENDED.
//
// DEADLOCK; see `../deadlock-search.ts`.
//   BLOCKERS  a: request; bytes: f64 each, sessions.   EDGES  a: request; b: 1 where it was too much; bytes: notices.
//   REFUSE    a: id of the Lock operation; b: session; bytes: the text of the answer.

export enum MessageKind {
  Open = 1,
  Frame = 2,
  Data = 3,
  Credit = 4,
  Close = 5,
  Settle = 6,
  Settled = 7,
  Attach = 16,
  Attached = 17,
  Ended = 18,
  Moved = 19,
  Check = 20,
  Blockers = 32,
  Edges = 33,
  Refuse = 34,
}
