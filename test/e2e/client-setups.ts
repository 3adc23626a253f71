// What the end-to-end tests of the client run with: each engine alone, and nodes of several workers that the client
// reaches at a port each, or all over one connection.

import { nativeAbsence } from './client-node.js';

export interface Setup {
  readonly engine: 'native' | 'ts';
  readonly workers: number;
  readonly routing: 'auto' | 'single';
  /** Of the node. */
  readonly arguments: readonly string[];
  readonly title: string;
  readonly isSkipped: boolean;
}

const isNativeRequired = process.env.RONDO_REQUIRE_NATIVE === '1';

function setup(
  engine: Setup['engine'],
  workers: number,
  routing: Setup['routing'] = 'auto',
): Setup {
  const absence = engine === 'native' ? nativeAbsence() : undefined;
  const isSkipped = absence !== undefined && !isNativeRequired;
  const what = workers === 1 ? engine : `${engine}, ${workers} workers, routing ${routing}`;
  return {
    engine,
    workers,
    routing,
    arguments: ['--engine', engine, '--workers', String(workers)],
    title: isSkipped ? `${what} (skipped: ${absence})` : what,
    isSkipped,
  };
}

/** Each engine alone; with several workers both engines and both ways to reach them, though not all together. */
export const SETUPS: readonly Setup[] = [
  setup('ts', 1),
  setup('native', 1),
  setup('native', 2, 'single'),
  setup('ts', 4, 'auto'),
];
