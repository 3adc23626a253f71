// Read, change, compare and set: the way to change a value that others change too. Nothing is lost,
// because a put goes through only at the revision that was read.

import { backoffMs } from './backoff.js';
import type { CallOptions } from './dispatcher.js';
import { invalidArgument, RondoError } from './errors.js';
import type { Entry, Kv, WriteOptions } from './kv.js';

/** What the function of `kv.update` returns to have the key deleted. */
export const REMOVE: unique symbol = Symbol('rondo.remove');

export interface UpdateOptions extends WriteOptions {
  /** Rounds before the update fails with CONTENTION. */
  readonly attempts?: number | undefined;
  /** Milliseconds to live from this update on; otherwise the key's expiry stays as it is. */
  readonly ttlMs?: number | undefined;
}

export interface Updated<T> {
  /** As it is now; undefined where the key does not exist. */
  readonly value: T | undefined;
  /** Of the last change, whoever made it; 0 where the key does not exist. */
  readonly revision: number;
  /** Whether this update changed anything. */
  readonly changed: boolean;
}

const UPDATE_ATTEMPTS_DEFAULT = 64;
const UPDATE_DELAY_MS_MIN = 0.5;
const UPDATE_DELAY_MS_MAX = 50;

/** The next value; undefined leaves the key as it is, `REMOVE` deletes it. */
export type UpdateFunction<T> = (
  value: T | undefined,
  entry: Entry<T> | undefined,
) => T | undefined | typeof REMOVE | Promise<T | undefined | typeof REMOVE>;

export async function updateKey<T>(
  kv: Kv<T>,
  key: string,
  change: UpdateFunction<T>,
  options: UpdateOptions,
  timeoutMs: number,
  random: () => number,
): Promise<Updated<T>> {
  const { attempts = UPDATE_ATTEMPTS_DEFAULT, signal, ttlMs, fence } = options;
  if (!(attempts >= 1)) throw invalidArgument('attempts is a number of at least 1');
  const deadline = performance.now() + timeoutMs;
  const within = (): CallOptions => ({
    signal,
    timeoutMs: Math.max(1, deadline - performance.now()),
  });

  for (let attempt = 1; ; attempt++) {
    const entry = await kv.entry(key, within());
    const changed = change(entry?.value, entry);
    const next = isPromise(changed) ? await inTime(key, changed, within()) : changed;
    if (next === undefined || (next === REMOVE && entry === undefined)) {
      return { value: entry?.value, revision: entry?.revision ?? 0, changed: false };
    }
    let conflict: RondoError;
    try {
      if (next === REMOVE) {
        const ifRevision = entry?.revision;
        const isDeleted = await kv.delete(key, { ...within(), ifRevision, fence });
        return { value: undefined, revision: 0, changed: isDeleted };
      }
      const condition = entry === undefined ? { ifAbsent: true } : { ifRevision: entry.revision };
      const ttl = ttlMs === undefined ? { keepTtl: true } : { ttlMs };
      const { revision } = await kv.put(key, next, { ...within(), ...condition, ...ttl, fence });
      return { value: next, revision, changed: true };
    } catch (error) {
      if (!isConflict(error)) throw error;
      conflict = error;
    }
    if (attempt >= attempts || performance.now() >= deadline) {
      throw new RondoError(
        'CONTENTION',
        `update ${JSON.stringify(key)}: others changed the key ${attempt} times; ` +
          'allow more attempts, or split the key',
        { cause: conflict },
      );
    }
    const delayMs = backoffMs(attempt, UPDATE_DELAY_MS_MIN, UPDATE_DELAY_MS_MAX, random);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}

/** What the caller's function promises, or an error where it takes too long or is given up. */
async function inTime<T>(key: string, promise: Promise<T>, options: CallOptions): Promise<T> {
  const { signal, timeoutMs } = options;
  const subject = `update ${JSON.stringify(key)}`;
  let stop = (): void => undefined;
  const end = new Promise<never>((_, reject) => {
    const fail = (code: 'TIMEOUT' | 'CANCELLED', why: string, cause?: unknown): void =>
      reject(new RondoError(code, `${subject}: ${why}`, { cause }));
    const onAbort = (): void => fail('CANCELLED', 'given up by its signal', signal?.reason);
    const onTimeout = (): void => fail('TIMEOUT', 'its function gave no value in time');
    const timer = setTimeout(onTimeout, timeoutMs);
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted === true) onAbort();
    stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    stop();
  }
}

function isConflict(error: unknown): error is RondoError {
  return (
    error instanceof RondoError &&
    (error.code === 'REVISION_MISMATCH' || error.code === 'ALREADY_EXISTS')
  );
}
