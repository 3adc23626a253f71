// What a node holds: an engine, and the log whose fold it is. Opening it is recovery: everything that was
// acknowledged is there before the first connection is taken.

import { randomBytes, randomInt } from 'node:crypto';
import type { Engine } from '../ts/engine/engine.js';
import { parseDurability } from './config/durability.js';
import type { Compactor } from './log/local/compactor.js';
import type { Log } from './log/log.js';
import { type OpenLog, type OpenLogOptions, openLog } from './log/open-log.js';

export type StateOptions = OpenLogOptions;

export interface State {
  readonly engine: Engine;
  /** Undefined: durability `none`. */
  readonly log: Log | undefined;
  /** What keeps the log short; undefined where there is none on disk. */
  readonly compactor: Compactor | undefined;
  /** 1..2^53 - 1: tells this log from every other. Without one on disk, drawn anew at every start. */
  readonly node: number;
  /** Whether replies wait for the log. */
  readonly isWaiting: boolean;
  /** Makes durable what the log has accepted, and frees everything. */
  close(): Promise<void>;
}

/** Rejects with `LogError` or `EngineError`, and leaves nothing behind. */
export async function openState(options: StateOptions): Promise<State> {
  const { settings } = options;
  const durability = parseDurability(settings.durability) ?? { mode: 'sync' };
  const engine = options.engine.create({
    partitions: settings.partitions,
    valueBytesMax: settings.valueBytesMax,
    memoryBytesMax: settings.memoryMax,
    hashSeed: randomInt(2 ** 32),
  });
  let open: OpenLog | undefined;
  try {
    if (durability.mode !== 'none') open = await openLog(engine, durability, options);
  } catch (error) {
    engine.close();
    throw error;
  }
  return {
    engine,
    log: open?.log,
    compactor: open?.compactor,
    node: nodeOf(open?.logId ?? randomBytes(8).readBigUInt64LE()),
    isWaiting: durability.mode === 'sync',
    async close() {
      try {
        await open?.close();
      } finally {
        engine.close();
      }
    },
  };
}

/** Of the id of a log: a double holds it exactly, and it is never 0. */
function nodeOf(logId: bigint): number {
  return Number(logId % BigInt(Number.MAX_SAFE_INTEGER)) + 1;
}
