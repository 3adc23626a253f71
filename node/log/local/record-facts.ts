// What records say, as people are shown it and as a check sees it; their bytes: `ts/engine/records.ts`. The
// digest of a session's secret is given to nobody.

import { sessionText } from '../../../ts/engine/coordination.js';
import {
  RECORD_DELETE,
  RECORD_EXPIRE,
  RECORD_FENCE,
  RECORD_HOLD,
  RECORD_HOLD_END,
  RECORD_PUT,
  RECORD_SESSION,
  RECORD_SESSION_END,
  RECORD_TOUCH,
  type RecordReader,
  SPACE_HOLDS,
  SPACE_SESSIONS,
  spaceOf,
  suffixBytesOf,
} from '../../../ts/engine/records.js';
import { readU64 } from '../../../ts/wire/layout.js';
import { INTEGER_LIMIT } from '../../../ts/wire/limits.js';
import { partitionOfKey } from '../../../ts/wire/partition.js';

const KINDS: Readonly<Record<number, string>> = {
  [RECORD_PUT]: 'put',
  [RECORD_DELETE]: 'delete',
  [RECORD_EXPIRE]: 'expire',
  [RECORD_TOUCH]: 'touch',
  [RECORD_SESSION]: 'session',
  [RECORD_SESSION_END]: 'session-end',
  [RECORD_HOLD]: 'hold',
  [RECORD_HOLD_END]: 'hold-end',
  [RECORD_FENCE]: 'fence',
};
/** What a session's id looks like as a key; ids are 1 to 2^53 - 1. */
const SESSION_KEY = /^(?!0{14})[01][0-9a-f]{13}$/;
/** By the number that stands for them. */
const MODES = ['exclusive', 'shared', 'permit'] as const;

export interface HoldFacts {
  /** The text of its id. */
  readonly session: string;
  /** Milliseconds since 1970. */
  readonly grantedAt: number;
  /** Id of the operation that asked for it. */
  readonly operation: number;
  readonly depth: number;
  readonly mode: string;
}

/** The word for a kind, which is known. */
export function kindName(kind: number): string {
  return KINDS[kind] ?? '';
}

/** What a record is named by: a key, the text of a session's id, the name of a lock. */
export function nameOf(record: RecordReader): Uint8Array {
  const { key } = record;
  return key.subarray(0, key.length - suffixBytesOf(record.kind));
}

/** The token of a hold, as its key says it. */
export function tokenOf({ key }: RecordReader): number {
  const view = viewOf(key.subarray(key.length - 8));
  return view.getUint32(0) * 2 ** 32 + view.getUint32(4);
}

export function holdFactsOf({ value }: RecordReader): HoldFacts {
  const view = viewOf(value);
  const mode = view.getUint8(22);
  return {
    session: sessionText(readU64(view, 0)),
    grantedAt: readU64(view, 8),
    operation: view.getUint32(16, true),
    depth: view.getUint16(20, true),
    mode: MODES[mode] ?? `mode ${mode}`,
  };
}

export function sessionTtlMsOf({ value }: RecordReader): number {
  return readU64(viewOf(value), 0);
}

/** The highest token of a lock that was seen in the partition. */
export function fenceTokenOf({ value }: RecordReader): number {
  return readU64(viewOf(value), 0);
}

/**
 * Whether what a record of `bytes` says of a session, hold or fence is something that one can be, and it
 * stands in the partition that its key says: what an engine asks of it before it is folded.
 */
export function contentFits(record: RecordReader, bytes: Uint8Array, partitions: number): boolean {
  const { kind, keyAt, valueAt, partition } = record;
  if (kind === RECORD_FENCE) {
    const said = viewOf(record.key).getUint32(valueAt - keyAt - 4, true);
    return said === partition && partition < partitions && isCount(fenceTokenOf(record));
  }
  const nameEnd = valueAt - suffixBytesOf(kind);
  if (partitionOfKey(bytes, keyAt, nameEnd, partitions) !== partition) return false;
  const space = spaceOf(kind);
  if (space === SPACE_SESSIONS) {
    const isId = SESSION_KEY.test(latin1(record.key));
    return isId && (kind !== RECORD_SESSION || isCount(sessionTtlMsOf(record)));
  }
  if (space !== SPACE_HOLDS) return true;
  return isCount(tokenOf(record)) && (kind !== RECORD_HOLD || holdFits(record.value));
}

function holdFits(value: Uint8Array): boolean {
  const view = viewOf(value);
  if (!isCount(readU64(view, 0)) || readU64(view, 8) >= INTEGER_LIMIT) return false;
  return view.getUint16(20, true) > 0 && view.getUint8(22) < MODES.length && value[23] === 0;
}

function isCount(figure: number): boolean {
  return figure > 0 && figure < INTEGER_LIMIT;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
