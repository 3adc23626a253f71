// One exclusive lock with fencing tokens, as a sequential object: free, or held under a token. Each grant has a
// higher token than all before it. A lock that a lease, or the end of a session, frees is released by nobody's
// call: the history then has a release by the node, whose interval is from the first to the last moment at
// which that can have been.

import { type Model, SEARCH_STEPS_MAX, type SearchResult, search } from './search.js';

export type LockAction =
  /** Waits as long as it takes; may come back empty-handed all the same. */
  | { readonly code: 'acquire' }
  | { readonly code: 'try' }
  | { readonly code: 'release'; readonly token: number }
  /** The node's: the holder's lease or session is over. */
  | { readonly code: 'expire'; readonly token: number };

export type LockOutcome =
  /** `token`: of a grant. */
  | { readonly status: 'ok'; readonly token?: number }
  /** A try that found it held: `token` is the holder's where it was told. */
  | { readonly status: 'held'; readonly token?: number }
  /** A release that came too late. */
  | { readonly status: 'not-holder' }
  /** Timed out, cancelled, or refused before it waited. */
  | { readonly status: 'given-up' }
  | { readonly status: 'unknown' };

export interface LockOperation {
  readonly lock: string;
  readonly client: number;
  readonly action: LockAction;
  readonly outcome: LockOutcome;
  readonly called: number;
  readonly returned: number;
}

export interface LockState {
  /** The holder's token; 0: free; undefined: held under a token that nobody was told. */
  readonly held: number | undefined;
  /** The least that the newest token can be. */
  readonly newest: number;
}

/** A lock that nobody has held before the history begins. */
export const lockModel: Model<LockState, LockOperation> = {
  initial: { held: 0, newest: 0 },
  step,
  identityOf: ({ held, newest }) => `${held ?? '?'}:${newest}`,
  levelOf: ({ newest }) => newest,
  levelMaxOf,
};

/** A grant comes upon lower tokens only, and a token is released or met before a higher one is given. */
function levelMaxOf({ action, outcome }: LockOperation): number {
  if (outcome.status === 'ok' && outcome.token !== undefined) return outcome.token - 1;
  if (outcome.status === 'held' && outcome.token !== undefined) return outcome.token;
  const isEnd = action.code === 'release' || action.code === 'expire';
  return isEnd && outcome.status === 'ok' ? action.token : Number.POSITIVE_INFINITY;
}

function step(state: LockState, { action, outcome }: LockOperation): LockState | undefined {
  const { status } = outcome;
  if (status === 'given-up') return action.code === 'acquire' ? state : undefined;
  switch (action.code) {
    case 'try':
    case 'acquire':
      if (status === 'held') {
        return action.code === 'try' ? heldBy(state, outcome.token) : undefined;
      }
      return status === 'ok' || status === 'unknown' ? grant(state, tokenOf(outcome)) : undefined;
    case 'release':
    case 'expire': {
      const { token } = action;
      const after = heldBy(state, token);
      if (status === 'not-holder') return state.held === token ? undefined : state;
      if (status === 'held' || after === undefined) return undefined;
      return { held: 0, newest: after.newest };
    }
  }
}

function tokenOf(outcome: LockOutcome): number | undefined {
  return outcome.status === 'ok' ? outcome.token : undefined;
}

function grant({ held, newest }: LockState, token: number | undefined): LockState | undefined {
  if (held !== 0) return undefined;
  if (token === undefined) return { held: undefined, newest: newest + 1 };
  return token > newest ? { held: token, newest: token } : undefined;
}

/** The state where it is held under this token, or, where the token was not told, at all. */
function heldBy(state: LockState, token: number | undefined): LockState | undefined {
  const { held, newest } = state;
  if (held === 0) return undefined;
  if (token === undefined || held === token) return state;
  return held === undefined && token >= newest ? { held: token, newest: token } : undefined;
}

export interface LockFailure {
  readonly lock: string;
  /** `undecided`: the search came to its limit. That is not a pass. */
  readonly verdict: 'not-linearizable' | 'undecided';
  /** For people: what could be ordered, and what can't follow. */
  readonly report: string;
}

/** The failures of a history of any number of locks, each searched alone. */
export function checkLocks(
  history: Iterable<LockOperation>,
  stepsMax = SEARCH_STEPS_MAX,
): LockFailure[] {
  const locks = new Map<string, LockOperation[]>();
  for (const operation of history) {
    locks.set(operation.lock, [...(locks.get(operation.lock) ?? []), operation]);
  }
  return [...locks].flatMap(([lock, operations]) => {
    const sorted = operations.toSorted((a, b) => a.called - b.called);
    const result = searchLock(sorted, stepsMax);
    const { verdict } = result;
    if (verdict === 'linearizable') return [];
    return [{ lock, verdict, report: failureText(lock, sorted, result) }];
  });
}

/** Searches one lock's operations, in the order of their calls. */
export function searchLock(
  operations: readonly LockOperation[],
  stepsMax = SEARCH_STEPS_MAX,
): SearchResult<LockState> {
  return search(lockModel, operations, isOptional, stepsMax);
}

function isOptional({ outcome }: LockOperation): boolean {
  return outcome.status === 'unknown';
}

/** Operations shown of the order before the place where it ends. */
const ORDER_SHOWN_MAX = 25;

function failureText(
  lock: string,
  operations: readonly LockOperation[],
  { verdict, steps, furthest: { order, state, next } }: SearchResult<LockState>,
): string {
  const line = (index: number) => `  #${index} ${lockOperationText(operations[index]!)}`;
  const held = state.held === 0 ? 'free' : `held under ${state.held ?? 'a token nobody knows'}`;
  return [
    `lock ${JSON.stringify(lock)}: ${verdict} after ${steps} steps, ${operations.length} operations`,
    `the longest order found has ${order.length} of them:`,
    ...order.slice(-ORDER_SHOWN_MAX).map(line),
    `it leads to: ${held}, newest token ${state.newest}`,
    'one of these would have to follow, and none can:',
    ...next.map(line),
  ].join('\n');
}

/** An operation as a line. */
export function lockOperationText(operation: LockOperation): string {
  const { called, returned, client, action, outcome } = operation;
  const until = returned === Number.POSITIVE_INFINITY ? '∞' : `${returned}`;
  const asked = 'token' in action ? `${action.code} ${action.token}` : action.code;
  const token = 'token' in outcome && outcome.token !== undefined ? ` ${outcome.token}` : '';
  return `[${called}, ${until}] client ${client}: ${asked} -> ${outcome.status}${token}`;
}
