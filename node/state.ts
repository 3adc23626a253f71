// What a node holds: an engine, and the log whose fold it is. Opening it is recovery: everything that was
// acknowledged is there before the first connection is taken.

import { randomBytes, randomInt } from 'node:crypto';
import type { Engine, EngineOptions } from '../ts/engine/engine.js';
import { parseDurability } from './config/durability.js';
import { Counters } from './counters.js';
import type { Fabric } from './fabric.js';
import type { Compactor } from './log/local/compactor.js';
import type { Log } from './log/log.js';
import { type OpenLog, type OpenLogOptions, openLog } from './log/open-log.js';
import { History, WATCH_HISTORY } from './watch/history.js';
import { RecentRecords } from './watch/recent-records.js';

export interface StateOptions extends Omit<OpenLogOptions, 'onRecords' | 'worker'> {
  /** Of one of several workers, which have a share each of the partitions and of the memory. */
  readonly place?: Pick<Fabric, 'worker' | 'workers' | 'memory'> | undefined;
}

export interface State {
  readonly engine: Engine;
  /** Undefined: durability `none`. */
  readonly log: Log | undefined;
  /** What keeps the log short; undefined where there is none on disk. */
  readonly compactor: Compactor | undefined;
  /** 1..2^53 - 1: tells this log from every other. Unless replies wait for it, drawn anew at every start. */
  readonly node: number;
  /** The newest changes, as far as the log had them: what watches of before a restart go on with. */
  readonly history: History;
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
    memoryBytesMax: memoryShare(settings.memoryMax, options.place?.workers ?? 1),
    hashSeed: randomInt(2 ** 32),
    ...sharedMemory(options.place),
  });
  const history = new History(WATCH_HISTORY, (partition) => engine.revisionOf(partition));
  let open: OpenLog | undefined;
  try {
    if (durability.mode !== 'none') {
      const recent = new RecentRecords(WATCH_HISTORY.bytes);
      const onRecords = recent.take.bind(recent);
      const { place } = options;
      const worker = place && { index: place.worker, workers: place.workers };
      open = await openLog(engine, durability, { ...options, onRecords, worker });
      recent.pourInto(history);
    }
  } catch (error) {
    engine.close();
    throw error;
  }
  return {
    engine,
    log: open?.log,
    compactor: open?.compactor,
    node: nodeOf(open, durability.mode === 'sync'),
    history,
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

/** What one of several workers may hold; 0 has no bound. */
function memoryShare(memoryMax: number, workers: number): number {
  return memoryMax === 0 ? 0 : Math.max(1, Math.floor(memoryMax / workers));
}

function sharedMemory(place: StateOptions['place']): Pick<EngineOptions, 'routing' | 'counters'> {
  if (place === undefined) return {};
  const { worker, memory } = place;
  const block = new Float64Array(memory.figures[worker] as SharedArrayBuffer);
  return {
    routing: {
      worker,
      table: new Uint32Array(memory.routing),
      revisions: new BigUint64Array(memory.revisions),
    },
    counters: new Counters(block).operations,
  };
}

/**
 * A double holds it exactly, and it is never 0. Where changes are shown before they are durable, a crash can
 * take some back, and what comes then is another story: the log tells itself apart with each opening.
 */
function nodeOf(open: OpenLog | undefined, isWaiting: boolean): number {
  const drawn = randomBytes(8).readBigUInt64LE();
  const id = open !== undefined && isWaiting ? open.logId : drawn;
  return Number(id % BigInt(Number.MAX_SAFE_INTEGER)) + 1;
}
