// The plain check, beside the search for an order: is what anybody was shown before a crash still there
// after it? It knows less (no order, no unanswered writes) and says at once what is missing.

import type { Operation } from '../linearizability/operation.js';

/** What is missing of one key: `operations` in order of their ends, `restarted` when the node was. */
export function missing(operations: readonly Operation[], restarted: number): string[] {
  const key = operations[0]?.key;
  let shown: Operation | undefined;
  for (const operation of operations) {
    if (operation.returned > restarted) continue;
    if (revisionOf(operation) > (shown === undefined ? 0 : revisionOf(shown))) shown = operation;
  }
  const read = operations.find(
    ({ called, action, outcome }) =>
      called > restarted && action.code === 'get' && outcome.status !== 'unknown',
  );
  if (shown === undefined || read === undefined) return [];
  const was = `revision ${revisionOf(shown)} was shown at ${shown.returned} (${shown.action.code})`;
  if (read.outcome.status === 'not-found') {
    const couldDelete = operations.some(
      ({ action, outcome, returned }) =>
        action.code.startsWith('delete') &&
        (outcome.status === 'ok' || outcome.status === 'unknown') &&
        returned > (shown as Operation).called,
    );
    if (couldDelete) return [];
    return [`${key}: ${was}, nobody deleted it, and after the restart there is nothing`];
  }
  const present = revisionOf(read);
  if (present >= revisionOf(shown)) return [];
  return [`${key}: ${was}, and after the restart the key is at revision ${present}`];
}

/** The revision that an operation was told of its key; 0 for none. */
function revisionOf({ outcome }: Operation): number {
  return 'revision' in outcome ? (outcome.revision ?? 0) : 0;
}
