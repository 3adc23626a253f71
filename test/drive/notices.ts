// What an engine tells the node beside a reply, decoded byte by byte from the layout in
// `ts/engine/coordination.ts`.

import { statusName } from '../../ts/wire/status.js';
import type { Result } from './drive.js';

export type Notice =
  | { readonly kind: 'answer'; readonly session: number; readonly result: Result }
  | { readonly kind: 'ended'; readonly session: number }
  | { readonly kind: 'request'; readonly session: number; readonly operation: Asked }
  | { readonly kind: 'blocker'; readonly session: number; readonly result: Result };

/** An operation as the node gets to see it. */
export interface Asked {
  readonly id: number;
  readonly code: number;
  readonly flags: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly limit: number;
  readonly ttlMs: number;
  readonly expectedRevision: number;
}

const STRUCT = 16;
const DATA = 48;

/** Throws where `bytes` is not a run of whole notices. */
export function decodeNotices(bytes: Uint8Array): Notice[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const notices: Notice[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < DATA || length % 8 !== 0 || at + length > bytes.length) {
      throw new Error(`a notice of ${length} bytes at ${at} of ${bytes.length}`);
    }
    notices.push(decodeNotice(bytes.slice(at, at + length)));
    at += length;
  }
  return notices;
}

function decodeNotice(bytes: Uint8Array): Notice {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = view.getUint8(4);
  if (bytes.subarray(5, 8).some((byte) => byte !== 0)) throw new Error('a notice: bytes 5 to 7');
  const session = Number(view.getBigUint64(8, true));
  const u64 = (at: number) => Number(view.getBigUint64(STRUCT + at, true));
  const u32 = (at: number) => view.getUint32(STRUCT + at, true);
  const keyEnd = DATA + view.getUint16(STRUCT + 6, true);
  const valueEnd = keyEnd + u32(8);
  const padded = Math.ceil(valueEnd / 8) * 8;
  if (padded !== bytes.length || bytes.subarray(valueEnd).some((byte) => byte !== 0)) {
    throw new Error(`a notice of ${bytes.length} bytes that ends at ${valueEnd}`);
  }
  const shared = {
    id: u32(0),
    flags: view.getUint8(STRUCT + 5),
    key: bytes.slice(DATA, keyEnd),
    value: bytes.slice(keyEnd, valueEnd),
  };
  const fourth = view.getUint8(STRUCT + 4);
  if (kind === 1 || kind === 4) {
    const status = statusName(fourth);
    const result = { ...shared, status, count: u32(12), revision: u64(16), ttlMs: u64(24) };
    return { kind: kind === 1 ? 'answer' : 'blocker', session, result };
  }
  if (kind === 3) {
    if (session !== 0) throw new Error(`a request of session ${session}`);
    const fields = { limit: u32(12), ttlMs: u64(16), expectedRevision: u64(24) };
    return { kind: 'request', session, operation: { ...shared, code: fourth, ...fields } };
  }
  if (kind !== 2) throw new Error(`a notice of kind ${kind}`);
  if (bytes.subarray(STRUCT).some((byte) => byte !== 0)) throw new Error('an end with content');
  return { kind: 'ended', session };
}

/** `OK 7`: status and revision. */
function brief({ status, revision }: Result): string {
  return `${status} ${revision}`;
}

/** `1#5 OK 7` an answer to session 1; `1 ended`; `request #5`; `1#5 waits for 2 at a since 7`. */
export function noticeText(notice: Notice): string {
  if (notice.kind === 'ended') return `${notice.session} ended`;
  if (notice.kind === 'request') return `request #${notice.operation.id}`;
  const { session, result } = notice;
  if (notice.kind === 'answer') return `${session}#${result.id} ${brief(result)}`;
  const how = result.flags === 0 ? 'for' : 'behind';
  const name = Buffer.from(result.key).toString('latin1');
  return `${session}#${result.id} waits ${how} ${result.revision} at ${name} since ${result.ttlMs}`;
}
