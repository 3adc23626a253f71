// Effect records as tests look at them. Decoded and encoded here anew, byte by byte, so that the
// engines' own reader and writer are not checked with themselves.

/** Bytes before a record's key. */
export const HEADER = 40;

export const RECORD_KINDS = [
  '?',
  'put',
  'delete',
  'expire',
  'touch',
  'session',
  'session-end',
  'hold',
  'hold-end',
  'fence',
] as const;

export interface EffectRecord {
  kind: number;
  /** 0 where it is left out. */
  flags?: number;
  /** 0 where it is left out. */
  back?: number;
  partition: number;
  revision: number;
  time: number;
  expiresAt: number;
  key: Uint8Array;
  value: Uint8Array;
}

/** Throws where `bytes` is not a run of whole records. */
export function decodeRecords(bytes: Uint8Array): EffectRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: EffectRecord[] = [];
  let at = 0;
  while (at < bytes.length) {
    const valueLength = view.getUint32(at, true);
    const keyLength = view.getUint16(at + 4, true);
    const keyAt = at + HEADER;
    const valueAt = keyAt + keyLength;
    records.push({
      kind: view.getUint8(at + 6),
      flags: view.getUint8(at + 7),
      back: view.getUint32(at + 12, true),
      partition: view.getUint32(at + 8, true),
      revision: Number(view.getBigUint64(at + 16, true)),
      time: Number(view.getBigUint64(at + 24, true)),
      expiresAt: Number(view.getBigUint64(at + 32, true)),
      key: bytes.slice(keyAt, valueAt),
      value: bytes.slice(valueAt, valueAt + valueLength),
    });
    at = keyAt + Math.ceil((keyLength + valueLength) / 8) * 8;
  }
  if (at !== bytes.length) throw new Error(`the last record ends at ${at} of ${bytes.length}`);
  return records;
}

export function encodeRecords(records: readonly EffectRecord[]): Uint8Array {
  return Buffer.concat(records.map(encodeRecord));
}

function encodeRecord(record: EffectRecord): Uint8Array {
  const { key, value } = record;
  const bytes = new Uint8Array(HEADER + Math.ceil((key.length + value.length) / 8) * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, value.length, true);
  view.setUint16(4, key.length, true);
  view.setUint8(6, record.kind);
  view.setUint8(7, record.flags ?? 0);
  view.setUint32(8, record.partition, true);
  view.setUint32(12, record.back ?? 0, true);
  view.setBigUint64(16, BigInt(record.revision), true);
  view.setBigUint64(24, BigInt(record.time), true);
  view.setBigUint64(32, BigInt(record.expiresAt), true);
  bytes.set(key, HEADER);
  bytes.set(value, HEADER + key.length);
  return bytes;
}
