// Makes engines for one test and closes them after it.

import { onTestFinished } from 'vitest';
import type { EngineOptions } from '../../../ts/engine/engine.js';
import { Drive } from '../../drive/drive.js';
import { type CreateEngine, OPTIONS } from '../../drive/engines.js';
import { Workers } from '../../drive/workers.js';

export function drives(create: CreateEngine): (options?: Partial<EngineOptions>) => Drive {
  return (options = {}) => {
    const engine = create({ ...OPTIONS, ...options });
    onTestFinished(() => engine.close());
    return new Drive(engine);
  };
}

/** Engines that are one node, closed after the test. */
export function nodes(
  create: CreateEngine,
): (count?: number, options?: Partial<EngineOptions>) => Workers {
  return (count = 3, options = {}) => {
    const node = new Workers(create, count, options);
    onTestFinished(() => node.close());
    return node;
  };
}

/** Time to live of the sessions that `agents` opens. */
export const TTL_MS = 10_000;

/**
 * Engines with sessions 1 to `count`. One partition unless told otherwise, so that what is made next has
 * revision `count` + 1.
 */
export function agents(
  create: CreateEngine,
): (count?: number, options?: Partial<EngineOptions>) => Drive {
  const drive = drives(create);
  return (count = 3, options = {}) => {
    const d = drive({ partitions: 1, ...options });
    for (let session = 1; session <= count; session++) {
      const { status } = d.openSession(session, TTL_MS);
      if (status !== 'OK') throw new Error(`session ${session}: ${status}`);
    }
    return d;
  };
}

/** An engine of the same options that has folded these records. */
export function foldedFrom(
  create: CreateEngine,
  records: readonly Uint8Array[],
  options: Partial<EngineOptions> = {},
): Drive {
  const d = drives(create)({ partitions: 1, ...options });
  d.engine.fold(Buffer.concat(records));
  return d;
}
