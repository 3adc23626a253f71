// Effect records of every kind in words, decoded here anew from their bytes. The brief form names what a
// test of order is about; the full one has every field.

import { HEADER } from './records.js';

export const EFFECT_KINDS = [
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
export const MODES = ['exclusive', 'shared', 'permit'] as const;

/** A run of whole records cut into single ones. */
export function splitRecords(log: Uint8Array): Uint8Array[] {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < log.length; ) {
    const content = view.getUint32(at, true) + view.getUint16(at + 4, true);
    const end = at + HEADER + Math.ceil(content / 8) * 8;
    if (end > log.length) throw new Error(`the record at ${at} ends at ${end} of ${log.length}`);
    pieces.push(log.slice(at, end));
    at = end;
  }
  return pieces;
}

export interface Effect {
  readonly kind: (typeof EFFECT_KINDS)[number];
  readonly flags: number;
  readonly partition: number;
  readonly back: number;
  readonly revision: number;
  readonly time: number;
  readonly expiresAt: number;
  /** Of a hold or a fence: the lock's name. Of a session: its id. */
  readonly name: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Of a hold. */
  readonly token: number;
}

export function effectsOf(log: Uint8Array): Effect[] {
  return splitRecords(log).map(effectOf);
}

function effectOf(record: Uint8Array): Effect {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const kind = EFFECT_KINDS[view.getUint8(6)] ?? '?';
  const keyEnd = HEADER + view.getUint16(4, true);
  const isHold = kind === 'hold' || kind === 'hold-end';
  const nameEnd = keyEnd - (isHold ? 8 : kind === 'fence' ? 4 : 0);
  const named = Buffer.from(record.subarray(HEADER, nameEnd));
  const isSession = kind === 'session' || kind === 'session-end';
  return {
    kind,
    flags: view.getUint8(7),
    partition: view.getUint32(8, true),
    back: view.getUint32(12, true),
    revision: Number(view.getBigUint64(16, true)),
    time: Number(view.getBigUint64(24, true)),
    expiresAt: Number(view.getBigUint64(32, true)),
    name: isSession ? `${Number.parseInt(named.toString(), 16)}` : named.toString(),
    key: record.slice(HEADER, keyEnd),
    value: record.slice(keyEnd, keyEnd + view.getUint32(0, true)),
    token: isHold ? Number(view.getBigUint64(nameEnd)) : 0,
  };
}

/** `hold a@7`, `hold-end a@7`, `session 1`, `expire k`, `fence a=7`. */
export function effectText({ kind, name, token, value }: Effect): string {
  if (kind === 'hold' || kind === 'hold-end') return `${kind} ${name}@${token}`;
  if (kind === 'fence') return `fence ${name}=${Buffer.from(value).readBigUInt64LE()}`;
  return `${kind} ${name}`;
}

/** Every field, in words. */
export function effectDetail(effect: Effect): string {
  const { kind, partition, revision, time, expiresAt, back, flags } = effect;
  const parts = [effectText(effect), ...valueParts(effect)];
  parts.push(`partition=${partition} revision=${revision} time=${time}`);
  if (flags !== 0) parts.push(`session=${expiresAt}`);
  else if (expiresAt !== 0) parts.push(`${kind === 'hold' ? 'lease' : 'expires'}=${expiresAt}`);
  if (back !== 0) parts.push(`back=${back}`);
  return parts.join(' ');
}

function valueParts({ kind, value }: Effect): string[] {
  const content = Buffer.from(value);
  if (kind === 'session') {
    return [`ttl=${content.readBigUInt64LE()} digest=${content.subarray(8).toString('hex')}`];
  }
  if (kind !== 'hold') return [];
  const mode = MODES[content[22] as number] ?? `mode ${content[22]}`;
  return [
    `session=${content.readBigUInt64LE(0)} since=${content.readBigUInt64LE(8)}`,
    `id=${content.readUInt32LE(16)} depth=${content.readUInt16LE(20)} ${mode}`,
  ];
}
