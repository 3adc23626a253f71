// The client's public surface: `import { connect } from 'rondo/client'`. It runs in Node and in
// browsers and imports nothing of Node.

export type { StatusName } from '../wire/status.js';
export {
  type ConnectOptions,
  connect,
  type QueueOptions,
  type RetryOptions,
  Rondo,
} from './client.js';
export { type BytesCodec, bytes, type Codec, json, type TextCodec, text } from './codec.js';
export type { CallOptions } from './dispatcher.js';
export { type ClientCode, RondoError, type RondoErrorCode } from './errors.js';
export type {
  DeleteOptions,
  Entry,
  IncrementOptions,
  Kv,
  Page,
  PageOptions,
  PutOptions,
  TouchOptions,
  Written,
} from './kv.js';
export type { ScanOptions } from './scan.js';
export type { ConnectionStatus, Welcome } from './status.js';
export { REMOVE, type Updated, type UpdateFunction, type UpdateOptions } from './update.js';
export type { WebSocketConstructor, WebSocketLike } from './websocket.js';
