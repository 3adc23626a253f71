// What request, reply and push frames have in common: a vector of structs, each with a key length and a
// value length at the same place, and one blob.

import {
  FILE_IDENTIFIER,
  FRAME_BYTES_MIN,
  IDENTIFIER_AT,
  SLOT_DATA,
  SLOT_EVENTS,
  SLOT_HELLO,
  SLOT_KIND,
  SLOT_OPERATIONS,
  SLOT_RESULTS,
  SLOT_WELCOME,
} from './layout.js';
import { fieldAt, followOffset, vectorAt, vtableOf } from './walk.js';

const VECTOR_SLOTS = [SLOT_OPERATIONS, SLOT_RESULTS, SLOT_EVENTS];

/** Where the parts of a checked frame stand, in bytes from its start. */
export class Columns {
  elementsAt = 0;
  count = 0;
  dataAt = 0;
  dataBytes = 0;
}

/**
 * Finds the vector at `slot` and the blob of a frame of this kind. False where the frame is not valid
 * or carries what its kind does not.
 */
export function findColumns(
  view: DataView,
  kind: number,
  slot: number,
  elementBytes: number,
  columns: Columns,
): boolean {
  if (view.byteLength < FRAME_BYTES_MIN) return false;
  if (view.getUint32(IDENTIFIER_AT, true) !== FILE_IDENTIFIER) return false;

  const table = followOffset(view, 0);
  const vtable = table < 0 ? -1 : vtableOf(view, table);
  if (vtable < 0) return false;

  const kindField = fieldAt(view, table, vtable, SLOT_KIND, 1);
  if (kindField <= 0 || view.getUint8(kindField) !== kind) return false;
  for (const other of VECTOR_SLOTS) {
    if (other !== slot && fieldAt(view, table, vtable, other, 4) !== 0) return false;
  }
  if (fieldAt(view, table, vtable, SLOT_HELLO, 4) !== 0) return false;
  if (fieldAt(view, table, vtable, SLOT_WELCOME, 4) !== 0) return false;

  const elementsField = fieldAt(view, table, vtable, slot, 4);
  const dataField = fieldAt(view, table, vtable, SLOT_DATA, 4);
  if (elementsField <= 0 || dataField <= 0) return false;
  const elementsAt = vectorAt(view, elementsField, elementBytes);
  const dataAt = vectorAt(view, dataField, 1);
  if (elementsAt < 0 || dataAt < 0) return false;

  columns.elementsAt = elementsAt;
  columns.count = view.getUint32(elementsAt - 4, true);
  columns.dataAt = dataAt;
  columns.dataBytes = view.getUint32(dataAt - 4, true);
  return true;
}
