// One key as a register: absent, or a value; and the revision of the newest effect on it, which every
// effect raises (`ts/engine/engine.ts`, 6 and 7). Keys with a ttl are outside this model.
//
// A client is not told every revision: that of an unanswered write nobody knows, and some answers
// do not carry it. So the state holds the least that the revision can be, and whether it is exactly
// that; a later answer makes it exact.

import type { Action, Operation } from './operation.js';
import type { Model } from './search.js';

export interface Register {
  /** Undefined: the key is absent. */
  readonly value: string | undefined;
  /** Of the newest effect, a deletion included; 0 before the first. */
  readonly revisionLeast: number;
  readonly isExact: boolean;
}

const ABSENT: Register = { value: undefined, revisionLeast: 0, isExact: true };
const INTEGER = /^(?:0|-?[1-9][0-9]{0,18})$/;

/** A key that is absent before the history begins. */
export const register: Model<Register, Operation> = {
  initial: ABSENT,
  step,
  identityOf: ({ value, revisionLeast, isExact }) =>
    `${revisionLeast}${isExact ? '=' : '+'}${value === undefined ? '' : `:${value}`}`,
  levelOf: ({ revisionLeast }) => revisionLeast,
  levelMaxOf,
};

/** An effect comes upon lower revisions only, and what was read under a revision not above it. */
function levelMaxOf({ action, outcome }: Operation): number {
  if (!('revision' in outcome) || outcome.revision === undefined || outcome.revision === 0) {
    return Number.POSITIVE_INFINITY;
  }
  const isEffect = outcome.status === 'ok' && action.code !== 'get';
  return isEffect ? outcome.revision - 1 : outcome.revision;
}

/**
 * The state after an operation with its outcome; undefined where that outcome can't be. The very
 * same object where nothing changes. An unknown outcome stands for the effect: its absence is the
 * search's to try.
 */
function step(state: Register, { action, outcome }: Operation): Register | undefined {
  const { value } = state;
  switch (outcome.status) {
    case 'ok':
      if (action.code !== 'get') return effect(state, action, outcome.revision, outcome.value);
      if (value === undefined || value !== outcome.value) return undefined;
      return atRevision(state, outcome.revision);
    case 'unknown':
      return action.code === 'get' ? state : effect(state, action, undefined, undefined);
    case 'not-found':
      if (action.code !== 'get' && !action.code.startsWith('delete')) return undefined;
      return value === undefined ? state : undefined;
    case 'not-a-number':
      if (action.code !== 'increment' || value === undefined) return undefined;
      return INTEGER.test(value) ? undefined : state;
    case 'condition-failed':
      return refusal(state, action, outcome.revision);
  }
}

function effect(
  state: Register,
  action: Action,
  revision: number | undefined,
  sum: string | undefined,
): Register | undefined {
  const { value, revisionLeast } = state;
  let least = revisionLeast;
  switch (action.code) {
    case 'get':
      return undefined;
    case 'put':
      return after(least, revision, action.value);
    case 'put-if-absent':
      return value === undefined ? after(least, revision, action.value) : undefined;
    case 'put-if-revision': {
      if (action.expected === 0) {
        return value === undefined ? after(least, revision, action.value) : undefined;
      }
      if (value === undefined || !canBeAt(state, action.expected)) return undefined;
      return after(action.expected, revision, action.value);
    }
    case 'delete-if-revision':
      if (!canBeAt(state, action.expected)) return undefined;
      least = action.expected;
      return value === undefined ? undefined : after(least, revision, undefined);
    case 'delete':
      return value === undefined ? undefined : after(least, revision, undefined);
    case 'increment': {
      if (value !== undefined && !INTEGER.test(value)) return undefined;
      const next = String(BigInt(value ?? '0') + action.delta);
      return sum === undefined || sum === next ? after(least, revision, next) : undefined;
    }
  }
}

/** A condition that was not met, with the present revision where it was told. */
function refusal(
  state: Register,
  action: Action,
  present: number | undefined,
): Register | undefined {
  const isAbsent = state.value === undefined;
  switch (action.code) {
    case 'put-if-absent':
      return isAbsent || present === 0 ? undefined : atRevision(state, present);
    case 'delete-if-revision':
    case 'put-if-revision': {
      const { expected } = action;
      if (isAbsent) {
        if (action.code === 'delete-if-revision' || expected === 0) return undefined;
        return present === undefined || present === 0 ? state : undefined;
      }
      if (present === expected || present === 0) return undefined;
      if (present !== undefined) return atRevision(state, present);
      return state.isExact && state.revisionLeast === expected ? undefined : state;
    }
    default:
      return undefined;
  }
}

function canBeAt({ revisionLeast, isExact }: Register, revision: number): boolean {
  return isExact ? revisionLeast === revision : revision >= revisionLeast;
}

/** The state once somebody was told its revision. */
function atRevision(state: Register, revision: number | undefined): Register | undefined {
  if (revision === undefined) return state;
  if (!canBeAt(state, revision)) return undefined;
  return state.isExact ? state : { value: state.value, revisionLeast: revision, isExact: true };
}

/** The state after an effect on one whose revision is `least` or more. */
function after(
  least: number,
  revision: number | undefined,
  value: string | undefined,
): Register | undefined {
  if (revision === undefined) return { value, revisionLeast: least + 1, isExact: false };
  return revision > least ? { value, revisionLeast: revision, isExact: true } : undefined;
}

/** A state in words. */
export function registerText({ value, revisionLeast, isExact }: Register): string {
  const revision = isExact ? `revision ${revisionLeast}` : `revision ${revisionLeast} or more`;
  return value === undefined ? `absent, ${revision}` : `${JSON.stringify(value)}, ${revision}`;
}
