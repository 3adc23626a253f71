// The client's public surface: `import { connect } from 'rondo/client'`. It runs in Node and in
// browsers and imports nothing of Node.

export type { StatusName } from '../wire/status.js';
export {
  type ConnectOptions,
  connect,
  type QueueOptions,
  type RetryOptions,
  Rondo,
  type SessionOptions,
} from './client.js';
export { type BytesCodec, bytes, type Codec, json, type TextCodec, text } from './codec.js';
export type { CallOptions } from './dispatcher.js';
export type { ElectOptions, Leader } from './election.js';
export { type ClientCode, RondoError, type RondoErrorCode } from './errors.js';
export type { Fence } from './fence.js';
export type {
  DeleteOptions,
  Entry,
  IncrementOptions,
  Kv,
  Page,
  PageOptions,
  PutOptions,
  TouchOptions,
  WriteOptions,
  Written,
} from './kv.js';
export type { Lock, LockOptions, WaitOptions } from './lock.js';
export type {
  LockHolder,
  LockInfo,
  LocksOptions,
  LockWaiter,
} from './lock-list.js';
export type { LockSet } from './lock-many.js';
export type { Replica, ReplicaEntry, ReplicaOptions, WriteMark } from './replica.js';
export type { ScanOptions } from './scan.js';
export type { PermitOptions, Semaphore } from './semaphore.js';
export type { ConnectionStatus, Welcome } from './status.js';
export { REMOVE, type Updated, type UpdateFunction, type UpdateOptions } from './update.js';
export type { Watch } from './watch.js';
export type {
  KeyEvent,
  LockEvent,
  LockGrantedEvent,
  PlaceEvent,
  PutEvent,
  RecordEvent,
  SessionEvent,
  WatchEvent,
} from './watch-events.js';
export type { WatchOptions } from './watch-options.js';
export type { Overflow } from './watch-queue.js';
export type { WebSocketConstructor, WebSocketLike } from './websocket.js';
