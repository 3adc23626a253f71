// What a crash does to the data: nothing (the process alone dies), a power cut on a disk that forgets, or
// everything (the canary: the loop must see a node that keeps nothing).

import type { Ground } from './round.js';
import type { Loss } from './sectors.js';
import type { VolatileDisk } from './volatile-disk.js';

/** Microseconds that a sync takes longer at most: as much as a busy disk needs. */
const SYNC_US_MAX = 4_000;

/** A sync that fails is one of so many, in the life of a node. */
const FAIL_SYNC_MAX = 30;

/** A plain directory: the kernel outlives the process. */
export function steadyGround(directory: string): Ground {
  return {
    directory,
    begin: () => ({ environment: {}, mayFail: false }),
    afterKill: () => 'the power stayed on',
  };
}

/** Every kind of crash. */
export const LOSSES = ['everything', 'tail', 'scattered', 'nothing'] as const;

export interface VolatileOptions {
  readonly losses: readonly (Loss | 'nothing')[];
  /** For the process besides what the disk needs. */
  readonly environment?: Readonly<Record<string, string>>;
  /** In one life in so many a sync fails, and nothing that it should have covered is ever durable. */
  readonly failSyncOneIn?: number;
}

export interface VolatileGround extends Ground {
  /** Unsynced changes that were lost in all. Where it stays 0, the disk was not under test. */
  readonly lost: { changes: number; names: number };
}

export function volatileGround(disk: VolatileDisk, options: VolatileOptions): VolatileGround {
  const { losses, environment, failSyncOneIn = 0 } = options;
  const lost = { changes: 0, names: 0 };
  let mayFail = false;
  return {
    lost,
    directory: disk.directory,
    begin(random) {
      mayFail = failSyncOneIn > 0 && random.oneIn(failSyncOneIn);
      const failSync = mayFail ? random.between(1, FAIL_SYNC_MAX) : 0;
      const of = disk.environment({ syncUs: SYNC_US_MAX, failSync });
      return { environment: { ...of, ...environment }, mayFail };
    },
    afterKill(random) {
      // After a failed sync the kernel shows bytes as clean that are not on the disk. With the power on,
      // the next process would read them and no sync of its own could help; so it goes off.
      const loss = mayFail ? 'everything' : random.pick(losses);
      if (loss === 'nothing') {
        disk.settle();
        return 'the power stayed on';
      }
      const { changes, names } = disk.lose(loss, random);
      lost.changes += changes;
      lost.names += names;
      return `the disk lost ${changes} changes and ${names} names (${loss})`;
    },
  };
}

/** A node that keeps its state in memory alone. */
export function forgetfulGround(): Ground {
  return {
    directory: undefined,
    begin: () => ({ environment: {}, mayFail: false }),
    afterKill: () => 'its memory was lost',
  };
}
