// One operation for each of many items, a window of them at a time, so that any number of items
// passes through a bounded queue.

import { RondoError } from './errors.js';

/** Operations that are under way at once, at most. */
const WINDOW_MAX = 4096;

/**
 * Runs `operate` for every item, `queueMax` of them at once at most. All are run even where some fail; then the error has the code of
 * the first failure, and `cause` is an AggregateError of them all.
 */
export async function eachOf<T>(
  name: string,
  items: Iterable<T>,
  queueMax: number,
  operate: (item: T) => Promise<unknown>,
): Promise<void> {
  const failures: unknown[] = [];
  let done = 0;
  let window: Promise<unknown>[] = [];
  const finishWindow = async (): Promise<void> => {
    for (const result of await Promise.allSettled(window)) {
      if (result.status === 'fulfilled') done++;
      else failures.push(result.reason);
    }
    window = [];
  };
  try {
    for (const item of items) {
      window.push(operate(item));
      if (window.length >= Math.min(WINDOW_MAX, queueMax)) await finishWindow();
    }
  } finally {
    // Where `items` throws, too: an operation that fails later must find somebody who hears of it.
    await finishWindow();
  }
  if (failures.length === 0) return;

  const [first] = failures;
  if (!(first instanceof RondoError)) throw first;
  throw new RondoError(
    first.code,
    `${name}: ${failures.length} of ${failures.length + done} failed; the first: ${first.message}`,
    {
      cause: new AggregateError(failures),
      retryable: failures.every((error) => error instanceof RondoError && error.retryable),
      maybeApplied: failures.some((error) => error instanceof RondoError && error.maybeApplied),
    },
  );
}
