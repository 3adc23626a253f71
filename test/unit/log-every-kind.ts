// A short log with a record of every kind, and what tells records apart at a glance.

import { RECORD_FLAG_EPHEMERAL, RecordReader } from '../../ts/engine/records.js';
import { RECORD_KINDS } from '../drive/records.js';
import { type RecordMaker, START_TIME } from './log-files.js';

/** The session that stays. */
export const FIRST = 0x1122334455;
/** The one that ends. */
const SECOND = 2 ** 53 - 1;

/** Every kind, in an order in which an engine may make them; the touch takes `eph/b` from its session. */
export function everyKind(make: RecordMaker): Uint8Array[] {
  make.isLinked = true;
  const before = [
    make.session(FIRST, 10_000),
    make.session(SECOND, 86_400_000),
    make.put('eph/b', 'before'),
    make.ephemeral('eph/a', '1', FIRST),
    make.ephemeral('eph/b', '2', SECOND),
  ];
  const token = make.nextToken('job');
  before.push(make.hold('job', FIRST, { lease: START_TIME + 500 }));
  const shared = make.nextToken('{a}shared');
  return [
    ...before,
    make.hold('{a}shared', SECOND, { mode: 1 }),
    make.hold('job', FIRST, { token, depth: 2 }),
    make.touch('eph/b', START_TIME + 900),
    make.fence('job', 3, token),
    make.fence('job', 3, token + 4),
    make.fence('job', 2, token),
    make.hold('{a}shared', FIRST, { mode: 1 }),
    make.sessionEnd(SECOND),
    make.holdEnd('{a}shared', shared),
  ];
}

/** The kinds of records, with their keys; `+` marks an ephemeral put. */
export function shown(records: Uint8Array): string[] {
  const reader = new RecordReader(records);
  const lines: string[] = [];
  while (!reader.done) {
    if (!reader.next()) throw new Error('malformed');
    const key = Buffer.from(reader.key).toString('latin1');
    const flag = (reader.flags & RECORD_FLAG_EPHEMERAL) === 0 ? '' : '+';
    lines.push(`${RECORD_KINDS[reader.kind]}${flag} ${key.replace(/\p{Cc}/gu, '.')}`);
  }
  return lines;
}
