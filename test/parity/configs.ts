// The settings that the parity runs go through: few and many partitions, small and large values,
// memory bounds that bite at once.

import type { EngineOptions, EngineRouting } from '../../ts/engine/engine.js';
import { type CreateEngine, OPTIONS } from '../drive/engines.js';
import { routingTable } from '../drive/routing.js';
import { type Pair, type SharedState, withLog } from './lockstep.js';
import type { Mix } from './steps.js';
import { OWN_WORKER } from './worker-steps.js';

export interface Config {
  readonly name: string;
  readonly options: EngineOptions;
  readonly mix: Mix;
}

const MIB = 1024 * 1024;
const agents = (keys: number, operationsPerFrameMax: number, durable: boolean): Mix => ({
  ...mix(keys, 64, operationsPerFrameMax, durable),
  agents: true,
});
const mix = (
  keys: number,
  valueBytesMax: number,
  operationsPerFrameMax: number,
  durable = false,
): Mix => ({ keys, valueBytesMax, operationsPerFrameMax, durable });

export const CONFIGS: readonly Config[] = [
  { name: 'one partition', options: { ...OPTIONS, partitions: 1 }, mix: mix(20, MIB, 20) },
  { name: '64 partitions', options: OPTIONS, mix: mix(120, MIB, 60) },
  {
    name: '65,536 partitions, values up to 16 bytes',
    options: { ...OPTIONS, partitions: 65_536, valueBytesMax: 16 },
    mix: mix(60, 16, 20),
  },
  {
    name: 'memory for about three keys',
    options: { ...OPTIONS, partitions: 4, memoryBytesMax: 400 },
    mix: mix(24, 64, 12),
  },
  {
    name: 'memory for a long key and a few values',
    options: { ...OPTIONS, partitions: 2, memoryBytesMax: 2500, valueBytesMax: 1000 },
    mix: mix(30, 1000, 12),
  },
  {
    name: 'values up to 5 MiB',
    options: { ...OPTIONS, partitions: 8, valueBytesMax: 5 * MIB },
    mix: mix(16, 5 * MIB, 4),
  },
  {
    name: 'one byte a value, many operations a frame',
    options: { ...OPTIONS, partitions: 16, valueBytesMax: 1 },
    mix: mix(400, 1, 3000),
  },
  {
    name: 'a log, one partition, single operations',
    options: { ...OPTIONS, partitions: 1 },
    mix: mix(30, 64, 1, true),
  },
  { name: 'a log, 64 partitions', options: OPTIONS, mix: mix(120, 64, 6, true) },
  {
    name: 'a log, 65,536 partitions, little memory',
    options: { ...OPTIONS, partitions: 65_536, memoryBytesMax: 2500 },
    mix: mix(60, 64, 4, true),
  },
  { name: 'a log, many operations a frame', options: OPTIONS, mix: mix(600, 16, 3000, true) },
  {
    name: 'agents, one partition',
    options: { ...OPTIONS, partitions: 1 },
    mix: agents(20, 4, false),
  },
  { name: 'agents, 64 partitions, a log', options: OPTIONS, mix: agents(20, 6, true) },
  {
    name: 'agents, little memory, a log',
    options: { ...OPTIONS, partitions: 4, memoryBytesMax: 4000 },
    mix: agents(20, 3, true),
  },
  {
    name: 'agents, many operations a frame',
    options: { ...OPTIONS, partitions: 16 },
    mix: agents(60, 400, false),
  },
  {
    name: 'one of three workers',
    options: OPTIONS,
    mix: { ...mix(60, 64, 20), workers: 3 },
  },
  {
    name: 'agents, one of three workers, a log',
    options: OPTIONS,
    mix: { ...agents(20, 8, true), workers: 3 },
  },
  {
    name: 'agents, one of two workers, many operations a frame',
    options: { ...OPTIONS, partitions: 16 },
    mix: { ...agents(60, 2500, false), workers: 2 },
  },
  {
    name: 'agents, one of 64 workers, little memory',
    options: { ...OPTIONS, partitions: 128, memoryBytesMax: 4000 },
    mix: { ...agents(30, 30, true), workers: 64 },
  },
];

/**
 * Both engines with these options; their hash seeds differ, since those may not show. With `workers` they are
 * OWN_WORKER of so many.
 */
export function pairOf(
  left: CreateEngine,
  right: CreateEngine,
  options: EngineOptions,
  { durable = false, workers }: Partial<Mix> = {},
): () => Pair {
  return () => {
    const shared = workers === undefined ? undefined : sharedState(options.partitions, workers);
    const of = (at: 0 | 1): EngineOptions => ({ ...options, routing: routingOf(shared, at) });
    const pair = {
      left: left(of(0)),
      right: right({ ...of(1), hashSeed: ~options.hashSeed >>> 0 }),
      shared,
    };
    return durable ? withLog(pair) : pair;
  };
}

function sharedState(partitions: number, workers: number): SharedState {
  const owners = Array.from({ length: partitions }, (_, partition) => partition % workers);
  const table = routingTable(owners, workers);
  // Of the partitions of others, something is known from the start.
  const revisions = () => BigUint64Array.from(owners, (owner) => (owner === OWN_WORKER ? 0n : 20n));
  return { table, revisions: [revisions(), revisions()] };
}

function routingOf(shared: SharedState | undefined, at: 0 | 1): EngineRouting | undefined {
  if (shared === undefined) return undefined;
  return { worker: OWN_WORKER, table: shared.table, revisions: shared.revisions[at] };
}
