// The run of mutated frames through two engines; the tests and the soak share it.

import type { Status } from '../../ts/wire/status.js';
import { Lockstep, type Pair } from './lockstep.js';
import { mutatedFrame } from './mutate.js';
import { Random } from './random.js';

const STATE_EVERY = 2000;
const PARTITIONS = 64;

/** Throws where the engines part; returns how many frames ended with which status. */
export function expectAgreement(
  make: () => Pair,
  frames: number,
  seed: number,
): Map<Status, number> {
  const { left, right } = make();
  const lockstep = new Lockstep(left, right, PARTITIONS);
  const random = new Random(seed);
  const seen = new Map<Status, number>();
  try {
    for (let index = 0; index < frames; index++) {
      const frame = mutatedFrame(random);
      const counted = left.counters.slice();
      const what =
        lockstep.frame(frame) ?? (index % STATE_EVERY === 0 ? lockstep.state() : undefined);
      if (what !== undefined) {
        throw new Error(
          `The engines part at mutated frame ${index} of RONDO_SEED=${seed}: ${what}\n` +
            Buffer.from(frame).toString('hex'),
        );
      }
      if (lockstep.returned < 0 && index % STATE_EVERY !== 0) {
        if (counted.some((count, at) => count !== left.counters[at])) {
          throw new Error(`refused frame ${index} of RONDO_SEED=${seed} was counted`);
        }
      }
      const status = Math.max(0, -lockstep.returned) as Status;
      seen.set(status, (seen.get(status) ?? 0) + 1);
      if (index % 64 === 0) {
        const advanced = lockstep.step({ kind: 'advance', elapsed: 7 });
        if (advanced !== undefined) throw new Error(`RONDO_SEED=${seed}, ${index}: ${advanced}`);
      }
    }
    return seen;
  } finally {
    left.close();
    right.close();
  }
}
