// What the node sends without being asked goes to whoever keeps the watches of a client.

import { FrameKind } from '../wire/generated/rondo/wire/frame-kind.js';
import { FILE_IDENTIFIER, FRAME_BYTES_MIN, IDENTIFIER_AT, SLOT_KIND } from '../wire/layout.js';
import { fieldAt, followOffset, vtableOf } from '../wire/walk.js';
import type { Dispatcher } from './dispatcher.js';
import type { RondoError } from './errors.js';
import type { Welcome } from './status.js';

export interface Pushes {
  /** One push frame. Returns why the connection has to end, if so. */
  receive(frame: ArrayBuffer, from: Dispatcher): RondoError | undefined;
  /** A connection is up, and nothing has been sent over it yet. */
  attached(welcome: Welcome, over: Dispatcher): void;
  /** The connection is gone; another will be tried. */
  detached(reason: RondoError, from: Dispatcher): void;
  /** The client has ended. */
  closed(reason: RondoError): void;
}

/** Whether a frame is of this kind; its events are checked by who takes it. */
export function isPush(frame: ArrayBuffer): boolean {
  const view = new DataView(frame);
  if (view.byteLength < FRAME_BYTES_MIN) return false;
  if (view.getUint32(IDENTIFIER_AT, true) !== FILE_IDENTIFIER) return false;
  const table = followOffset(view, 0);
  const vtable = table < 0 ? -1 : vtableOf(view, table);
  const kind = vtable < 0 ? -1 : fieldAt(view, table, vtable, SLOT_KIND, 1);
  return kind > 0 && view.getUint8(kind) === FrameKind.Push;
}
