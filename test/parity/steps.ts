// Random histories for the lockstep run: a list of steps made from a seed alone, so that a failing
// one can be run again with steps left out. What depends on the state (a revision that is right, a
// cursor to go on from) is a reference that the run fills in.

import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { KEY_BYTES_MAX, SCAN_ENTRIES_MAX, TTL_MS_MAX } from '../../ts/wire/limits.js';
import { Status } from '../../ts/wire/status.js';
import {
  bytes,
  del,
  deltaBytes,
  get,
  increment,
  type Operation,
  put,
  scan,
  type Ttl,
  touch,
} from '../drive/operations.js';
import { agentOperation, sessionOf, sessionStep } from './agent-steps.js';
import type { Random } from './random.js';
import { addressed, workerStep } from './worker-steps.js';

/** An operation, and what of it the run fills in from what it has seen. */
export interface PlannedOperation {
  readonly operation: Operation;
  /** The expected revision is the key's last seen one plus this. */
  readonly near?: number;
  /** The cursor is the one that the last scan of this prefix gave. */
  readonly goOn?: boolean;
  /** Name and token are those of the hold, or the wait, of this number, where there is one. */
  readonly hold?: number;
  readonly wait?: number;
  /** The wait is one that was granted before. */
  readonly granted?: boolean;
  /** The hold is not the session's own. */
  readonly anybodys?: boolean;
  /** The write is fenced: with the hold of this number, or with this name and token. */
  readonly fence?: { readonly name: string; readonly token: number; readonly pick: number };
}

export type Step =
  | {
      readonly kind: 'frame';
      readonly elapsed: number;
      readonly operations: PlannedOperation[];
      readonly session?: number;
      readonly isForwarded?: boolean;
    }
  | { readonly kind: 'bytes'; readonly elapsed: number; readonly frame: Uint8Array }
  | { readonly kind: 'advance'; readonly elapsed: number }
  | {
      readonly kind: 'open';
      readonly elapsed: number;
      readonly session: number;
      readonly ttlMs: number;
    }
  | {
      readonly kind: 'resume';
      readonly elapsed: number;
      readonly session: number;
      readonly isForged: boolean;
    }
  /** Of engines among several; see `worker-steps.ts`. */
  | { readonly kind: 'admit'; readonly elapsed: number; readonly session: number }
  | { readonly kind: 'end-guest'; readonly elapsed: number; readonly session: number }
  | { readonly kind: 'guests'; readonly elapsed: number }
  | { readonly kind: 'blockers'; readonly elapsed: number; readonly sessions: readonly number[] }
  /** The wait of this number is refused, where there is one. */
  | {
      readonly kind: 'refuse';
      readonly elapsed: number;
      readonly session: number;
      readonly pick: number;
    }
  | {
      readonly kind: 'serving';
      readonly elapsed: number;
      readonly worker: number;
      readonly isServing: boolean;
    }
  /** The log has caught up to all but the newest `unsettled` appends; the status that refuses writes. */
  | {
      readonly kind: 'log';
      readonly elapsed: number;
      readonly unsettled: number;
      readonly writeRefusal: number;
    };

export interface Mix {
  /** Keys that operations choose from. */
  readonly keys: number;
  /** Bytes of a value at most; one in 50 is a little larger. */
  readonly valueBytesMax: number;
  readonly operationsPerFrameMax: number;
  /** Whether there is a log that becomes durable at random; without, nothing ever waits. */
  readonly durable: boolean;
  /** Whether frames are of sessions, with locks, fences and what else is theirs. */
  readonly agents?: boolean;
  /** Of how many workers the engines are one; without: the only one. */
  readonly workers?: number;
}

/** Milliseconds. */
const LEAPS = [-1000, -1, 1000, 60_000, 10_000_000];
const AGENT_LEAPS = [-1000, -1, 200, 400, 600, 1000, 1000, 2500, 60_000];

