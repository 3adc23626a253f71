// Random histories of every kind of record, as an engine could have made them. Keys, sessions and locks get
// names that are equal, or equal what another kind's key is in whole, so that a fold which mixes spaces
// up is seen.

import fc from 'fast-check';
import { sessionText } from '../../ts/engine/coordination.js';
import { PARTITIONS, type RecordMaker, START_TIME } from './log-files.js';

/** What to do, and with which of a few things. */
export interface Step {
  readonly kind: (typeof STEPS)[number];
  readonly key: number;
  readonly size: number;
}

const STEPS = [
  'put',
  'put',
  'ephemeral',
  'ephemeral',
  'touch',
  'touch',
  'delete',
  'expire',
  'session',
  'session-end',
  'hold',
  'hold-again',
  'hold-end',
  'fence',
] as const;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...STEPS),
  key: fc.nat(12),
  size: fc.nat(60),
});

/** Segments of batches of steps. */
export const history = fc.array(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 4 }), {
  minLength: 1,
  maxLength: 5,
});

/** Makes the records of steps; only what is there is touched or removed. */
export class Historian {
  private readonly keys = new Set<string>();
  private readonly sessions = new Set<number>();
  private readonly holds = new Map<string, number[]>();

  constructor(private readonly make: RecordMaker) {
    make.isLinked = true;
  }

  recordsOf(steps: readonly Step[]): Uint8Array[] {
    return steps.flatMap((step) => this.recordOf(step) ?? []);
  }

  private recordOf({ kind, key, size }: Step): Uint8Array | undefined {
    const { make, keys, sessions } = this;
    const session = key + 1;
    const lock = nameOf(key);
    const name = size % 7 === 0 ? `${lock}\0\0\0\0\0\0\0\u0001` : lock;
    const tokens = this.holds.get(lock) ?? [];
    const token = tokens[size % Math.max(1, tokens.length)];
    const expiresAt = size % 2 === 0 ? 0 : START_TIME + size;
    switch (kind) {
      case 'put':
        keys.add(name);
        return make.put(name, 'v'.repeat(size), expiresAt);
      case 'ephemeral':
        keys.add(name);
        return make.ephemeral(name, 'e'.repeat(size), session);
      case 'touch':
        return keys.has(name) ? make.touch(name, expiresAt) : undefined;
      case 'delete':
        return keys.delete(name) ? make.delete(name) : undefined;
      case 'expire':
        return keys.delete(name) ? make.expire(name) : undefined;
      case 'session':
        sessions.add(session);
        return make.session(session, 1000 + size);
      case 'session-end':
        return sessions.delete(session) ? make.sessionEnd(session) : undefined;
      case 'hold':
        this.holds.set(lock, [...tokens, make.nextToken(lock)]);
        return make.hold(lock, session, { mode: 1, lease: expiresAt });
      case 'hold-again':
        return token === undefined
          ? undefined
          : make.hold(lock, session, { token, mode: 1, depth: 1 + size });
      case 'hold-end':
        this.holds.set(
          lock,
          tokens.filter((one) => one !== token),
        );
        return token === undefined ? undefined : make.holdEnd(lock, token);
      case 'fence':
        return make.fence(lock, size % PARTITIONS, size + 1);
    }
  }
}

function nameOf(key: number): string {
  return key % 4 === 0 ? sessionText(key + 1) : `k${'ab'.repeat(key % 3)}\u00ff${key}`;
}
