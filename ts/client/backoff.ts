// How long to wait before the next try: exponential with full jitter, so that clients which lost
// the same node do not come back all at once.
// (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)

/** Milliseconds to wait before try number `attempt` (from 1): uniform between `min` and the cap. */
export function backoffMs(attempt: number, min: number, max: number, random: () => number): number {
  const cap = Math.min(max, min * 2 ** Math.min(attempt, 52));
  return min + random() * Math.max(0, cap - min);
}