export function randomSteps(random: Random, operations: number, mix: Mix): Step[] {
  const keys = keyPool(random, mix.keys);
  const steps: Step[] = [];
  for (let made = 0; made < operations; ) {
    // Now and then time goes backwards or leaps; less far where sessions should live on.
    const leaps = mix.agents === true ? AGENT_LEAPS : LEAPS;
    const elapsed = random.oneIn(20) ? random.pick(leaps) : random.below(12);
    if (random.oneIn(15)) {
      steps.push({ kind: 'advance', elapsed });
      continue;
    }
    if (mix.agents === true && random.oneIn(8)) {
      steps.push(sessionStep(random, elapsed));
      continue;
    }
    if (mix.workers !== undefined && random.oneIn(5)) {
      steps.push(workerStep(random, elapsed, mix.workers));
      continue;
    }
    if (mix.durable && random.oneIn(6)) {
      // A number below an earlier one now and then, and nothing durable for a long while.
      const unsettled = random.oneIn(8) ? 1e9 : random.below(random.pick([1, 4, 40]));
      const writeRefusal = random.oneIn(5) ? Status.ResourceExhausted : Status.Ok;
      steps.push({ kind: 'log', elapsed, unsettled, writeRefusal });
      continue;
    }
    if (random.oneIn(60)) {
      steps.push({ kind: 'bytes', elapsed, frame: random.bytes(random.below(80)) });
      continue;
    }
    const before = steps.at(-random.between(1, 12));
    if (mix.agents === true && before?.kind === 'frame' && random.oneIn(8)) {
      // A frame again, as after a reconnect.
      steps.push({ ...before, elapsed });
      made += before.operations.length;
      continue;
    }
    const count = random.oneIn(3) ? 1 : random.between(1, mix.operationsPerFrameMax);
    const planned = Array.from({ length: count }, () => randomOperation(random, keys, mix));
    // Ascending ids, and one frame in 40 that breaks the order. Those of sessions come again.
    let id = random.below(mix.agents === true ? 40 : 1000);
    const faultAt = random.oneIn(40) ? random.below(count) : -1;
    const withIds = planned.map((plan, index) => {
      id += index === faultAt ? 0 : random.between(1, 9);
      return { ...plan, operation: { ...plan.operation, id } };
    });
    const session = mix.agents === true ? sessionOf(random) : 0;
    const isForwarded = mix.workers !== undefined && random.oneIn(3);
    steps.push({ kind: 'frame', elapsed, operations: withIds, session, isForwarded });
    made += count;
  }
  return steps;
}

function keyPool(random: Random, count: number): Uint8Array[] {
  const odd = ['a', '{t}', '{t}a', 'x{t}y', 'é', 'éa', '€', '😀', '\u0000', '{', '{}', '}{t}'];
  const pool = odd.map((key) => bytes(key));
  pool.push(bytes('m'.repeat(KEY_BYTES_MAX)), bytes(`${'m'.repeat(KEY_BYTES_MAX - 1)}n`));
  for (let at = 0; pool.length < count; at++) {
    const tag = random.oneIn(3) ? `{${random.below(4)}}` : '';
    pool.push(bytes(`k/${random.below(10)}/${tag}${at}${'-'.repeat(random.below(30))}`));
  }
  return pool.slice(0, count);
}

function randomOperation(random: Random, keys: Uint8Array[], mix: Mix): PlannedOperation {
  const ofAgents = mix.agents === true && !random.oneIn(4);
  const valid = ofAgents ? agentOperation(random, keys) : validOperation(random, keys, mix);
  const plan =
    mix.workers === undefined
      ? valid
      : { ...valid, operation: addressed(random, valid.operation, mix.workers) };
  if (!random.oneIn(25)) return plan;
  return { ...plan, operation: spoiled(random, plan.operation) };
}

function validOperation(random: Random, keys: Uint8Array[], mix: Mix): PlannedOperation {
  const key = random.pick(keys);
  const ttl: Ttl = random.oneIn(3) ? (random.oneIn(3) ? 'keep' : randomTtl(random)) : undefined;
  switch (random.below(20)) {
    case 0:
    case 1:
    case 2:
      return { operation: get(key, { keysOnly: random.oneIn(4) }) };
    case 3:
    case 4:
    case 5:
    case 6:
      return { operation: put(key, randomValue(random, mix), { ttl }) };
    case 7:
      return { operation: put(key, randomValue(random, mix), { ifAbsent: true, ttl }) };
    case 8:
    case 9:
      return {
        operation: put(key, randomValue(random, mix), { ifRevision: random.below(5), ttl }),
        near: random.pick([0, 0, 0, 1, -1]),
      };
    case 10:
    case 11:
      return { operation: del(key) };
    case 12:
      return {
        operation: del(key, { ifRevision: random.below(5) }),
        near: random.pick([0, 0, 1]),
      };
    case 13:
    case 14:
    case 15:
      return { operation: increment(key, randomDelta(random), ttl) };
    case 16:
      return { operation: touch(key, random.oneIn(3) ? undefined : randomTtl(random)) };
    default:
      return {
        operation: scan(key.subarray(0, random.below(Math.min(key.length, 6) + 1)), {
          limit: random.oneIn(10) ? SCAN_ENTRIES_MAX : random.between(1, 12),
          cursor: random.oneIn(3) ? random.pick(keys).subarray(0, random.between(0, 1024)) : '',
          keysOnly: random.oneIn(3),
        }),
        goOn: random.oneIn(2),
      };
  }
}

function randomTtl(random: Random): number {
  return random.oneIn(30) ? TTL_MS_MAX : random.between(1, random.pick([3, 40, 2000]));
}

