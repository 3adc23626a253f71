// The snapshot of a log, made naively: of each thing the newest record that says what is, in the order that
// `restore` takes.

import { EFFECT_KINDS, splitRecords } from './effects.js';
import { HEADER } from './records.js';

const SPACES = ['keys', 'sessions', 'holds', 'fences'];
const SPACE_OF: Record<string, number> = {
  put: 0,
  touch: 0,
  delete: 0,
  expire: 0,
  session: 1,
  'session-end': 1,
  hold: 2,
  'hold-end': 2,
  fence: 3,
};

/** Records, each for itself, in order. */
export function snapshotOf(log: Uint8Array): Uint8Array[] {
  const spaces = SPACES.map(() => new Map<string, Uint8Array>());
  for (const record of splitRecords(log)) {
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
    const kind = EFFECT_KINDS[view.getUint8(6)] ?? '?';
    const space = spaces[SPACE_OF[kind] as number] as Map<string, Uint8Array>;
    const key = Buffer.from(record.subarray(HEADER, HEADER + view.getUint16(4, true)));
    const name = key.toString('hex');
    if (kind === 'touch') {
      const held = space.get(name);
      if (held === undefined) continue;
      // Revision, time and expiry are the touch's; the key is ephemeral no more.
      const touched = held.slice();
      touched.set(record.subarray(16, HEADER), 16);
      touched[7] = 0;
      space.set(name, touched);
    } else if (['delete', 'expire', 'session-end', 'hold-end'].includes(kind)) {
      space.delete(name);
    } else {
      space.set(name, record);
    }
  }
  return spaces.flatMap((space) =>
    [...space].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => record),
  );
}
