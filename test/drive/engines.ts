// The engines that tests run, and why one of them cannot be. Only an addon that was not built is a
// reason to skip; one that is broken fails the test file with its cause.

import { type Engine, EngineError, type EngineOptions } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';

export type CreateEngine = (options: EngineOptions) => Engine;

export const OPTIONS: EngineOptions = {
  partitions: 64,
  valueBytesMax: 1024 * 1024,
  memoryBytesMax: 0,
  hashSeed: 0x9e3779b9,
};

/** The native engine, or the reason why there is none. */
export function findNative(): { create: CreateEngine } | { reason: string } {
  try {
    const { create } = chooseEngine('native');
    return { create };
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== 'ADDON_ABSENT') throw error;
    if (process.env.RONDO_REQUIRE_NATIVE === '1') {
      throw new Error('RONDO_REQUIRE_NATIVE=1 and there is no native engine', { cause: error });
    }
    return { reason: error.message };
  }
}

/** Pairs to compare: both engines; where there is no addon, the TypeScript one with itself. */
export function enginePair(): { left: CreateEngine; right: CreateEngine; note: string } {
  const native = findNative();
  if ('reason' in native) {
    return {
      left: createTsEngine,
      right: createTsEngine,
      note: `ts with ts only: ${native.reason}`,
    };
  }
  return { left: createTsEngine, right: native.create, note: 'ts with native' };
}
