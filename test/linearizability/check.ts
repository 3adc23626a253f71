// Is a history over many keys linearizable? Keys are independent objects, and a history is
// linearizable exactly when that of each object is (M. Herlihy and J. Wing, "Linearizability: A
// Correctness Condition for Concurrent Objects", TOPLAS 12, 1990, theorem 1: locality). So each key
// is searched alone.

import type { Operation } from './operation.js';
import { type Register, register } from './register.js';
import { failureText } from './report.js';
import { SEARCH_STEPS_MAX, type SearchResult, search } from './search.js';

/** Steps of the second search, which only looks for the longest order to report. */
const REPORT_STEPS_MAX = 100_000;

export interface KeyFailure {
  readonly key: string;
  /** `undecided`: the search came to its limit. That is not a pass. */
  readonly verdict: 'not-linearizable' | 'undecided';
  /** For people: the operations, how far they can be ordered, and what can't follow. */
  readonly report: string;
}

export interface HistoryVerdict {
  readonly keys: number;
  readonly operations: number;
  readonly steps: number;
  readonly failures: readonly KeyFailure[];
}

/** The operations of each key, without reads that got no answer: those say nothing. */
export function byKey(history: Iterable<Operation>): Map<string, Operation[]> {
  const keys = new Map<string, Operation[]>();
  for (const operation of history) {
    if (operation.outcome.status === 'unknown' && operation.action.code === 'get') continue;
    const of = keys.get(operation.key);
    if (of === undefined) keys.set(operation.key, [operation]);
    else of.push(operation);
  }
  return keys;
}

/** Searches one key's operations, in the order of their calls. */
export function searchKey(
  operations: readonly Operation[],
  stepsMax = SEARCH_STEPS_MAX,
): SearchResult<Register> {
  return search(register, operations, isLost, stepsMax);
}

export function checkHistory(
  history: Iterable<Operation>,
  stepsMax = SEARCH_STEPS_MAX,
): HistoryVerdict {
  const failures: KeyFailure[] = [];
  let steps = 0;
  let operations = 0;
  const keys = byKey(history);
  for (const [key, unsorted] of keys) {
    const sorted = unsorted.sort((a, b) => a.called - b.called);
    const result = searchKey(sorted, stepsMax);
    steps += result.steps;
    operations += sorted.length;
    const { verdict } = result;
    if (verdict === 'linearizable') continue;
    failures.push({ key, verdict, report: failureText(key, sorted, withLongest(sorted, result)) });
  }
  return { keys: keys.size, operations, steps, failures };
}

/** A search that gives up where revisions show that all is lost stops early; go as far as one can. */
function withLongest(
  operations: readonly Operation[],
  result: SearchResult<Register>,
): SearchResult<Register> {
  const blind = { ...register, levelMaxOf: () => Number.POSITIVE_INFINITY };
  const { furthest } = search(blind, operations, isLost, REPORT_STEPS_MAX);
  const isLonger = furthest.order.length > result.furthest.order.length;
  return isLonger ? { ...result, furthest } : result;
}

function isLost({ outcome }: Operation): boolean {
  return outcome.status === 'unknown';
}
