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
export const SLOT_EVENTS = 16;

// Of every struct in a columnar frame, at the same places.
export const ELEMENT_KEY_LENGTH = 6;
export const ELEMENT_VALUE_LENGTH = 8;

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

// struct Event
export const EVENT_BYTES = 40;
export const EVENT_ID = 0;
export const EVENT_KIND = 4;
export const EVENT_FLAGS = 5;
export const EVENT_KEY_LENGTH = 6;
export const EVENT_VALUE_LENGTH = 8;
export const EVENT_STATUS = 12;
export const EVENT_PARTITION = 14;
export const EVENT_REVISION = 16;
export const EVENT_PREVIOUS = 24;
export const EVENT_POSITION = 32;

// Event.flags
export const FLAG_SNAPSHOT = 0b1;

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
/** The value begins with u64 token, u16 length and name of a lock. */
export const FLAG_FENCED = 0b100000;
export const FLAG_EPHEMERAL = 0b1000000;
export const FLAG_ONCE = 0b10000000;
/** Bytes of a fence at the head of a value, before the lock's name. */
export const FENCE_HEAD_BYTES = 10;

// Operation.flags of Lock; the limit is the wait in ms.
export const LOCK_MODE_MASK = 0b11;
export const LOCK_EXCLUSIVE = 0;
export const LOCK_SHARED = 1;
export const LOCK_PERMIT = 2;
export const FLAG_REENTRANT = 0b100;
export const FLAG_UPGRADE = 0b1000;
export const WAIT_NONE = 0;
export const WAIT_FOREVER = 0xffffffff;

// Operation.flags of Watch; the limit has the classes of events.
export const FLAG_WATCH_PREFIX = 0b1;
export const OVERFLOW_MASK = 0b110;
export const OVERFLOW_GAP = 0b000;
export const OVERFLOW_COALESCE = 0b010;
export const OVERFLOW_DISCONNECT = 0b100;
export const START_MASK = 0b11000;
export const START_NOW = 0b00000;
export const START_SNAPSHOT = 0b01000;
export const START_REVISION = 0b10000;
export const START_POSITION = 0b11000;
export const FLAG_WATCH_KEYS_ONLY = 0b100000;
export const CLASS_KEYS = 0b1;
export const CLASS_LOCKS = 0b10;
export const CLASS_SESSIONS = 0b100;
export const CLASSES_ALL = 0b111;
/** Bytes of a resume token: u64 node, u32 partitions, u32 zero, u64 position. */
export const RESUME_BYTES = 24;

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

// A push frame has a longer vtable, up to SLOT_EVENTS; all behind it is in the same order.
export const PUSH_TABLE_AT = 28;
export const PUSH_VECTOR_OFFSET_AT = 32;
export const PUSH_DATA_OFFSET_AT = 36;
export const PUSH_KIND_AT = 40;
export const PUSH_VECTOR_LENGTH_AT = 44;
export const PUSH_HEADER_BYTES = 48;

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

/** The same of a push frame. */
export function writePushHeader(view: DataView, kind: number): void {
  view.setUint32(0, PUSH_TABLE_AT, true);
  view.setUint32(IDENTIFIER_AT, FILE_IDENTIFIER, true);
  // Vtable with its padding: fields that are not set are zero.
  for (let at = VTABLE_AT; at < PUSH_TABLE_AT; at += 4) view.setUint32(at, 0, true);
  view.setUint16(VTABLE_AT, SLOT_EVENTS + 2, true);
  view.setUint16(VTABLE_AT + 2, PUSH_VECTOR_LENGTH_AT - PUSH_TABLE_AT, true);
  view.setUint16(VTABLE_AT + SLOT_KIND, PUSH_KIND_AT - PUSH_TABLE_AT, true);
  view.setUint16(VTABLE_AT + SLOT_DATA, PUSH_DATA_OFFSET_AT - PUSH_TABLE_AT, true);
  view.setUint16(VTABLE_AT + SLOT_EVENTS, PUSH_VECTOR_OFFSET_AT - PUSH_TABLE_AT, true);
  view.setUint32(PUSH_TABLE_AT, PUSH_TABLE_AT - VTABLE_AT, true);
  view.setUint32(PUSH_VECTOR_OFFSET_AT, PUSH_VECTOR_LENGTH_AT - PUSH_VECTOR_OFFSET_AT, true);
  view.setUint32(PUSH_KIND_AT, kind, true);
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