function randomValue(random: Random, mix: Mix): Uint8Array {
  if (random.oneIn(50)) {
    return new Uint8Array(mix.valueBytesMax + random.below(3)).fill(random.below(256));
  }
  if (random.oneIn(4)) {
    return bytes(random.pick(['0', '-5', '41', '007', '-0', '9223372036854775807', ' 1', '']));
  }
  const length = random.below(Math.min(mix.valueBytesMax, random.pick([8, 70, 3000])) + 1);
  return new Uint8Array(length).fill(random.below(256));
}

function randomDelta(random: Random): bigint {
  return random.pick([1n, -1n, 0n, 10n, -1000n, 2n ** 62n, 2n ** 63n - 1n, -(2n ** 63n)]);
}

/** The operation with one thing about it wrong, or at least odd. */
function spoiled(random: Random, operation: Operation): Operation {
  const u64 = random.pick([1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]);
  switch (random.below(9)) {
    case 0:
      return { ...operation, code: random.pick([0, 7, 15, 16, 18, 19, 26, 200, 255]) };
    case 1:
      return { ...operation, flags: random.below(256) };
    case 2:
      return { ...operation, ttlMs: u64 };
    case 3:
      return { ...operation, expectedRevision: u64 };
    case 4:
      return { ...operation, limit: random.pick([0, 1, SCAN_ENTRIES_MAX + 1, 2 ** 32 - 1]) };
    case 5:
      return { ...operation, key: new Uint8Array(random.pick([0, 1025, 4000])).fill(0x6b) };
    case 6:
      return { ...operation, key: random.bytes(random.between(1, 12)) };
    case 7:
      return { ...operation, value: random.bytes(random.pick([0, 1, 7, 8, 9, 1025])) };
    default:
      return { ...operation, value: deltaBytes(u64 & (2n ** 63n - 1n)) };
  }
}

/** A step in words, for the report of a divergence. */
export function describeStep(step: Step): string {
  if (step.kind === 'advance') return `+${step.elapsed} ms: advance`;
  if (step.kind === 'log') {
    const refusal = step.writeRefusal === 0 ? '' : `, writes refused with ${step.writeRefusal}`;
    return `+${step.elapsed} ms: ${step.unsettled} appends are not durable${refusal}`;
  }
  if (step.kind === 'bytes') {
    return `+${step.elapsed} ms: frame of bytes ${Buffer.from(step.frame).toString('hex')}`;
  }
  if (step.kind === 'open') {
    return `+${step.elapsed} ms: open session ${step.session}, ttl ${step.ttlMs}`;
  }
  if (step.kind === 'resume') {
    const forged = step.isForged ? ' with a wrong secret' : '';
    return `+${step.elapsed} ms: resume session ${step.session}${forged}`;
  }
  if (step.kind !== 'frame') {
    const { kind, elapsed, ...rest } = step;
    return `+${elapsed} ms: ${kind} ${JSON.stringify(rest)}`;
  }
  const lines = step.operations.map((plan) => `    ${describeOperation(plan)}`);
  const how = step.isForwarded === true ? 'forwarded frame' : 'frame';
  return [`+${step.elapsed} ms: ${how} of session ${step.session ?? 0}`, ...lines].join('\n');
}

function describeOperation(plan: PlannedOperation): string {
  const { operation, near, goOn, hold, wait, anybodys, fence } = plan;
  const { id, code, flags, limit, ttlMs, expectedRevision, key, value } = operation;
  const parts = [`#${id} ${OperationCode[code] ?? `code ${code}`} ${brief(key)}`];
  if (value !== undefined && value.length > 0) parts.push(`value ${brief(value)}`);
  if (flags !== undefined && flags !== 0) parts.push(`flags ${flags.toString(2)}`);
  if (limit !== undefined && limit !== 0) parts.push(`limit ${limit}`);
  if (ttlMs !== undefined && ttlMs !== 0) parts.push(`ttl ${ttlMs}`);
  if (near !== undefined) parts.push(`expects last seen revision + ${near}`);
  else if (expectedRevision !== undefined && expectedRevision !== 0) {
    parts.push(`expects revision ${expectedRevision}`);
  }
  if (goOn === true) parts.push('from the last cursor');
  if (hold !== undefined) parts.push(`${anybodys === true ? 'any' : 'own'} hold ${hold}`);
  if (wait !== undefined) parts.push(`wait ${wait}`);
  if (fence !== undefined) parts.push(`fenced with hold ${fence.pick} or ${fence.token}`);
  return parts.join(', ');
}

function brief(content: Uint8Array): string {
  const shown = JSON.stringify(Buffer.from(content.subarray(0, 40)).toString('latin1'));
  return content.length > 40 ? `${shown}... (${content.length} bytes)` : shown;
}
