// What LIST_LOCKS says of a lock, decoded from the layout in `ts/engine/coordination.ts`.

import { FLAG_ENTRY, FLAG_MORE } from '../../ts/wire/layout.js';
import { listLocks } from './coordination.js';
import type { Drive } from './drive.js';
import { MODES } from './effects.js';

export interface LockItem {
  readonly token: number;
  readonly session: number;
  readonly since: number;
  /** Of a wait: its deadline. */
  readonly lease: number;
  readonly id: number;
  readonly depth: number;
  readonly mode: (typeof MODES)[number];
  readonly upgrade: boolean;
}

export interface LockView {
  readonly name: string;
  /** The newest hold's token. */
  readonly token: number;
  readonly holds: number;
  readonly waits: number;
  readonly holdsShown: readonly LockItem[];
  readonly waitsShown: readonly LockItem[];
}

const HEAD = 16;
const ITEM = 40;

export function decodeLockView(name: string, token: number, value: Uint8Array): LockView {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const [holds, waits, holdsShown, waitsShown] = [0, 4, 8, 12].map((at) =>
    view.getUint32(at, true),
  ) as [number, number, number, number];
  const length = HEAD + (holdsShown + waitsShown) * ITEM;
  if (length !== value.length) throw new Error(`a view of ${value.length} bytes, not ${length}`);
  const item = (index: number): LockItem => {
    const at = HEAD + index * ITEM;
    const u64 = (offset: number) => Number(view.getBigUint64(at + offset, true));
    const mode = MODES[view.getUint8(at + 38)];
    if (mode === undefined || view.getUint8(at + 39) > 1) throw new Error(`item ${index}: mode`);
    return {
      token: u64(0),
      session: u64(8),
      since: u64(16),
      lease: u64(24),
      id: view.getUint32(at + 32, true),
      depth: view.getUint16(at + 36, true),
      mode,
      upgrade: view.getUint8(at + 39) === 1,
    };
  };
  const items = Array.from({ length: holdsShown + waitsShown }, (_, index) => item(index));
  return {
    name,
    token,
    holds,
    waits,
    holdsShown: items.slice(0, holdsShown),
    waitsShown: items.slice(holdsShown),
  };
}

export interface LockPage {
  readonly locks: LockView[];
  readonly more: boolean;
  readonly cursor: Uint8Array;
}

/** One page of locks; throws where the closing result does not fit its entries. */
export function lockPage(d: Drive, ...asked: Parameters<typeof listLocks>): LockPage {
  const { results } = d.run(listLocks(...asked));
  const closing = results.pop()!;
  if (closing.status !== 'OK' || closing.count !== results.length) {
    throw new Error(`${results.length} entries, then ${closing.status} ${closing.count}`);
  }
  if ((closing.flags & FLAG_ENTRY) !== 0) throw new Error('the closing result is an entry');
  const locks = results.map(({ flags, status, key, value, revision }) => {
    if ((flags & FLAG_ENTRY) === 0 || status !== 'OK') throw new Error(`no entry: ${status}`);
    return decodeLockView(Buffer.from(key).toString(), revision, value);
  });
  return { locks, more: (closing.flags & FLAG_MORE) !== 0, cursor: closing.value };
}

/** Every lock, over as many pages as it takes. */
export function allLocks(d: Drive): LockView[] {
  const locks: LockView[] = [];
  for (let cursor: Uint8Array = new Uint8Array(0), more = true; more; ) {
    const page = lockPage(d, '', { limit: 1000, cursor });
    locks.push(...page.locks);
    ({ more, cursor } = page);
  }
  return locks;
}
