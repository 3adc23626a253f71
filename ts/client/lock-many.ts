// Several locks at once. Everybody takes them in one order, that of their names' bytes, so that no two who
// want the same ones wait for each other.

import { compareBytes } from '../wire/bytes.js';
import { RondoError } from './errors.js';
import type { Lock, LockOptions } from './lock.js';

const encoder = new TextEncoder();

/** What is held until it is released, all of it together. */
export class LockSet implements AsyncDisposable {
  private readonly controller = new AbortController();
  private released: Promise<void> | undefined;

  constructor(private readonly locks: readonly Lock[]) {
    for (const { signal } of locks) {
      const lose = (): void => this.controller.abort(signal.reason);
      signal.addEventListener('abort', lose, { once: true });
      if (signal.aborted) lose();
    }
  }

  /** By name. */
  get tokens(): ReadonlyMap<string, number> {
    return new Map(this.locks.map(({ name, token }) => [name, token]));
  }

  /** Aborts when the first of them is lost. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Gives all back, the last one first. Again: the same. */
  release(): Promise<void> {
    this.released ??= releaseAll(this.locks);
    return this.released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** Takes one lock after another; where one fails, those before it are released. One deadline for all. */
export async function lockMany(
  names: Iterable<string>,
  options: LockOptions,
  lock: (name: string, options: LockOptions) => Promise<Lock>,
): Promise<LockSet> {
  const { waitMs = Number.POSITIVE_INFINITY } = options;
  const until = performance.now() + waitMs;
  const held: Lock[] = [];
  try {
    for (const name of inOrder(names)) {
      // What waits at all waits to the end; only a wait of 0 is a try.
      const leftMs = waitMs > 0 ? Math.max(1, until - performance.now()) : waitMs;
      held.push(await lock(name, { ...options, waitMs: leftMs }));
    }
  } catch (error) {
    // Where one cannot be released now, the client goes on trying.
    await releaseAll(held).catch(() => undefined);
    throw error;
  }
  return new LockSet(held);
}

function inOrder(names: Iterable<string>): string[] {
  const unique = [...new Set(names)].map((name) => ({ name, bytes: encoder.encode(name) }));
  unique.sort(({ bytes: a }, { bytes: b }) => compareBytes(a, 0, a.length, b, 0, b.length));
  return unique.map(({ name }) => name);
}

async function releaseAll(locks: readonly Lock[]): Promise<void> {
  const failures: unknown[] = [];
  for (const lock of [...locks].reverse()) {
    try {
      await lock.release();
    } catch (error) {
      failures.push(error);
    }
  }
  const [first] = failures;
  if (!(first instanceof RondoError)) return;
  const message = `${failures.length} of ${locks.length} locks could not be released yet`;
  throw new RondoError(first.code, `${message}: ${first.message}`, {
    cause: new AggregateError(failures),
  });
}
