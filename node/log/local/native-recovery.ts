// The addon's part of recovery and compaction, behind the interfaces of the TypeScript one. The addon is
// passed in: `ts/engine/load.ts` loads it.

import { basename } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { NodeError } from '../../errors.js';
import type { Chain } from './batch.js';
import type { Gather } from './batch-stream.js';
import { type Compact, CompactionCancelled } from './compaction.js';
import { DataDamage, unreadable } from './data-errors.js';
import { numberOf } from './format.js';
import type { Flock } from './lock-file.js';

/** What the addon exports for it; see `core-native/src/log_recovery_api.rs`. */
export interface NativeRecoveryAddon {
  gather(bytes: Uint8Array, state: BigUint64Array): void;
  flock: Flock;
  NativeCompaction: new (
    job: Record<string, unknown>,
  ) => {
    start(): Promise<NativeCompactionAnswer>;
    cancel(): void;
  };
}

interface NativeCompactionAnswer {
  readonly status: 'done' | 'cancelled' | 'damaged' | 'io' | 'panic';
  readonly path: string;
  readonly bytes: number;
  readonly records: number;
  readonly offset: number;
  readonly expected: string;
  readonly found: string;
  readonly errno: number;
  readonly message: string;
}

const STATE_LENGTH = 9;

/** `gatherBatches` of the addon. */
export function nativeGather(addon: NativeRecoveryAddon): Gather {
  const state = new BigUint64Array(STATE_LENGTH);
  return (bytes: Uint8Array, chain: Chain) => {
    state[0] = chain.logId;
    state[1] = chain.before;
    state[2] = BigInt(chain.next);
    addon.gather(bytes, state);
    chain.before = state[1] as bigint;
    chain.next = Number(state[2]);
    return {
      consumed: Number(state[3]),
      bodyBytes: Number(state[4]),
      records: Number(state[5]),
      time: Number(state[6]),
      durable: Number(state[7]),
      ended: state[8] === 0n ? 'end' : 'invalid',
    };
  };
}

/** Compaction on a thread of the addon's. */
export function nativeCompact(addon: NativeRecoveryAddon): Compact {
  return async (job, signal) => {
    const { snapshot, ...rest } = job;
    const compaction = new addon.NativeCompaction(snapshot === undefined ? rest : { ...job });
    const cancel = () => compaction.cancel();
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel);
    try {
      const answer = await compaction.start();
      const { status, path, bytes, records, offset, expected, found, errno, message } = answer;
      switch (status) {
        case 'done':
          return { number: numberOf(basename(path), 'snap') ?? 0, path, bytes, records };
        case 'cancelled':
          throw new CompactionCancelled('the compaction was told to stop');
        case 'damaged':
          throw new DataDamage(path, offset, expected, found);
        case 'io':
          throw unreadable(path, 'compact into or from', systemError(errno, message));
        case 'panic':
          throw new NodeError('INVARIANT_BROKEN', `The compaction has stopped: ${message}`);
      }
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };
}

function systemError(errno: number, message: string): Error {
  const error: NodeJS.ErrnoException = new Error(message);
  if (errno > 0) error.code = getSystemErrorName(-errno);
  return error;
}
