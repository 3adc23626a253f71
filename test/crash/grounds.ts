// What a crash does to the data: nothing (the process alone dies), a power cut on a disk that forgets, or
// everything (the canary: the loop must see a node that keeps nothing).

import { existsSync, mkdirSync, rmSync } from 'node:fs';
import type { Random } from '../parity/random.js';
import { UNSAFE_ACK } from './node.js';
import type { Ground } from './round.js';
import type { Loss } from './sectors.js';
import type { VolatileDisk } from './volatile-disk.js';

/** Microseconds that a sync takes longer at most: as much as a busy disk needs. */
const SYNC_US_MAX = 4_000;

/** A plain directory: the kernel outlives the process. */
export function steadyGround(directory: string): Ground {
  return {
    directory,
    environment: () => ({}),
    afterKill: () => 'the power stayed on',
  };
}

export interface VolatileOptions {
  readonly losses: readonly (Loss | 'nothing')[];
  /** The node answers before its log is durable: the canary. */
  readonly isUnsafe?: boolean;
}

export interface VolatileGround extends Ground {
  /** Unsynced changes that were lost in all. Where it stays 0, the disk was not under test. */
  readonly lost: { changes: number; names: number };
}

export function volatileGround(disk: VolatileDisk, options: VolatileOptions): VolatileGround {
  const lost = { changes: 0, names: 0 };
  return {
    lost,
    directory: disk.directory,
    environment: () => ({
      ...disk.environment({ syncUs: SYNC_US_MAX }),
      ...(options.isUnsafe === true ? { [UNSAFE_ACK]: '1' } : {}),
    }),
    afterKill(random) {
      const loss = random.pick(options.losses);
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

/** Nothing is left: a node in memory, or one whose directory is emptied. */
export function forgetfulGround(directory?: string): Ground {
  return {
    directory,
    environment: () => ({}),
    afterKill(_: Random) {
      if (directory === undefined) return 'its memory was lost';
      if (existsSync(directory)) rmSync(directory, { recursive: true });
      mkdirSync(directory);
      return 'its directory was emptied';
    },
  };
}
