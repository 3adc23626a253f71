// Byte positions of the hot frames. The schema (`rondo.fbs`) is the authority: a test compares these
// figures with the generated code. All integers are little-endian.

/** The protocol version. Peers of different versions refuse each other at hello. */
export const PROTOCOL_VERSION = 1;

export const FILE_IDENTIFIER = 0x4f444e52; // "RNDO"
export const IDENTIFIER_AT = 4;
/** Root offset and identifier: nothing shorter is a frame. */
export const FRAME_BYTES_MIN = 8;

// Slots of table Frame, as offsets within its vtable.
export const SLOT_KIND = 4;
export const SLOT_OPERATIONS = 6;
export const SLOT_RESULTS = 8;
export const SLOT_DATA = 10;
export const SLOT_HELLO = 12;
export const SLOT_WELCOME = 14;

// struct Operation
export const OPERATION_BYTES = 32;
export const OPERATION_ID = 0;
export const OPERATION_CODE = 4;
export const OPERATION_FLAGS = 5;
export const OPERATION_KEY_LENGTH = 6;
export const OPERATION_VALUE_LENGTH = 8;
export const OPERATION_LIMIT = 12;
export const OPERATION_TTL_MS = 16;
export const OPERATION_EXPECTED_REVISION = 24;

// struct Result
export const RESULT_BYTES = 32;
export const RESULT_ID = 0;
export const RESULT_STATUS = 4;
export const RESULT_FLAGS = 5;
export const RESULT_KEY_LENGTH = 6;
export const RESULT_VALUE_LENGTH = 8;
export const RESULT_COUNT = 12;
export const RESULT_REVISION = 16;
export const RESULT_TTL_MS = 24;

// Operation.flags
export const CONDITION_MASK = 0b11;
export const CONDITION_ALWAYS = 0;
export const CONDITION_IF_ABSENT = 1;
export const CONDITION_IF_REVISION = 2;
export const TTL_MASK = 0b1100;
export const TTL_NONE = 0b0000;
export const TTL_SET = 0b0100;
export const TTL_KEEP = 0b1000;
export const FLAG_KEYS_ONLY = 0b10000;

// Result.flags
export const FLAG_ENTRY = 0b01;
export const FLAG_MORE = 0b10;

// Writers lay hot frames out front to back, always the same way (readers accept any valid layout):
// root offset, identifier, vtable, table Frame, then the vector of structs, whose elements start at
// HEADER_BYTES, then the vector `data`.
export const VTABLE_AT = 8;
export const TABLE_AT = 20;
export const VECTOR_OFFSET_AT = 24;
export const DATA_OFFSET_AT = 28;
export const KIND_AT = 32;
export const VECTOR_LENGTH_AT = 36;
export const HEADER_BYTES = 40;

const U32 = 2 ** 32;

/** Writes the constant part of a hot frame: everything but the vector length and the data offset. */
export function writeHeader(view: DataView, kind: number, vectorSlot: number): void {
  view.setUint32(0, TABLE_AT, true);
  view.setUint32(IDENTIFIER_AT, FILE_IDENTIFIER, true);
  view.setUint16(VTABLE_AT, TABLE_AT - VTABLE_AT, true);
  view.setUint16(VTABLE_AT + 2, VECTOR_LENGTH_AT - TABLE_AT, true);
  view.setUint16(VTABLE_AT + SLOT_KIND, KIND_AT - TABLE_AT, true);
  view.setUint16(VTABLE_AT + SLOT_OPERATIONS, 0, true);
  view.setUint16(VTABLE_AT + SLOT_RESULTS, 0, true);
  view.setUint16(VTABLE_AT + vectorSlot, VECTOR_OFFSET_AT - TABLE_AT, true);
  view.setUint16(VTABLE_AT + SLOT_DATA, DATA_OFFSET_AT - TABLE_AT, true);
  view.setUint32(TABLE_AT, TABLE_AT - VTABLE_AT, true);
  view.setUint32(VECTOR_OFFSET_AT, VECTOR_LENGTH_AT - VECTOR_OFFSET_AT, true);
  view.setUint32(KIND_AT, kind, true);
}

/** An unsigned 64-bit integer as a double; exact below 2^53. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * U32;
}

/** A non-negative integer below 2^53 as an unsigned 64-bit one. */
export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, (value / U32) >>> 0, true);
}
