// Histories for the tests of the checker: executed one operation after another on a plain map, then
// spread over overlapping intervals around the moment of each. Linearizable by construction.

import { Random } from '../parity/random.js';
import type { Action, Operation, Outcome } from './operation.js';

export interface GenerateOptions {
  readonly operations: number;
  readonly keys: number;
  readonly clients: number;
  /** Answers that get lost, one in so many; 0 = none. */
  readonly unknownOneIn?: number;
  /** Answers without a revision, one in so many; 0 = none. */
  readonly bareOneIn?: number;
}

interface Held {
  value: string | undefined;
  revision: number;
}

/** The moments of two operations that follow one another are so far apart. */
const STEP = 100;

export function generateHistory(seed: number, options: GenerateOptions): Operation[] {
  const { operations, keys, clients, unknownOneIn = 0, bareOneIn = 0 } = options;
  const random = new Random(seed);
  const held = new Map<string, Held>();
  const freeAt = new Array<number>(clients).fill(0);
  const history: Operation[] = [];
  for (let at = 1; at <= operations; at++) {
    const moment = at * STEP;
    // A client that is free before the moment; one always is, since intervals end soon enough.
    const free = freeAt.flatMap((time, client) => (time < moment ? [client] : []));
    const client = random.pick(free);
    const key = `k${random.below(keys)}`;
    const state = held.get(key) ?? { value: undefined, revision: 0 };
    held.set(key, state);
    const action = randomAction(random, state, at);
    const isLost = unknownOneIn > 0 && random.oneIn(unknownOneIn);
    const reach = STEP * Math.max(1, clients - 2);
    const called = Math.max((freeAt[client] as number) + 1, moment - random.below(reach));
    const returned = moment + random.below(reach);
    freeAt[client] = returned;
    if (isLost) {
      if (random.oneIn(2)) execute(state, action);
      const last = random.oneIn(2) ? Number.POSITIVE_INFINITY : returned;
      const outcome: Outcome = { status: 'unknown' };
      history.push({ key, client, action, outcome, called, returned: last });
      continue;
    }
    const outcome = execute(state, action);
    const isBare = bareOneIn > 0 && random.oneIn(bareOneIn);
    history.push({
      key,
      client,
      action,
      outcome: isBare && 'revision' in outcome ? { ...outcome, revision: undefined } : outcome,
      called,
      returned,
    });
    // Without this, all clients could be within an operation at once and none be free.
    if (freeAt.every((time) => time >= moment + STEP)) freeAt[client] = moment;
  }
  return history;
}

export function randomAction(random: Random, state: Held, unique: number): Action {
  const value = `v${unique}`;
  const expected = random.oneIn(2) ? state.revision : Math.max(1, state.revision - 1);
  switch (random.below(9)) {
    case 0:
      return { code: 'put-if-absent', value };
    case 1:
      return { code: 'put-if-revision', value, expected: random.oneIn(8) ? 0 : expected };
    case 2:
      return { code: 'delete' };
    case 3:
      return { code: 'delete-if-revision', expected: Math.max(1, expected) };
    case 4:
      return { code: 'increment', delta: BigInt(1 + random.below(9)) };
    case 5:
    case 6:
      return { code: 'put', value: random.oneIn(4) ? String(unique) : value };
    default:
      return { code: 'get' };
  }
}

/** One operation on one key, written without the model so that the model has something to meet. */
function execute(held: Held, action: Action): Outcome {
  const { value, revision } = held;
  const write = (next: string | undefined): Outcome => {
    held.value = next;
    held.revision++;
    const sum = action.code === 'increment' ? { value: next as string } : {};
    return { status: 'ok', revision: held.revision, ...sum };
  };
  switch (action.code) {
    case 'get':
      return value === undefined ? { status: 'not-found' } : { status: 'ok', value, revision };
    case 'put':
      return write(action.value);
    case 'put-if-absent':
      if (value !== undefined) return { status: 'condition-failed', revision };
      return write(action.value);
    case 'put-if-revision': {
      const present = value === undefined ? 0 : revision;
      if (present !== action.expected) return { status: 'condition-failed', revision: present };
      return write(action.value);
    }
    case 'delete':
      return value === undefined ? { status: 'not-found' } : write(undefined);
    case 'delete-if-revision':
      if (value === undefined) return { status: 'not-found' };
      if (revision !== action.expected) return { status: 'condition-failed', revision };
      return write(undefined);
    case 'increment': {
      if (value?.startsWith('v')) return { status: 'not-a-number' };
      return write(String(BigInt(value ?? 0) + action.delta));
    }
  }
}
